"""Postfix is the judge of what is said about its listeners, its chain files and its maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

MAIN = """
folder = %C
smtpd_tls_security_level = may
smtpd_tls_cert_file =
    ${folder}/rsa.crt
# smtpd_tls_cert_file = /gone
smtpd_tls_key_file = $folder/rsa.key
smtpd_tls_eccert_file = $(folder)/ec.pem
tls_server_sni_maps = inline:{ {one.test = $folder/one.key, $folder/one.crt} },
  hash:%C/names texthash:%C/more regexp:%C/patterns
smtp_tls_cert_file = %C/client.pem
inet_protocols = all
"""

MASTER = """
smtp      inet  n       -       n       -       1       postscreen
smtpd     pass  -       -       n       -       -       smtpd
tlsproxy  unix  -       -       n       -       0       tlsproxy
  -o tlsproxy_tls_cert_file=%C/proxy.pem
submissions inet n      -       n       -       -       smtpd
  -o smtpd_tls_wrappermode=yes
# between
  -o { smtpd_tls_chain_files = $mine/chain.pem,
       $mine/two.key $mine/two.crt }
  -o mine=%C -o tls_server_sni_maps=
127.0.0.1:2525 inet n   -       n       -       -       smtpd -o smtpd_tls_security_level=none
[::1]:2526 inet n       -       n       -       -       smtpd
  -o smtpd_tls_security_level=encrypt
localhost:2527 inet n   -       n       -       -       smtpd
  -o smtpd_tls_chain_files=%C/both.pem
2528      inet  n       -       n       -       -       smtpd
  -o smtpd_upstream_proxy_protocol=haproxy
"""

NAMES = """# a comment
two.test %C/two.key, %C/two.crt
one.test %C/two.key %C/two.crt
.three.test
    %C/three.key
# another
    %C/three.crt
