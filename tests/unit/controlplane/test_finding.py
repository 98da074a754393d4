"""Findings: each fact's level, its sentence, and what to do."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from notafter.domain.difference import Cause, Difference, Sight
from notafter.domain.finding import (
    REMEDIES,
    Kind,
    Level,
    Life,
    PlaceFacts,
    ServerFacts,
    changes_at,
    of_place,
    of_problem,
    of_server,
    spot,
)
from notafter.domain.identity import Kin
from notafter.domain.server import Presence

from tests.factories import DAY, NOW

WELL = Difference(Cause.IN_SYNC, "")
LIFE = Life(NOW - 10 * DAY, NOW + 80 * DAY)
OURS = PlaceFacts(
    spot=replace(spot("web1"), service="nginx", file="/etc/nginx/shop", line=4, names=("shop.example",)),
    difference=WELL,
    life=LIFE,
    adopted=True,
    certificate_adopted=True,
    managed_by=None,
)
STRANGE = replace(OURS, adopted=False, certificate_adopted=False)
SERVER = ServerFacts("web1", Presence.ONLINE, scanned=True)


def told(facts: PlaceFacts) -> list[tuple[Kind, Level]]:
    return [(one.kind, one.level) for one in of_place(facts, NOW)]


def ends(days: float, life: float = 90) -> Life:
    return Life(NOW + timedelta(days=days - life), NOW + timedelta(days=days))


def test_what_is_ours_and_well_is_no_finding() -> None:
    assert told(OURS) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, [(Kind.NOT_MANAGED, Level.WARNING)]),
        ({"managed_by": "certbot"}, [(Kind.MANAGED_BY_ANOTHER, Level.INFO)]),
        ({"certificate_adopted": True}, [(Kind.PLACE_NOT_ADOPTED, Level.WARNING)]),
        ({"adopted": True, "managed_by": "certbot"}, [(Kind.MANAGED_BY_ANOTHER, Level.WARNING)]),
        ({"difference": Difference(Cause.ABSENT, "gone")}, []),
    ],
)
def test_who_manages_it(change: dict[str, Any], found: list[tuple[Kind, Level]]) -> None:
    assert told(replace(STRANGE, **change)) == found


@pytest.mark.parametrize(
    ("life", "adopted", "found"),
    [
        (ends(40), False, []),
        (ends(20), False, [(Kind.EXPIRES_SOON, Level.WARNING)]),
        (ends(3), False, [(Kind.EXPIRES_SOON, Level.CRITICAL)]),
        (ends(3, life=6), False, []),
        (ends(1, life=6), False, [(Kind.EXPIRES_SOON, Level.WARNING)]),
        (ends(20), True, []),
        (ends(17), True, [(Kind.EXPIRES_SOON, Level.WARNING)]),
        (ends(-1), True, [(Kind.EXPIRED, Level.CRITICAL)]),
        (Life(NOW + DAY, NOW + 90 * DAY), True, [(Kind.NOT_YET_VALID, Level.CRITICAL)]),
        (None, True, []),
    ],
)
def test_how_long_it_lives(life: Life | None, adopted: bool, found: list[tuple[Kind, Level]]) -> None:
    facts = replace(OURS if adopted else replace(STRANGE, managed_by="certbot"), life=life)
    assert [one for one in told(facts) if one[0] is not Kind.MANAGED_BY_ANOTHER] == found


def test_an_expired_one_says_since_when() -> None:
    (one,) = of_place(replace(OURS, life=ends(-3)), NOW)
    assert one.told(NOW).endswith(", 3 days ago")
    assert (one.server, one.file, one.line, one.names) == ("web1", "/etc/nginx/shop", 4, ("shop.example",))


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause not in {Cause.IN_SYNC, Cause.UNKNOWN}])
def test_each_cause_of_a_difference_is_a_finding_with_its_sentence(cause: Cause) -> None:
    (one,) = of_place(replace(OURS, difference=Difference(cause, "why")), NOW)
    assert (one.kind.value, one.sentence) == (cause.value, "why")


def test_a_difference_is_worse_where_what_is_shown_has_expired_or_nothing_helps() -> None:
    shown = Sight("*:443", None, "ab" * 32, not_after=NOW - DAY)
    stale = Difference(Cause.NOT_RELOADED, "why", shown)
    assert told(replace(OURS, difference=stale)) == [(Kind.NOT_RELOADED, Level.CRITICAL)]
    behind = replace(OURS, difference=Difference(Cause.BEHIND, "why"))
    assert told(behind) == [(Kind.BEHIND, Level.INFO)]
    (one,) = of_place(replace(behind, failures=3, last_problem="no space"), NOW)
    assert (one.level, "3 times: no space" in one.sentence) == (Level.WARNING, True)
    silent = Difference(Cause.NOT_SERVED, "why")
    assert told(replace(OURS, difference=silent)) == [(Kind.NOT_SERVED, Level.WARNING)]
    assert (Kind.NOT_SERVED, Level.INFO) in told(replace(STRANGE, difference=silent))


def test_a_renewal_that_fails_is_told_with_its_reason() -> None:
    (one,) = of_place(replace(OURS, renewal_failures=2, renewal_problem="the CA says no"), NOW)
    assert (one.kind, "2 times: the CA says no" in one.sentence) == (Kind.RENEWAL_FAILED, True)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"scanned": False, "presence": Presence.UNSEEN}, [Kind.NEVER_SCANNED]),
        ({"presence": Presence.OFFLINE, "scanned": False, "last_problem": "no route"}, [Kind.NOT_REACHABLE]),
        ({"last_problem": "no python3 here"}, [Kind.SCAN_FAILED]),
        ({"presence": Presence.OFFLINE, "left": True}, []),
        ({"same_as": "web2"}, [Kind.SAME_MACHINE]),
        ({"twins": (("web2", Kin.CLONE), ("web3", Kin.UNDECIDED))}, [Kind.CLONE, Kind.SAME_MACHINE_ID]),
    ],
)
def test_what_there_is_to_say_of_a_server(change: dict[str, Any], found: list[Kind]) -> None:
    assert [one.kind for one in of_server(replace(SERVER, **change))] == found


def test_a_problem_of_a_kind_that_we_do_not_know_is_a_finding_too() -> None:
    one = of_problem(spot("web1"), "{{ odd }}", "something")
    assert (one.kind, one.level, one.sentence) == (Kind.OTHER, Level.WARNING, "something")
    assert of_problem(spot("web1"), "key_mismatch", "x").level is Level.CRITICAL


def test_each_kind_says_what_to_do_unless_its_sentence_does() -> None:
    said_by_the_sentence = {
        Kind.BEHIND,
        Kind.OVERWRITTEN,
        Kind.NOT_RELOADED,
        Kind.SERVED_BY_ANOTHER,
        Kind.NOT_SERVED,
        Kind.DIFFERS_OUTSIDE,
        Kind.ABSENT,
    }
    assert set(Kind) - set(REMEDIES) == said_by_the_sentence


def test_a_text_is_found_in_whatever_a_finding_says() -> None:
    (one,) = of_place(replace(STRANGE, life=None), NOW)
    for text in ("WEB1", "shop.EXAMPLE", "nobody", "/etc/nginx"):
        assert text.casefold() in one.said
    assert "elsewhere" not in one.said


@pytest.mark.parametrize(
    ("days_left", "days_until"),
    [(90, 60), (30, 23), (25, 18), (7, 7), (3, 3), (-1, None)],
)
def test_time_alone_changes_it_at_known_moments(days_left: int, days_until: float | None) -> None:
    """It ends soon, then very soon, then it has ended; each is said from its moment on."""
    facts = replace(STRANGE, life=Life(ends(days_left).ends - 90 * DAY, ends(days_left).ends))
    at = changes_at(facts, NOW)
    assert at == (None if days_until is None else NOW + days_until * DAY)
    if at is not None:
        before, after = told_at(facts, NOW), told_at(facts, at)
        assert before != after
        assert told_at(facts, at - timedelta(seconds=1)) == before


def told_at(facts: PlaceFacts, now: datetime) -> list[tuple[Kind, Level]]:
    return [(one.kind, one.level) for one in of_place(facts, now)]
