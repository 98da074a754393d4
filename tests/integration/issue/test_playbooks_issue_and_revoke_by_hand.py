"""What an ops team runs by hand: an account, a certificate from a CA that wants a binding, a revocation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.by_hand import TREE, playbook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.issue.issuer import Issuer


def inventory(issuer: Issuer, folder: Path) -> list[str]:
    """One certificate, and the secret beside it."""
    ca = {
        "directory": issuer.bound.directory,
        "bundle": str(issuer.lab.ca.https_root),
        "eab_key_id": issuer.bound.eab_key_id,
    }
    variables = {
        "certificate_names": [issuer.name(), issuer.host.address],
        "certificate_ca": ca,
        "certificate_challenge": {"type": "http-01", "mode": "standalone"},
        "certificate_preferred_chain": "No such root",
    }
    (folder / "certificates.yml").write_text(
        json.dumps({"certificates": {"hosts": {"shop": variables, "stranger": variables}}}), encoding="utf-8"
    )
    (folder / "secrets.json").touch(mode=0o600)
    (folder / "secrets.json").write_text(
        json.dumps({"certificate_eab_hmac_key": issuer.bound.eab_hmac_key}), encoding="utf-8"
    )
    return [
        *("-i", str(issuer.lab.inventory), "-i", str(folder / "certificates.yml")),
        *("-e", f"@{folder / 'secrets.json'}"),
    ]


def run(issuer: Issuer, name: str, arguments: list[str], *more: str) -> str:
    """What a playbook says, with the results of its tasks."""
    done = playbook(issuer.lab, name, [*arguments, "-v", *more], check=False)
    return done.stdout + done.stderr


def test_a_certificate_is_issued_revoked_and_due_again(issuer: Issuer, tmp_path: Path) -> None:
    arguments = inventory(issuer, tmp_path)
    issued = run(issuer, "issue", arguments, "--limit", "shop")
    assert "failed=0" in issued
    assert "the CA offers no chain to 'No such root'" in issued
    assert str(issuer.bound.eab_hmac_key) not in issued
    current = "/var/lib/notafter/certificates/shop/current"
    pem = issuer.host.read(f"{current}/certificate.pem")
    fingerprint = issuer.host.run(["readlink", current]).stdout.strip().rpartition("/")[2]
    wish = {"certificate_revocation": {"reason": "superseded", "fingerprint": fingerprint.upper()}}
    planned = run(issuer, "revoke", arguments, "--check", "-e", json.dumps(wish))
    assert f"would revoke {fingerprint}" in planned
    assert "nor the fingerprint of the one that the issuer keeps under this name: none" in planned
    assert issuer.status(issuer.bound, pem)["Status"] == "Valid"
    assert "revoked: superseded" in run(issuer, "revoke", arguments, "-e", json.dumps(wish))
    assert issuer.status(issuer.bound, pem)["Status"] == "Revoked"
    assert "the present one was revoked" in run(issuer, "issue", arguments, "--check", "--limit", "shop")


def test_an_account_is_asked_for_by_its_module(issuer: Issuer, tmp_path: Path) -> None:
    arguments = inventory(issuer, tmp_path)
    wish = {
        "ca": {
            "directory": issuer.first.directory,
            "bundle": str(issuer.lab.ca.https_root),
            "email": "a@b.test",
        },
        "account": "by-hand",
    }
    command = [str(TREE / ".venv/bin/ansible"), "issuer", *arguments, "-m", "notafter.tls.acme_account"]
    env = {"ANSIBLE_CONFIG": str(TREE / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path)}
    said = issuer.lab.run([*command, "-a", json.dumps(wish)], env=env).stdout
    assert '"contact": "a@b.test"' in said
    assert issuer.account(issuer.first, account={"name": "by-hand"})["changed"] is False
