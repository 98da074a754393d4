"""K1, C1, C12 for what acme.sh is not asked: answers that are lost, a CA that wants to be left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.authority import pem_of_key
from tests.integration.issue.issuer import Ca
from tests.lab import proxy_faults as kinds
from tests.lab.proxy import Fault, Proxy, Step

if TYPE_CHECKING:
    from tests.integration.issue.issuer import Issuer

STANDALONE = {"type": "http-01", "mode": "standalone"}


def through(proxy: Proxy) -> Ca:
    """The first CA as it is seen through the fault proxy."""
    return Ca(proxy.directory_url, "", proxy.https_root_pem)


def test_c1_a_ca_that_is_asked_too_much_is_left_alone_until_it_says(issuer: Issuer) -> None:
    with Proxy.before(issuer.lab, Fault(kinds.RATE_LIMITED, Step.NEW_ACCOUNT)) as proxy:
        failure = issuer.account(through(proxy))["failure"]
        assert proxy.count(Step.NEW_ACCOUNT) == 1
    assert (failure["class"], failure["retry_after"]) == ("rate_limited", kinds.LONG)


def test_c12_a_change_of_the_key_whose_answer_is_lost_is_found_out_at_once(issuer: Issuer) -> None:
    with Proxy.before(issuer.lab, Fault(kinds.LOST, Step.OTHER, 1)) as proxy:
        before = issuer.account(through(proxy))["account"]
        changed = issuer.account(through(proxy), "key_changed")
        after = issuer.account(through(proxy))
        assert proxy.count(Step.OTHER) == 1
    assert changed["account"]["url"] == after["account"]["url"] == before["url"]
    assert changed["account"]["thumbprint"] == after["account"]["thumbprint"] != before["thumbprint"]


def test_c12_what_was_lost_on_the_way_is_found_with_an_account_of_another_kind_of_key(issuer: Issuer) -> None:
    """The certificate of an order, and then that it is revoked already; by the RSA key of an account."""
    account = {"private_key": pem_of_key(rsa.generate_private_key(65537, 2048))}
    lost = Fault(kinds.LOST, Step.FINALIZE, 1), Fault(kinds.LOST, Step.REVOKE, 1)
    with Proxy.before(issuer.lab, *lost) as proxy:
        ca, names = through(proxy), [issuer.name()]
        failed = issuer.sign(ca, names, STANDALONE, account=account, as_key="rsa-account")
        signed = issuer.sign(ca, names, STANDALONE, account=account, as_key="rsa-account")
        assert failed.failure["class"] == "ca_unavailable"
        assert signed.pem
        assert proxy.orders == 1
        wish = {"account": {**account, "url": signed.result["account"]["url"]}, "reason": "superseded"}
        assert issuer.revoke(ca, signed.pem, **wish)["failure"]["class"] == "ca_unavailable"
        assert issuer.revoke(ca, signed.pem, **wish)["revoked"]["already"] is True
