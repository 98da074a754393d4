"""Every way to prove a name, every type of key, chains, bindings, revocation: with real CAs."""

from __future__ import annotations

import base64
import re
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.revoke import REASONS
from cryptography import x509

from tests.integration.hosts import send
from tests.integration.issue.issuer import HMAC_KEY, IPV6, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.issue.issuer import Issuer, Signed

STANDALONE = {"type": "http-01", "mode": "standalone"}
ALPN = {"type": "tls-alpn-01"}
DNS = {"type": "dns-01", "provider": "dns_knot", "dns_sleep": 0}
#: Orders at once; acme.sh mostly waits.
PARALLEL = 3

Orders = dict[str, "Future[Signed]"]


@pytest.fixture(scope="module")
def orders(issuer: Issuer) -> Iterator[Orders]:
    """Orders that run side by side; acme.sh mostly waits."""
    address = issuer.host.address
    preferred = issuer.root(issuer.bound, 1).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    alias, whole = issuer.name(), issuer.name()
    issuer.lab.dns.set_cname(f"_acme-challenge.{alias}", "_acme-challenge.proofs.lab.test")
    issuer.lab.dns.set_cname(f"_acme-challenge.{whole}", "shared.proofs.lab.test")
    with ThreadPoolExecutor(PARALLEL) as pool:

        def order(*arguments: object, **more: object) -> Future[Signed]:
            return pool.submit(issuer.sign, *arguments, **more)  # type: ignore[arg-type]

        yield {
            "standalone": order(
                issuer.bound,
                [issuer.name(), address, IPV6],
                STANDALONE,
                key_type="rsa-3072",
                preferred_chain=str(preferred),
            ),
            "alpn": order(issuer.bound, [IPV6, address, issuer.name()], ALPN, key_type="ec-384"),
            "alias": order(issuer.first, [alias], {**DNS, "alias": "proofs.lab.test"}, key_type="rsa-4096"),
            "domain_alias": order(issuer.first, [whole], {**DNS, "domain_alias": "shared.proofs.lab.test"}),
            "elsewhere": order(issuer.first, [issuer.name()], {**STANDALONE, "port": 8080}),
        }


