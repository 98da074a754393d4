"""`--check --diff` says what a run would do, a run does that, and no key is ever printed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests import by_hand

if TYPE_CHECKING:
    from pathlib import Path

    from tests.authority import Authority, Issued
    from tests.integration.deploy.conftest import Target
    from tests.lab.lab import Lab

HELD = "/var/lib/notafter/certificates/www/current"


class ByHand:
    """The nginx site's certificate as an issuer without a control plane keeps it, and the playbooks."""

    def __init__(self, lab: Lab, target: Target, folder: Path) -> None:
        self.lab = lab
        self.target = target
        self.arguments = by_hand.write(lab, [target.site], folder)
        self.keys: list[str] = []

    def keep(self, issued: Issued) -> None:
        """Makes it the newest that the issuer keeps."""
        issuer = self.lab.hosts["issuer"]
        issuer.write(f"{HELD}/certificate.pem", issued.certificate)
        issuer.write(f"{HELD}/chain.pem", issued.chain)
        issuer.write(f"{HELD}/key.pem", issued.private_key, 0o600)

    def run(self, name: str, *options: str, check: bool = True) -> str:
        """What a playbook prints, as loud as it can; no line of any key may be in it."""
        done = by_hand.playbook(self.lab, name, [*self.arguments, "-vvv", *options], check=check)
        printed = done.stdout + done.stderr
        assert "PRIVATE KEY" not in printed
        for line in "".join(self.keys).splitlines():
            assert line.startswith("-----") or line not in printed
        return printed


@pytest.fixture
def hand(small_lab: Lab, nginx: Target, tmp_path: Path) -> ByHand:
    """The site with a certificate of its own, and the playbooks for it."""
    return ByHand(small_lab, nginx, tmp_path)


def told(issued: Issued) -> list[str]:
    """What a difference says of a certificate."""
    parsed = x509.load_pem_x509_certificate(issued.certificate.encode())
    end = f"{parsed.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    listed = ", ".join(names.get_values_for_type(x509.DNSName))
    return [
        f"fingerprint_sha256: {issued.fingerprint}",
        f"not_after: {end}",
        f"names: {listed}",
        f"private key: that of the certificate {issued.fingerprint}",
    ]


def test_what_check_and_diff_say_is_what_a_run_does_and_what_a_rollback_undoes(
    hand: ByHand, authority: Authority
) -> None:
    target = hand.target
    names, key_type = target.site.names, str(target.site.key_type)
    old, new = (authority.issue(*names, key_type=key_type, end=timedelta(days=days)) for days in (20, 30))
    hand.keys = [old.private_key, new.private_key]
    assert target.deploy(old)["state"] == "deployed"
    hand.keep(new)
    before, metadata = target.bytes_on_disk(), target.metadata()
    printed = hand.run("deploy", "--check", "--diff")
    assert (target.bytes_on_disk(), target.metadata(), target.served()) == (
        before,
        metadata,
        old.fingerprint,
    )
    lines = [line.strip() for line in printed.splitlines()]
    for sign, issued in (("-", old), ("+", new)):
        for sentence in told(issued):
            same = [line for line in lines if line.endswith(sentence)]
            assert same, sentence
            if not sentence.startswith("names"):
                assert any(line.startswith(sign) for line in same), sentence
    for file in target.site.files:
        assert f"--- before: {file.path}" in lines
    assert any(line.startswith("+reload nginx") for line in lines)
    assert any(line.startswith("+look at 127.0.0.1:") and target.site.names[0] in line for line in lines)
    really = hand.run("deploy", "--diff")
    assert target.served() == new.fingerprint
    assert _differences(really) == _differences(printed)

    back = ["-e", '{"rollback_certificates": ["www"]}', "--limit", "web1"]
    undone = hand.run("rollback", "--diff", *back)
    assert f"+  fingerprint_sha256: {old.fingerprint}" in undone
    assert (target.served(), target.bytes_on_disk()) == (old.fingerprint, before)


def test_a_rollback_of_what_the_inventory_does_not_know_is_refused(hand: ByHand) -> None:
    unknown = ["-e", '{"rollback_certificates": ["nobody"]}', "--limit", "web1"]
    refused = hand.run("rollback", *unknown, check=False)
    assert "nobody: no certificate of the inventory is called so" in refused


def _differences(printed: str) -> list[str]:
    """The lines of the differences that were printed."""
    return [line for line in printed.splitlines() if line.startswith(("+", "-")) and line != "---"]
