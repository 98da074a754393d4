"""Without any control plane: the demo fleet's certificates, all at once, by the playbooks alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests import by_hand

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.lab import Lab


def changed(recap: str) -> dict[str, int]:
    """How much each host of a run was changed."""
    return {
        host: int(count)
        for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", recap, re.MULTILINE)
    }


def everything_served(lab: Lab) -> dict[str, str]:
    """What each place of each site serves now."""
    return {f"{site.key}@{host}": lab.served_site(site, host) for site in lab.sites for host in site.hosts}


def test_seventeen_certificates_side_by_side_are_signed_deployed_and_verified(
    demo_lab: Lab, tmp_path: Path
) -> None:
    lab = demo_lab
    package = f"acme_sh_package={lab.acme_sh_package}"
    by_hand.playbook(lab, "prepare", ["-i", str(lab.inventory), "-e", package])
    arguments = by_hand.write(lab, lab.sites, tmp_path)
    before, orders = everything_served(lab), lab.ca.orders()

    planned = by_hand.playbook(lab, "renew", [*arguments, "--check"])
    assert everything_served(lab) == before, "--check changes nothing"
    assert lab.ca.orders() == orders
    assert changed(planned.stdout)["www"] > 0, "--check says what it would do"

    by_hand.playbook(lab, "renew", arguments)
    after = everything_served(lab)
    assert lab.ca.orders() - orders == len(lab.sites), "one order for each: none disturbed another"
    assert not set(after.values()) & set(before.values())
    portal = {after[f"portal@{host}"] for host in lab.site("portal").hosts}
    assert len(portal) == 1, "a shared certificate is the same on both hosts"
    assert after["api-rsa@web3"] != after["api-ec@web3"]
    link = lab.site("blog").files[0]
    assert lab.hosts["web3"].run(["readlink", link.path]).stdout.strip() == link.target

    again = by_hand.playbook(lab, "renew", arguments)
    assert {host: count for host, count in changed(again.stdout).items() if count} == {}, "nothing is due"
    assert everything_served(lab) == after
    assert lab.ca.orders() - orders == len(lab.sites)

    modes = lab.hosts["issuer"].run(["find", "/var/lib/notafter", "-type", "f", "-perm", "/077"]).stdout
    assert modes == "", "keys on the issuer are its own alone"

    other = lab.hosts["web1"]
    other.run(["cp", "/etc/ssl/apps/fullchain.pem", "/etc/ssl/www/fullchain.pem"])
    other.run(["cp", "/etc/ssl/apps/privkey.pem", "/etc/ssl/www/privkey.pem"])
    other.run(["systemctl", "reload", "nginx"])
    found = by_hand.playbook(lab, "verify", arguments, check=False)
    assert found.returncode != 0
    assert "www.lab.test shows" in found.stdout, "what is served and should not be is named"
    by_hand.playbook(lab, "deploy", arguments)
    assert everything_served(lab) == after, "a deploy by hand puts right what somebody overwrote"