"""

SECOND = """
queue_directory = /var/spool/postfix-second
data_directory = /var/lib/postfix-second
multi_instance_name = postfix-second
smtpd_use_tls = yes
smtpd_tls_cert_file = %C/second.pem
inet_protocols = ipv4
inet_interfaces = loopback-only
compatibility_level = 3.6
smtpd_relay_restrictions = reject
"""


@pytest.fixture(scope="module")
def postfix(services_lab: Lab, authority: Authority) -> Iterator[Corpus]:
    """A Postfix with the configuration above, for all tests of this file."""
    servers = services_lab.hosts["servers"]
    corpus = Corpus(servers, authority)
    corpus.certificates("ec", "one", "two", "three", "four", "proxy", "client", "second")
    corpus.certificates("rsa", "chain", key_type="rsa-2048")
    for name in ("chain", "two"):
        servers.run(["sh", "-c", 'cat "$1.key" "$1.crt" > "$1.pem"', "sh", f"{corpus.folder}/{name}"])
    both = servers.read(f"{corpus.folder}/two.pem") + servers.read(f"{corpus.folder}/chain.pem")
    servers.write(f"{corpus.folder}/both.pem", both, 0o600)
    main, master = (servers.read(f"/etc/postfix/{name}.cf") for name in ("main", "master"))
    corpus.write(f"{corpus.folder}/names", NAMES)
    corpus.write(f"{corpus.folder}/more", "four.test %C/four.key %C/four.crt\n")
    corpus.write(f"{corpus.folder}/patterns", "/x/ %C/four.key\n")
    corpus.write(f"{corpus.folder}/second/main.cf", SECOND)
    alone = master.replace("\nsmtp      inet", "\n2600 inet").replace(" y ", " n ")
    corpus.write(f"{corpus.folder}/second/master.cf", alone)
    corpus.write("/etc/postfix/main.cf", main + MAIN)
    corpus.write("/etc/postfix/master.cf", master.replace("\nsmtp      inet", "\n#smtp inet") + MASTER)
    servers.run(["postmap", "-F", f"hash:{corpus.folder}/names"])
    try:
        servers.run(["systemctl", "start", "postfix"])
        yield corpus
    finally:
        servers.run(["systemctl", "stop", "postfix", "postfix@-"])
        servers.run(["systemctl", "reset-failed", "postfix@-"], check=False)
        corpus.put_back()


def _restart(host: LabHost) -> None:
    host.run(["systemctl", "stop", "postfix", "postfix@-"])
    host.run(["systemctl", "reset-failed", "postfix@-"], check=False)
    host.run(["systemctl", "start", "postfix"])


def _one(scanned: Scanned, *, names: list[str], path: str) -> dict[str, Any]:
    (found,) = [
        binding
        for binding in scanned.bindings
        if binding["names"] == names
        and f"/srv/corpus/{path}" in {file["path"] for file in binding["files"]}
        and binding["listeners"]
    ][:1]
    return found


def test_what_is_found_is_what_handshakes_show(postfix: Corpus) -> None:
    scanned = scan(postfix.host, "postfix")
    assert scanned.contradicted() == {}
    at = {
        (file["path"].rpartition("/")[2], *one["names"]): set(one["listeners"])
        for one in scanned.bindings
        for file in one["files"]
    }
    usual = {"*:25/smtp", "[::]:25/smtp", "[::1]:2526/smtp"}
    assert at.keys() >= {("one.crt", "one.test"), ("two.key", "two.test"), ("four.crt", "four.test")}
    assert ("three.crt", "*.three.test") in at
    assert (at["rsa.crt",], at["ec.pem",]) == (usual, usual)
    assert at["client.pem",] == set()
    assert all("2525" not in one and "2528" not in one for listeners in at.values() for one in listeners)
    warned = scanned.warned()
    assert f"the map regexp:{postfix.folder}/patterns is not looked into" in warned
    assert "it expects a proxy before it, so no handshake is made at 2528" in warned
    assert any(f"tlsproxy shows it other certificates: {postfix.folder}/proxy.pem" in one for one in warned)


def test_files_lines_and_what_no_file_is_alone_in(postfix: Corpus) -> None:
    scanned = scan(postfix.host, "postfix")
    told = postfix.host.read("/etc/postfix/master.cf").splitlines()
    chain = _one(scanned, names=[], path="chain.pem")
    assert "smtpd_tls_chain_files" in told[chain["line"] - 1]
    assert chain["listeners"] == ["*:465", "[::]:465"]
    two = _one(scanned, names=["two.test"], path="two.crt")
    assert (two["config_file"], two["line"]) == (f"{postfix.folder}/names", 2)
    assert [(file["path"], file["kind"]) for file in two["files"]] == [
        (f"{postfix.folder}/two.crt", "fullchain"),
        (f"{postfix.folder}/two.key", "key"),
    ]
    shared = [one for one in scanned.bindings if not one["files"]]
    assert [postfix.fingerprints[one["certificate"]] for one in shared] == ["two", "chain"]  # as written
    assert {one["problems"][0]["kind"] for one in shared} == {"unresolved"}


def test_without_postconf_the_files_say_the_same(postfix: Corpus) -> None:
    host = postfix.host
    asked = scan(host, "postfix")
    host.run(["mv", "/usr/sbin/postconf", "/usr/sbin/postconf.away"])
    try:
        read = scan(host, "postfix")
    finally:
        host.run(["mv", "/usr/sbin/postconf.away", "/usr/sbin/postconf"])
    assert read.bindings == asked.bindings
    assert read.warned() == asked.warned()


def test_a_broken_configuration_is_read_as_far_as_it_goes(postfix: Corpus) -> None:
    broken = postfix.host.read("/etc/postfix/main.cf") + "\nthis is no setting\n"
    whole = scan(postfix.host, "postfix").bindings
    kept = postfix.host.read("/etc/postfix/main.cf")
    postfix.host.write("/etc/postfix/main.cf", broken)
    try:
        scanned = scan(postfix.host, "postfix")
        binding = _one(scanned, names=[], path="rsa.crt")
        outcome = deploy(postfix.host, binding, postfix.authority.issue("rsa.test"))
    finally:
        postfix.host.write("/etc/postfix/main.cf", kept)
        _restart(postfix.host)  # master waits a minute where an smtpd could not begin
    assert scanned.bindings == whole
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")


def test_another_instance_is_found_by_its_master(postfix: Corpus) -> None:
    host, folder = postfix.host, f"{postfix.folder}/second"
    host.run(["mkdir", "-p", "/var/spool/postfix-second", "/var/lib/postfix-second"])
    host.run(["chown", "postfix", "/var/lib/postfix-second"])
    host.run(["postfix", "-c", folder, "start"])
    try:
        host.wait_until(lambda: scan(host, "postfix").contradicted() == {}, "the scan is contradicted", 60)
        scanned = scan(host, "postfix")
        second = _one(scanned, names=[], path="second.pem")
        assert second["listeners"] == ["127.0.0.1:2600/smtp"]
        assert second["config_file"] == f"{folder}/main.cf"
        issued = postfix.authority.issue("second.test")
        assert deploy(host, second, issued)["state"] == "deployed"
        assert scan(host, "postfix").contradicted() == {}
    finally:
        host.run(["postfix", "-c", folder, "stop"])
        host.run(["rm", "-rf", "/var/spool/postfix-second", "/var/lib/postfix-second"])


def test_another_program_called_master_is_no_postfix(postfix: Corpus) -> None:
    servers = postfix.host
    servers.run(["sh", "-c", "mkdir -p /opt/other && cp /usr/bin/sleep /opt/other/master"])
    servers.run(["systemd-run", "--unit=other-master", "/opt/other/master", "600"])
    try:
        servers.wait_until(lambda: len(servers.pids("master")) > 1, "it does not run", 60)
        scanned = scan(servers, "postfix")
        (service,) = scanned.result["server"]["services"]
    finally:
        servers.run(["systemctl", "stop", "other-master"])
        servers.run(["rm", "-rf", "/opt/other"])
    assert (service["name"], service["running"]) == ("postfix", True)
    assert service["version"].startswith("3.")
    assert not any("stranger" in one or "not root's" in one for one in scanned.warned())
    assert scanned.contradicted() == {}


def test_a_scan_without_rights_says_what_it_could_not_read(postfix: Corpus) -> None:
    whole = scan(postfix.host, "postfix")
    scanned = scan(postfix.host, "postfix", prefix=tuple(UNPRIVILEGED))
    kept = [one for one in whole.bindings if one["files"]]
    places = {(one["config_file"], one["line"], *one["listeners"]) for one in scanned.bindings}
    assert places >= {(one["config_file"], one["line"], *one["listeners"]) for one in kept}
    unread = [one for one in scanned.bindings if "unreadable" in {p["kind"] for p in one["problems"]}]
    assert unread == scanned.bindings
    assert scanned.result["server"]["services"][0]["running"] is True


@pytest.mark.parametrize(
    ("names", "path", "key_type"),
    [
        ([], "rsa.crt", "rsa-2048"),
        ([], "ec.pem", "ec-256"),
        ([], "chain.pem", "rsa-2048"),
        (["one.test"], "one.crt", "ec-256"),
        (["two.test"], "two.crt", "ec-256"),
        (["*.three.test"], "three.key", "ec-256"),
        (["four.test"], "four.crt", "rsa-2048"),
    ],
)
def test_a_new_certificate_is_served(postfix: Corpus, names: list[str], path: str, key_type: str) -> None:
    binding = _one(scan(postfix.host, "postfix"), names=names, path=path)
    issued = postfix.authority.issue(*(names or ["any.test"]), key_type=key_type)
    outcome = deploy(postfix.host, binding, issued)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint)
    scanned = scan(postfix.host, "postfix")
    assert scanned.contradicted() == {}
    assert issued.fingerprint in {one["certificate"] for one in scanned.bindings}


def test_what_postfix_does_not_serve_is_rolled_back(postfix: Corpus) -> None:
    binding = _one(scan(postfix.host, "postfix"), names=[], path="rsa.crt")
    issued = postfix.authority.issue("any.test", key_type="ec-256")  # two of a kind: Postfix takes neither
    outcome = deploy(postfix.host, binding, issued)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    scanned = scan(postfix.host, "postfix")
    assert scanned.contradicted() == {}
    assert issued.fingerprint not in {one["certificate"] for one in scanned.bindings}


def test_a_stopped_postfix_gets_its_files(postfix: Corpus) -> None:
    running = scan(postfix.host, "postfix").bindings
    postfix.host.run(["systemctl", "stop", "postfix", "postfix@-"])
    try:
        scanned = scan(postfix.host, "postfix")
        issued = postfix.authority.issue("rsa.test", key_type="rsa-2048")
        outcome = deploy(postfix.host, _one(scanned, names=[], path="rsa.crt"), issued)
    finally:
        _restart(postfix.host)
    told = ("config_file", "line", "names", "listeners", "files", "certificate")
    assert [[one[key] for key in told] for one in scanned.bindings] == [
        [one[key] for key in told] for one in running
    ]
    assert outcome["state"] == "staged"
    assert scanned.result["server"]["services"][0]["running"] is False
