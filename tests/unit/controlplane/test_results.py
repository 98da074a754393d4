"""The chains of a scan's result find their certificates, whatever a host has written into the tables."""

from typing import Any

import pytest
from notafter.domain.outcome import FailureClass, IssueFailed, Revoked, Scanned
from notafter.runner import results

LEAF = "ab" * 32


def scanned(certificate: dict[str, Any], chains: object) -> Scanned:
    """The outcome of a result with one certificate."""
    result = {"server": {}, "bindings": [], "certificates": {LEAF: certificate}, "chains": chains}
    outcome = results.scanned("web1", result)
    assert isinstance(outcome, Scanned)
    return outcome


def test_a_certificate_gets_the_chain_that_it_names() -> None:
    found = scanned({"pem": "leaf", "chain": "above"}, {"above": "issuer", "other": "x"})
    assert found.certificates[LEAF].chain_pem == "issuer"


@pytest.mark.parametrize("chains", [{}, None, {"other": "x"}])
def test_a_chain_that_is_not_there_is_none(chains: object) -> None:
    assert scanned({"pem": "leaf", "chain": "above"}, chains).certificates[LEAF].chain_pem == ""
    assert scanned({"pem": "leaf", "chain": None}, chains).certificates[LEAF].chain_pem == ""


def test_a_kind_of_file_that_nobody_writes_yet_is_a_kind() -> None:
    for kind in ("pkcs12", "jks", "der", "pkcs7"):
        file = {"path": "/etc/ssl/x", "kind": kind, "sha256": None}
        result = {"server": {}, "bindings": [{"service": "files", "files": [file]}]}
        outcome = results.scanned("web1", result)
        assert isinstance(outcome, Scanned)
        assert outcome.bindings[0].files[0].kind == kind


def test_what_was_revoked_is_read_and_without_its_fingerprint_it_is_nothing() -> None:
    told = {"revoked": {"fingerprint_sha256": LEAF, "already": True}, "seconds": 2}
    assert results.signed("crt-1", told) == Revoked("crt-1", LEAF, already=True, seconds=2.0)
    with pytest.raises(ValueError, match="no fingerprint"):
        results.signed("crt-1", {"revoked": {"fingerprint_sha256": "all of them", "already": True}})
    failed = {"failed": True, "failure": {"class": "account", "message": "no"}, "revoked": None}
    assert results.signed("crt-1", failed) == IssueFailed("crt-1", FailureClass.ACCOUNT, "no")
