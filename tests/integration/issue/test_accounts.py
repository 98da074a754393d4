"""ACME accounts: bound to one outside of ACME, told from each other, given another key, and ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.hosts import send
from tests.integration.issue.issuer import HMAC_KEY, KEY_ID, new_key

if TYPE_CHECKING:
    from tests.integration.issue.issuer import Issuer


def test_an_account_is_registered_once_with_its_contact_and_its_binding(issuer: Issuer) -> None:
    planned = issuer.account(issuer.bound, email="ops@example.com", account={"name": "once"}, check=True)
    made = issuer.account(issuer.bound, email="ops@example.com", account={"name": "once"})
    again = issuer.account(issuer.bound, email="ops@example.com", account={"name": "once"})
    assert (planned["changed"], made["changed"], again["changed"]) == (True, True, False)
    assert made["account"] == again["account"]
    assert made["account"]["contact"] == "ops@example.com"
    assert KEY_ID in issuer.lab.hosts["ca"].read("/var/log/pebble-bound.log")
    assert issuer.holding(HMAC_KEY) == []


@pytest.mark.parametrize(
    ("hmac_key", "said"),
    [
        (None, "externalAccountBinding"),
        ("c2VjcmV0LW9mLXNvbWVib2R5LWVsc2U", "verification error"),
    ],
)
def test_c7_a_ca_that_wants_another_binding_is_told_in_its_own_words(
    issuer: Issuer, hmac_key: str | None, said: str
) -> None:
    bound = issuer.bound.as_request(eab_key_id=hmac_key and KEY_ID)
    made = issuer.account(issuer.bound, ca=bound, account={"name": "wrong", "eab_hmac_key": hmac_key})
    assert made["failure"]["class"] == "account"
    assert said in made["failure"]["message"]
    assert issuer.holding(str(hmac_key)) == []


def test_a_binding_without_its_key_is_refused_before_the_ca_is_asked(issuer: Issuer) -> None:
    made = issuer.account(issuer.bound, account={"name": "keyless", "eab_hmac_key": None})
    assert made["failure"]["class"] == "invalid_request"
    assert "eab_hmac_key" in made["failure"]["message"]


def test_another_contact_is_told_to_the_ca(issuer: Issuer) -> None:
    first = issuer.account(issuer.first, email="old@example.com", account={"name": "moved"})
    planned = issuer.account(issuer.first, email="new@example.com", account={"name": "moved"}, check=True)
    moved = issuer.account(issuer.first, email="new@example.com", account={"name": "moved"})
    kept = issuer.account(issuer.first, account={"name": "moved"})
    assert (planned["changed"], moved["changed"], kept["changed"]) == (True, True, False)
    assert moved["account"]["url"] == first["account"]["url"]
    assert kept["account"]["contact"] == "new@example.com"


@pytest.mark.parametrize("key_type", ["ec-384", "rsa-2048"])
def test_an_account_follows_another_key_of_any_kind(issuer: Issuer, key_type: str) -> None:
    name = {"name": f"rolled-{key_type}"}
    before = issuer.account(issuer.bound, account=name)["account"]
    changed = issuer.account(issuer.bound, "key_changed", account=name, key_type=key_type)
    back = issuer.account(issuer.bound, "key_changed", account=name)
    assert changed["account"]["url"] == back["account"]["url"] == before["url"]
    assert len({one["thumbprint"] for one in (before, changed["account"], back["account"])}) == 3
    assert not [path for path in issuer.files(f"accounts/rolled-{key_type}") if path.endswith("next.key")]


#: Before the CA is asked, after its yes: at each the CA knows the account by another of the two keys.
ACCOUNT_POINTS = ["account-next-key", "account-key-changed", "account-deactivated"]


@pytest.mark.parametrize(
    ("point", "then"),
    [
        (ACCOUNT_POINTS[0], "present"),
        (ACCOUNT_POINTS[0], "key_changed"),
        (ACCOUNT_POINTS[1], "present"),
        (ACCOUNT_POINTS[1], "key_changed"),
    ],
)
def test_k1_a_change_of_the_key_that_was_killed_loses_no_account(
    issuer: Issuer, point: str, then: str
) -> None:
    name = {"name": f"killed-{point}-{then}"}
    before = issuer.account(issuer.first, account=name)["account"]
    issuer.kill_at(point, lambda: issuer.account(issuer.first, "key_changed", account=name))
    asked = {"op": "request", "name": "any", "names": ["a.lab.test"], "account": name["name"]}
    prepared = send(issuer.host, {**asked, "ca": issuer.first.as_request()})["thumbprint"]
    assert (prepared != before["thumbprint"]) is (point == "account-key-changed"), "as orders would be signed"
    after = issuer.account(issuer.first, then, account=name)["account"]
    assert after["url"] == before["url"]
    is_new = then == "key_changed" or point == "account-key-changed"
    assert (after["thumbprint"] != before["thumbprint"]) is is_new
    assert issuer.account(issuer.first, account=name)["account"] == after


def test_an_account_that_was_ended_is_followed_by_another_with_a_key_of_its_own(issuer: Issuer) -> None:
    name = {"name": "ended"}
    before = issuer.account(issuer.first, account=name)["account"]
    issuer.kill_at(ACCOUNT_POINTS[2], lambda: issuer.account(issuer.first, "deactivated", account=name))
    known = issuer.account(issuer.first, account=name)
    assert known["failure"]["class"] == "account"
    again = issuer.account(issuer.first, "deactivated", account=name)
    assert again["changed"] is False
    assert not [path for path in issuer.files("accounts/ended") if path.endswith((".key", "/url"))]
    other = issuer.account(issuer.first, account=name)["account"]
    assert other["url"] != before["url"]
    assert other["thumbprint"] != before["thumbprint"]


def test_an_account_that_somebody_else_keeps_is_given_its_next_key(issuer: Issuer) -> None:
    old, new = new_key(ec.SECP384R1()), new_key()
    made = issuer.account(issuer.first, account={"private_key": old})["account"]
    wish = {"private_key": old, "url": made["url"], "next_private_key": new}
    changed, again = (issuer.account(issuer.first, "key_changed", account=wish) for _time in range(2))
    assert changed["account"] == again["account"]
    assert changed["account"]["url"] == made["url"]
    assert issuer.account(issuer.first, account={"private_key": new})["changed"] is False
    taken = {**wish, "private_key": new, "next_private_key": issuer_key(issuer)}
    assert (
        "another account" in issuer.account(issuer.first, "key_changed", account=taken)["failure"]["message"]
    )


def issuer_key(issuer: Issuer) -> str:
    """The key of another account of the same CA."""
    other = new_key()
    issuer.account(issuer.first, account={"private_key": other})
    return other


def test_accounts_of_two_cas_are_not_taken_for_each_other(issuer: Issuer) -> None:
    name = {"name": "both"}
    with ThreadPoolExecutor(2) as pool:
        first, bound = pool.map(lambda ca: issuer.account(ca, account=name), (issuer.first, issuer.bound))
    assert ":14000/" in first["account"]["url"]
    assert ":14001/" in bound["account"]["url"]
    assert first["account"]["thumbprint"] != bound["account"]["thumbprint"]
    assert issuer.account(issuer.first, "deactivated", account=name)["changed"]
    assert issuer.account(issuer.bound, account=name)["changed"] is False


def test_a_ca_that_cannot_be_reached_leaves_the_account_as_it_was(issuer: Issuer) -> None:
    name = {"name": "alone"}
    before = issuer.account(issuer.first, account=name)["account"]
    nobody = {**issuer.first.as_request(), "directory": "https://10.77.0.2:14999/dir"}
    for state in ("present", "key_changed", "deactivated"):
        wish = {"account": {**name, "eab_hmac_key": None}, "ca": nobody}
        assert issuer.account(issuer.first, state, **wish).get("failure", {}).get("class") in {
            "ca_unavailable",
            None,
        }
    assert issuer.account(issuer.first, account=name)["account"] == before


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"account": {"name": "../x"}}, "no valid name"),
        ({"account": {"name": "a'b"}}, "no valid name"),
        ({"email": "a'; id"}, "e-mail"),
        ({"key_type": "ec-512"}, "key type"),
        ({"ca": {"directory": "http://10.77.0.2/dir"}}, "https only"),
    ],
)
def test_what_is_no_account_is_refused_with_the_reason(
    issuer: Issuer, more: dict[str, dict[str, str]], told: str
) -> None:
    made = issuer.account(issuer.first, "key_changed", **{"account": {"name": "fine"}, **more})
    assert made["failure"]["class"] == "invalid_request"
    assert told in made["failure"]["message"]
