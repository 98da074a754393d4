"""Records change by dynamic update, as acme.sh's own hook does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab import Lab

_HOOK = """
. /root/acme/usr/share/acme.sh/acme.sh >/dev/null 2>&1
LE_WORKING_DIR=/root/acme-home LE_CONFIG_HOME=/root/acme-home
_initpath >/dev/null 2>&1
. /root/acme/usr/share/acme.sh/dnsapi/dns_knot.sh
"dns_knot_$1" "$2" "$3"
"""


def test_a_txt_record_set_through_the_hook_is_visible(small_lab: Lab) -> None:
    issuer, name = small_lab.hosts["issuer"], "_acme-challenge.hook.lab.test"
    issuer.write("/root/hook.deb", small_lab.acme_sh_package.read_bytes())
    issuer.run(["dpkg-deb", "--extract", "/root/hook.deb", "/root/acme"])
    assert small_lab.dns.provider == "dns_knot"

    hook = ["sh", "-c", _HOOK, "sh"]
    issuer.run([*hook, "add", name, "through-the-hook"], env=small_lab.dns.variables)
    assert small_lab.dns.lookup(name) == ["through-the-hook"]

    issuer.run([*hook, "rm", name, "through-the-hook"], env=small_lab.dns.variables)
    assert small_lab.dns.lookup(name) == []


def test_a_wrong_key_changes_nothing(small_lab: Lab) -> None:
    dns = small_lab.dns
    script = (
        f"server {dns.address}\nkey hmac-sha256:acme d3Jvbmc=\nzone lab.test.\n"
        'update add forged.lab.test. 60 TXT "x"\nsend\nquit\n'
    )

    small_lab.hosts["web1"].run(["knsupdate"], input=script, check=False)

    assert dns.lookup("forged.lab.test") == []


def test_two_values_of_one_name_stand_beside_each_other_until_cleared(small_lab: Lab) -> None:
    dns, name = small_lab.dns, "_acme-challenge.two.lab.test"

    dns.set_txt(name, "one")
    dns.set_txt(name, "two words")

    assert sorted(dns.lookup(name)) == ["one", "two words"]
    dns.clear(name)
    assert dns.lookup(name) == []


def test_hosts_find_every_name_of_the_fleet(small_lab: Lab) -> None:
    web1 = small_lab.hosts["web1"]
    for site in small_lab.sites:
        said = web1.run(["getent", "ahostsv4", site.probe_name]).stdout
        assert small_lab.hosts[site.hosts[0]].address in said


def test_an_added_address_is_found(small_lab: Lab) -> None:
    small_lab.dns.add_a("late.lab.test", "10.77.1.2")
    small_lab.dns.set_cname("alias.lab.test", "late.lab.test")

    found = small_lab.hosts["issuer"].run(["getent", "ahostsv4", "alias.lab.test"]).stdout
    assert "10.77.1.2" in found