def names_of(signed: Signed) -> set[str]:
    """What a certificate is for."""
    value = (
        x509.load_pem_x509_certificate(signed.pem.encode())
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    addresses = {str(address) for address in value.get_values_for_type(x509.IPAddress)}
    return {*value.get_values_for_type(x509.DNSName), *addresses}


def test_names_and_addresses_are_proved_where_acme_sh_itself_answers_http(
    issuer: Issuer, orders: Orders
) -> None:
    signed = orders["standalone"].result()
    assert {issuer.host.address, IPV6} < names_of(signed)
    assert signed.result["certificate"]["key_type"] == "rsa-3072"


def test_names_and_addresses_are_proved_where_acme_sh_itself_answers_tls(
    issuer: Issuer, orders: Orders
) -> None:
    signed = orders["alpn"].result()
    assert {issuer.host.address, IPV6} < names_of(signed)
    assert signed.result["certificate"]["key_type"] == "ec-384"


def test_txt_records_stand_where_an_alias_says(issuer: Issuer, orders: Orders) -> None:
    assert orders["alias"].result().result["certificate"]["key_type"] == "rsa-4096"
    assert orders["domain_alias"].result().pem
    for name in ("_acme-challenge.proofs.lab.test", "shared.proofs.lab.test"):
        assert issuer.lab.dns.lookup(name) == [], "they are taken away again"


def test_c6_the_preferred_chain_comes_along(issuer: Issuer, orders: Orders) -> None:
    signed = orders["standalone"].result()
    issuers = x509.load_pem_x509_certificates(signed.result["certificate"]["chain_pem"].encode())
    assert issuers[-1].issuer == issuer.root(issuer.bound, 1).subject
    assert "warnings" not in signed.result
    usual = x509.load_pem_x509_certificates(
        orders["alpn"].result().result["certificate"]["chain_pem"].encode()
    )
    assert usual[-1].issuer == issuer.root(issuer.bound, 0).subject


def test_nothing_ever_asks_for_must_staple(orders: Orders) -> None:
    for signed in (order.result() for order in orders.values()):
        request = x509.load_pem_x509_csr(signed.csr.encode())
        assert [one.oid for one in request.extensions] == [x509.SubjectAlternativeName.oid]


def test_a_port_that_the_ca_does_not_come_to_is_told_with_the_name(orders: Orders) -> None:
    failure = orders["elsewhere"].result().failure
    assert failure["class"] == "challenge_failed"
    assert failure["identifier"].startswith("own")


def test_an_account_that_the_ca_has_lost_is_registered_again_by_the_next_try(issuer: Issuer) -> None:
    name = {"name": "lost"}
    issuer.account(issuer.first, account=name)
    url = next(path for path in issuer.files("accounts/lost") if path.endswith("/url"))
    issuer.host.write(url, re.sub(r"[^/]+$", "gone", issuer.host.read(url)))
    failure = issuer.sign(issuer.first, [issuer.name()], {**STANDALONE, "port": 8081}, account=name).failure
    assert failure["type"] == "urn:ietf:params:acme:error:accountDoesNotExist"
    assert failure["class"] == "account"
    assert url not in issuer.files("accounts/lost")
    assert issuer.account(issuer.first, account=name)["changed"] is False


@pytest.mark.parametrize("wish", [STANDALONE, ALPN])
def test_a_port_that_somebody_has_is_told_before_the_ca_is_asked(
    issuer: Issuer, wish: dict[str, object]
) -> None:
    failure = issuer.sign(issuer.first, [issuer.name()], {**wish, "port": 22}).failure
    assert failure["class"] == "invalid_request"
    assert "port 22 of the issuer: another program has it" in failure["message"]


def test_the_hmac_key_of_a_binding_is_in_no_file_and_no_argument(issuer: Issuer, orders: Orders) -> None:
    assert all(order.result() for order in orders.values())
    shared = base64.urlsafe_b64decode(HMAC_KEY)
    for form in (HMAC_KEY, shared.hex(), shared.hex().upper(), base64.b64encode(shared).decode()):
        assert issuer.holding(form) == [], "acme.sh would give it to openssl as `hexkey:…`"
    assert "dgst" in issuer.host.read("/root/openssl-arguments")
    assert ":14001/" in orders["alpn"].result().result["account"]["url"]
    assert ":14000/" in orders["alias"].result().result["account"]["url"]


def test_c7_a_binding_that_is_missing_or_wrong_fails_with_the_words_of_the_ca(issuer: Issuer) -> None:
    wrong = issuer.sign(
        issuer.bound,
        [issuer.name()],
        STANDALONE,
        account={"name": "stranger", "eab_hmac_key": "c2VjcmV0LW9mLXNvbWVib2R5LWVsc2U"},
    ).failure
    missing = issuer.sign(
        issuer.bound,
        [issuer.name()],
        STANDALONE,
        ca=issuer.bound.as_request(eab_key_id=None),
        account={"name": "stranger", "eab_hmac_key": None},
    ).failure
    assert (wrong["class"], missing["class"]) == ("account", "account")
    assert "verification error" in wrong["message"]
    assert missing["type"] == "urn:ietf:params:acme:error:externalAccountRequired"


def test_its_account_revokes_it_with_a_reason_and_asking_again_changes_nothing(
    issuer: Issuer, orders: Orders
) -> None:
    pem = orders["domain_alias"].result().pem
    first = issuer.revoke(issuer.first, pem, reason="superseded")["revoked"]
    again = issuer.revoke(issuer.first, pem, reason="keyCompromise")["revoked"]
    assert (first["already"], again["already"]) == (False, True)
    status = issuer.status(issuer.first, pem)
    assert (status["Status"], status["Reason"]) == ("Revoked", REASONS["superseded"])


def test_its_own_key_revokes_it_and_the_issuer_knows_that_it_is_worth_nothing(
    issuer: Issuer, orders: Orders
) -> None:
    signed = orders["alias"].result()
    key, pem = signed.key, signed.pem
    stranger = issuer.revoke(issuer.first, pem, by="key", private_key=new_key())["failure"]
    assert stranger["class"] == "account"
    elsewhere = issuer.revoke(issuer.first, pem, by="key", name="crt-99999")["failure"]
    assert elsewhere["class"] == "invalid_request"
    assert issuer.status(issuer.first, pem)["Status"] == "Valid"
    assert not send(issuer.host, {"op": "bundle", "name": key})["bundle"]["revoked"]
    assert not issuer.revoke(issuer.first, pem, by="key", name=key, reason="keyCompromise")["revoked"][
        "already"
    ]
    status = issuer.status(issuer.first, pem)
    assert (status["Status"], status["Reason"]) == ("Revoked", REASONS["keyCompromise"])
    assert send(issuer.host, {"op": "bundle", "name": key})["bundle"]["revoked"]["reason"] == "keyCompromise"


@pytest.mark.parametrize(
    ("more", "failure_class", "told"),
    [
        ({"reason": "removeFromCRL"}, "invalid_request", "removeFromCRL"),
        ({"by": "mail"}, "invalid_request", "account or by its key"),
        ({"certificate": "no PEM"}, "invalid_request", "PEM"),
        ({"account": {"name": "never-made"}}, "account", "never-made"),
        ({"account": {"private_key": new_key()}}, "account", "no account for the key"),
    ],
)
def test_what_cannot_be_revoked_is_told_with_the_reason(
    issuer: Issuer, orders: Orders, more: dict[str, object], failure_class: str, told: str
) -> None:
    failure = issuer.revoke(issuer.first, orders["domain_alias"].result().pem, **more)["failure"]
    assert failure["class"] == failure_class
    assert told in failure["message"]


def test_a_ca_that_did_not_issue_it_says_so(issuer: Issuer, orders: Orders) -> None:
    issuer.account(issuer.bound)
    failure = issuer.revoke(issuer.bound, orders["domain_alias"].result().pem)["failure"]
    assert failure["class"] == "invalid_request"
    assert "Unable to find" in failure["message"]
