"""When a certificate is renewed, and why."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.reason import ReasonCode
from notafter.domain.renewal import (
    ari_point,
    emergency_at,
    first_renewal_at,
    next_renewal,
    renew_at,
    renew_before,
    why_due,
)
from notafter.domain.version import RenewalWindow

from tests.factories import DAY, NOW, renewal_facts, version

lives = st.timedeltas(min_value=timedelta(seconds=1), max_value=400 * DAY)
moments = st.timedeltas(min_value=-800 * DAY, max_value=3000 * DAY).map(lambda offset: NOW + offset)
windows = st.builds(RenewalWindow, moments, moments)
serials = st.text("0123456789abcdef", min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("life", "before"),
    [
        (90 * DAY, 15 * DAY),
        (47 * DAY, 15 * DAY),
        (6 * DAY, 2 * DAY),
        (timedelta(seconds=240), timedelta(seconds=80)),
    ],
)
def test_unless_told_otherwise_fifteen_days_or_a_third_of_the_life_are_left(
    life: timedelta,
    before: timedelta,
) -> None:
    assert renew_before(version(life), None) == before


def test_a_wish_longer_than_the_life_does_not_renew_for_ever() -> None:
    short = version(6 * DAY)
    assert renew_at(short, 30 * DAY) == short.not_before + 2 * DAY


def test_a_wish_for_the_last_minute_does_not_reach_into_the_emergency() -> None:
    assert renew_at(version(90 * DAY), timedelta(hours=1)) == emergency_at(version(90 * DAY))


@given(lives, windows, serials, st.none() | lives)
def test_no_window_ever_delays_a_renewal(
    life: timedelta,
    window: RenewalWindow,
    serial: str,
    wish: timedelta | None,
) -> None:
    with_window = version(life, window=window, serial=serial)
    without = version(life, serial=serial)
    assert renew_at(with_window, wish) <= renew_at(without, wish) <= emergency_at(without)


@given(lives, windows, serials)
def test_our_moment_lies_in_the_window_and_does_not_move(
    life: timedelta,
    window: RenewalWindow,
    serial: str,
) -> None:
    current = version(life, window=window, serial=serial)
    point = ari_point(current)
    if point is not None:
        assert window.start <= point <= window.end
        assert ari_point(current) == point


@pytest.mark.parametrize(
    "window",
    [
        RenewalWindow(NOW + DAY, NOW + DAY),
        RenewalWindow(NOW + 2 * DAY, NOW + DAY),
        RenewalWindow(NOW + 3000 * DAY, NOW + 3001 * DAY),
        RenewalWindow(NOW - 9 * DAY, NOW - 8 * DAY),
    ],
    ids=["empty", "backwards", "after the end", "before the certificate"],
)
def test_absurd_windows_are_ignored(window: RenewalWindow) -> None:
    assert ari_point(version(90 * DAY, window=window)) is None


def test_a_fleet_spreads_over_the_window() -> None:
    window = RenewalWindow(NOW + 10 * DAY, NOW + 20 * DAY)
    points = [ari_point(version(serial=f"{n:x}", window=window)) for n in range(1000)]
    days = [int((point - window.start) / DAY) for point in points if point]
    assert all(60 < days.count(day) < 140 for day in range(10))


@given(lives, st.text(max_size=10))
def test_first_renewals_are_spread_before_the_regular_moment(life: timedelta, seed: str) -> None:
    current = version(life)
    first = first_renewal_at(current, None, seed, NOW)
    assert first is not None
    assert NOW < first <= renew_at(current)


def test_an_urgent_certificate_does_not_wait_for_its_spread() -> None:
    assert first_renewal_at(version(90 * DAY, age=80 * DAY), None, "x", NOW) is None


@pytest.mark.parametrize(
    ("case", "code", "due"),
    [
        ({"current": version(), "adopted": False}, ReasonCode.NOT_ADOPTED, False),
        ({"current": version(age=89 * DAY), "auto_renew": False}, ReasonCode.PAUSED, False),
        ({"current": version(age=89 * DAY), "in_progress": True}, ReasonCode.IN_PROGRESS, False),
        (
            {"current": version(age=89 * DAY), "next_attempt_at": NOW + DAY, "failures": 2},
            ReasonCode.BACKING_OFF,
            False,
        ),
        ({"current": version(age=89 * DAY), "next_attempt_at": NOW}, ReasonCode.EMERGENCY, True),
        ({"current": None}, ReasonCode.NO_VERSION, True),
        ({"current": version(revoked_at=NOW - DAY)}, ReasonCode.REVOKED, True),
        ({"current": version(age=90 * DAY)}, ReasonCode.EXPIRED, True),
        ({"current": version(age=72 * DAY)}, ReasonCode.EMERGENCY, True),
        ({"current": version(47 * DAY, age=32 * DAY)}, ReasonCode.THRESHOLD, True),
        ({"current": version(age=30 * DAY), "renew_before": 60 * DAY}, ReasonCode.THRESHOLD, True),
        (
            {"current": version(age=DAY, window=RenewalWindow(NOW - 2 * DAY, NOW - DAY / 2))},
            ReasonCode.CA_ASKS,
            True,
        ),
        ({"current": version(), "first_renewal_at": NOW}, ReasonCode.FIRST_RENEWAL, True),
        ({"current": version()}, ReasonCode.NOT_YET, False),
    ],
)
def test_the_first_check_that_speaks_gives_the_reason(
    case: dict[str, Any], code: ReasonCode, due: bool
) -> None:
    decision = why_due(renewal_facts(case.pop("current"), **case), NOW)
    assert (decision.due, decision.reason.code) == (due, code)
    assert decision.reason.sentence


@given(lives, windows | st.none(), st.none() | lives, st.floats(0, 1.2))
def test_the_index_and_the_last_word_agree(
    life: timedelta,
    window: RenewalWindow | None,
    wish: timedelta | None,
    share: float,
) -> None:
    facts = renewal_facts(version(life, window=window), renew_before=wish)
    now = NOW + life * share
    moment = next_renewal(facts)
    assert moment is not None
    assert why_due(facts, now).due == (moment <= now)


def test_what_is_not_due_says_when_it_will_be() -> None:
    decision = why_due(renewal_facts(version(90 * DAY)), NOW)
    assert decision.at == NOW + 72 * DAY
    assert "2027-02-02" in decision.reason.sentence
