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
    hurries,
    next_renewal,
    regular_at,
    renew_at,
    renew_before,
    spread,
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
        (90 * DAY, 30 * DAY),
        (45 * DAY, 15 * DAY),
        (10 * DAY, 10 * DAY / 3),
        (6 * DAY, 3 * DAY),
        (timedelta(seconds=240), timedelta(seconds=120)),
    ],
)
def test_unless_told_otherwise_a_third_is_left_and_of_a_short_life_the_half(
    life: timedelta,
    before: timedelta,
) -> None:
    assert renew_before(version(life), None) == before


@given(lives, serials, st.none() | lives)
def test_a_renewal_comes_early_by_at_most_a_tenth_of_the_life_and_a_restart_does_not_move_it(
    life: timedelta,
    serial: str,
    wish: timedelta | None,
) -> None:
    current = version(life, serial=serial)
    latest = min(current.not_after - renew_before(current, wish), emergency_at(current))
    assert latest - life / 10 <= regular_at(current, wish) <= latest
    assert regular_at(version(life, serial=serial), wish) == regular_at(current, wish)


def test_those_of_one_day_are_spread_over_a_tenth_of_their_life() -> None:
    early = [spread(version(90 * DAY, serial=f"{n:x}")) / DAY for n in range(900)]
    assert all(60 < sum(day <= one < day + 1 for one in early) < 140 for day in range(9))


def test_a_wish_longer_than_the_life_does_not_renew_for_ever() -> None:
    short = version(6 * DAY)
    assert renew_at(short, 30 * DAY) == short.not_before + 2 * DAY - spread(short)


def test_a_wish_for_the_last_minute_does_not_reach_into_the_emergency() -> None:
    current = version(90 * DAY)
    assert renew_at(current, timedelta(hours=1)) == emergency_at(current) - spread(current)


@given(lives, windows, serials, st.none() | lives)
def test_no_window_delays_a_renewal_into_the_emergency_nor_beyond_a_wish(
    life: timedelta,
    window: RenewalWindow,
    serial: str,
    wish: timedelta | None,
) -> None:
    with_window = version(life, window=window, serial=serial)
    assert renew_at(with_window, wish) <= emergency_at(with_window)
    if wish is not None:
        assert renew_at(with_window, wish) <= renew_at(version(life, serial=serial), wish)


def test_a_ca_may_ask_for_less_haste_than_we_would_have() -> None:
    window = RenewalWindow(NOW + 65 * DAY, NOW + 66 * DAY)
    assert window.start <= renew_at(version(90 * DAY, window=window)) <= window.end
    assert renew_at(version(90 * DAY, window=window), 30 * DAY) <= NOW + 60 * DAY


@given(lives, windows, serials)
def test_our_moment_lies_in_the_window_and_does_not_move(
    life: timedelta,
    window: RenewalWindow,
    serial: str,
) -> None:
    current = version(life, window=window, serial=serial)
    point = ari_point(current)
    if point is not None:
        assert window.start <= point <= max(window.end, current.not_before + min(DAY / 2, life / 3))
        assert ari_point(current) == point


@pytest.mark.parametrize(
    "window",
    [
        RenewalWindow(NOW + DAY, NOW + DAY),
        RenewalWindow(NOW + 2 * DAY, NOW + DAY),
        RenewalWindow(NOW + 3000 * DAY, NOW + 3001 * DAY),
        RenewalWindow(NOW - 9 * DAY, NOW - 8 * DAY),
        RenewalWindow(NOW + DAY, NOW.replace(year=9999)),
    ],
    ids=["empty", "backwards", "after the end", "before the certificate", "without an end"],
)
def test_absurd_windows_are_ignored(window: RenewalWindow) -> None:
    assert ari_point(version(90 * DAY, window=window)) is None


def test_a_window_in_the_past_means_now_and_that_the_ca_hurries() -> None:
    current = version(age=20 * DAY, window=RenewalWindow(NOW - DAY / 24, NOW - DAY / 48))
    assert renew_at(current) <= NOW
    assert hurries(current)
    assert why_due(renewal_facts(current), NOW).reason.code == ReasonCode.CA_HURRIES


