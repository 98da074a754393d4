"""Which versions may be revoked, and what must be forced."""

from dataclasses import replace

import pytest
from notafter.domain.revocation import RevocationBy, RevocationFacts, why_never, why_not_yet

OLD = RevocationFacts("crt-1", "ab" * 32, RevocationBy.ACCOUNT, has_key=True, account="main")


def test_what_serves_nowhere_and_is_wanted_nowhere_may_be_revoked() -> None:
    assert why_never(OLD) is None
    assert why_not_yet(OLD) is None


def test_h1_what_serves_is_kept_unless_somebody_forces_it() -> None:
    places = tuple(f"web{n} nginx /etc/ssl/shop.pem" for n in range(5))
    told = why_not_yet(replace(OLD, serves_at=places))
    assert told is not None
    assert "still serves at web0 nginx /etc/ssl/shop.pem, " in told
    assert "and 2 places more: renew and deploy crt-1 first, or force it" in told


def test_h6_the_version_that_places_are_to_show_is_kept_though_none_shows_it_yet() -> None:
    told = why_not_yet(replace(OLD, wanted=True))
    assert told is not None
    assert "is what the places of crt-1 are to show" in told


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (replace(OLD, revoked=True), "was revoked already"),
        (replace(OLD, expired=True), "has expired"),
        (replace(OLD, account=None), "adopt it first"),
        (replace(OLD, by=RevocationBy.KEY, has_key=False), "revoke it by account"),
    ],
)
def test_what_nobody_can_do_is_said_and_cannot_be_forced(facts: RevocationFacts, told: str) -> None:
    assert told in str(why_never(facts))