def test_a_ca_that_says_at_once_of_each_new_certificate_is_not_asked_for_one_every_minute() -> None:
    now, orders = NOW, 0
    while now < NOW + 10 * DAY:
        window = RenewalWindow(now - DAY / 24, now - DAY / 48)
        issued = version(now=now, age=DAY / 24, serial=f"{orders:x}", window=window)
        now, orders = renew_at(issued), orders + 1
    assert orders <= 25


@given(lives, lives, serials, st.none() | lives, windows | st.none())
def test_however_far_a_ca_dates_back_a_good_part_of_the_life_has_passed_at_the_renewal(
    left: timedelta, back: timedelta, serial: str, wish: timedelta | None, window: RenewalWindow | None
) -> None:
    issued = version(back + left, age=back, serial=serial, window=window, issued_at=NOW)
    passed = renew_at(issued, wish) - NOW
    assert left * 0.8 >= passed >= min(left * 0.23, DAY / 2)
    if wish is None and window is None:
        assert passed >= left / 3


def test_a_ca_that_dates_back_by_the_whole_life_gets_three_orders_in_a_life_and_not_one_a_tick() -> None:
    for left, back in ((60, 60), (4, 5), (60, 600)):
        minute = timedelta(minutes=1)
        now, orders = NOW, 0
        while now < NOW + 10 * left * minute:
            issued = version(
                (left + back) * minute, age=back * minute, now=now, serial=f"{orders:x}", issued_at=now
            )
            facts = renewal_facts(issued)
            assert not why_due(facts, now + left * minute / 3 - minute / 60).due
            now, orders = renew_at(issued), orders + 1
        assert orders <= 25


def test_one_that_was_found_near_its_end_is_renewed_at_once() -> None:
    found = version(90 * DAY, age=85 * DAY)
    assert why_due(renewal_facts(found), NOW).reason.code == ReasonCode.EMERGENCY


def test_a_ca_whose_windows_end_a_little_before_our_own_moment_is_in_no_hurry() -> None:
    early = version(age=52 * DAY, window=RenewalWindow(NOW - 4 * DAY, NOW - 2 * DAY))
    assert not hurries(early)
    assert why_due(renewal_facts(early), NOW).reason.code == ReasonCode.CA_ASKS


def test_a_fleet_spreads_over_the_window() -> None:
    window = RenewalWindow(NOW + 10 * DAY, NOW + 20 * DAY)
    points = [ari_point(version(serial=f"{n:x}", window=window)) for n in range(1000)]
    days = [int((point - window.start) / DAY) for point in points if point]
    assert all(60 < days.count(day) < 140 for day in range(10))


@given(lives, windows | st.none(), st.floats(0, 1.2))
def test_whatever_the_life_it_is_due_in_its_last_fifth_and_not_in_its_first_two_fifths(
    life: timedelta, window: RenewalWindow | None, share: float
) -> None:
    facts = renewal_facts(version(life, window=window))
    due = why_due(facts, NOW + life * share).due
    assert due or share < 0.8
    assert not due or share > 0.4 or window is not None


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
        ({"current": version(6 * DAY, age=3 * DAY)}, ReasonCode.THRESHOLD, True),
        ({"current": version(age=30 * DAY), "renew_before": 60 * DAY}, ReasonCode.THRESHOLD, True),
        (
            {"current": version(age=DAY, window=RenewalWindow(NOW - 2 * DAY, NOW - DAY / 2))},
            ReasonCode.CA_HURRIES,
            True,
        ),
        (
            {"current": version(age=61 * DAY, window=RenewalWindow(NOW - 2 * DAY, NOW))},
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
    current = version(90 * DAY)
    decision = why_due(renewal_facts(current), NOW)
    assert decision.at == NOW + 60 * DAY - spread(current)
    assert f"{decision.at:%Y-%m-%d}" in decision.reason.sentence
