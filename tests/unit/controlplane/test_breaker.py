"""A circuit breaker: when nothing is asked, and when one order tries again."""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.breaker import (
    CA,
    DNS_PROVIDER,
    MOVES,
    PROBE_PATIENCE,
    Began,
    Breaker,
    Closed,
    Event,
    Failed,
    Go,
    Open,
    Probing,
    Shut,
    Succeeded,
    after,
    gate,
)
from notafter.domain.outcome import FailureClass

from tests.factories import NOW

MINUTE = timedelta(minutes=1)
DOWN = FailureClass.CA_UNAVAILABLE


def down(*certificates: str, at: timedelta = timedelta(0)) -> list[Event]:
    return [Failed(name, NOW + at, DOWN) for name in certificates]


def opened() -> Breaker:
    return after(CA, down("a", "b", "c"))


def probing() -> Breaker:
    return after(CA, [Began("p", NOW + 5 * MINUTE)], opened())


def test_three_different_certificates_open_it_and_one_that_fails_often_does_not() -> None:
    assert isinstance(after(CA, down("a", "a", "a", "a", "b")), Closed)
    state = opened()
    assert isinstance(state, Open)
    answer = gate(state, NOW)
    assert isinstance(answer, Shut)
    assert answer.until == NOW + 5 * MINUTE
    assert "ca_unavailable" in answer.sentence


def test_a_success_in_between_clears_the_suspects() -> None:
    events: list[Event] = [*down("a", "b"), Succeeded("c", NOW), *down("d")]
    assert isinstance(after(CA, events), Closed)


def test_a_ca_that_refuses_a_proof_is_a_ca_that_works() -> None:
    events = [*down("a", "b"), Failed("c", NOW, FailureClass.CHALLENGE_FAILED), *down("d")]
    assert isinstance(after(CA, events), Closed)


def test_what_speaks_against_the_dns_provider_does_not_stop_the_ca() -> None:
    events: list[Event] = [Failed(name, NOW, FailureClass.DNS_PROVIDER) for name in "abcdef"]
    assert isinstance(after(CA, events), Closed)
    assert isinstance(after(DNS_PROVIDER, events), Open)


def test_suspicions_are_forgotten_after_some_hours() -> None:
    assert isinstance(after(CA, [*down("a", "b"), *down("c", at=timedelta(hours=7))]), Closed)


def test_retry_after_is_obeyed_also_when_it_comes_while_open() -> None:
    half, hour = timedelta(minutes=30), timedelta(hours=1)
    limited = [Failed(name, NOW, FailureClass.RATE_LIMITED, half) for name in "abc"]
    assert gate(after(CA, limited), NOW + 29 * MINUTE) != Go(probe=True)
    late = after(CA, [Failed("d", NOW + MINUTE, FailureClass.RATE_LIMITED, hour)], after(CA, limited))
    assert isinstance(late, Open)
    assert late.until == NOW + MINUTE + hour


def test_a_retry_after_of_days_for_three_domains_leaves_room_for_a_probe_each_hour() -> None:
    days = timedelta(days=2)
    limited = [Failed(name, NOW, FailureClass.RATE_LIMITED, days, f"{name}.example") for name in "abc"]
    state = after(CA, limited)
    assert isinstance(gate(state, NOW + 59 * MINUTE), Shut)
    assert gate(state, NOW + 60 * MINUTE) == Go(probe=True)
    late = after(CA, [Failed("d", NOW + MINUTE, FailureClass.RATE_LIMITED, days)], state)
    assert gate(late, NOW + 61 * MINUTE) == Go(probe=True)


def test_a_limit_of_one_registered_domain_does_not_stop_the_account() -> None:
    hour = timedelta(hours=1)
    same: list[Event] = [
        Failed(name, NOW, FailureClass.RATE_LIMITED, hour, "example.com") for name in "abcdef"
    ]
    assert isinstance(after(CA, same), Closed)
    others = [Failed(name, NOW, FailureClass.RATE_LIMITED, hour, f"{name}.example") for name in "xy"]
    assert isinstance(after(CA, [*same, *others]), Open)


def test_one_probe_goes_and_nothing_beside_it() -> None:
    assert gate(opened(), NOW + 5 * MINUTE) == Go(probe=True)
    answer = gate(probing(), NOW + 6 * MINUTE)
    assert isinstance(answer, Shut)
    assert "p tries whether it works again" in answer.sentence


def test_a_probe_that_succeeds_closes_it() -> None:
    assert after(CA, [Succeeded("p", NOW + 6 * MINUTE)], probing()) == Closed()


def test_each_probe_that_fails_doubles_the_wait_up_to_an_hour() -> None:
    state, waits = opened(), []
    for _ in range(6):
        assert isinstance(state, Open)
        at = state.until
        state = after(CA, [Began("p", at), Failed("p", at, DOWN)], state)
        assert isinstance(state, Open)
        waits.append((state.until - at) / MINUTE)
    assert waits == [10, 20, 40, 60, 60, 60]


def test_a_probe_that_says_nothing_about_the_ca_makes_room_for_another() -> None:
    state = after(CA, [Failed("p", NOW + 6 * MINUTE, FailureClass.INTERNAL)], probing())
    assert gate(state, NOW + 6 * MINUTE) == Go(probe=True)


def test_a_late_failure_of_another_order_is_not_the_probes() -> None:
    assert after(CA, down("z", at=6 * MINUTE), probing()) == probing()


def test_a_lost_probe_is_replaced() -> None:
    later = NOW + 5 * MINUTE + PROBE_PATIENCE
    assert gate(probing(), later) == Go(probe=True)
    state = after(CA, [Began("q", later)], probing())
    assert isinstance(state, Probing)
    assert state.certificate == "q"


def test_an_order_before_the_time_is_the_probe_whoever_wanted_it() -> None:
    state = after(CA, [Began("x", NOW + MINUTE)], opened())
    assert isinstance(state, Probing)
    assert isinstance(gate(state, NOW + 2 * MINUTE), Shut)


def test_a_certificate_that_comes_while_open_closes_it() -> None:
    assert after(CA, [Succeeded("x", NOW + MINUTE)], opened()) == Closed()


def test_who_cannot_wait_goes_before_the_time_and_counts_from_the_last_order_that_was_tried() -> None:
    def patience(_since: object) -> timedelta:
        return 2 * MINUTE

    answer = gate(opened(), NOW + MINUTE, patience)
    assert isinstance(answer, Shut)
    assert answer.until == NOW + 2 * MINUTE
    assert gate(opened(), NOW + 2 * MINUTE, patience) == Go(probe=True)
    assert isinstance(gate(probing(), NOW + 6 * MINUTE, patience), Shut)
    assert gate(probing(), NOW + 7 * MINUTE, patience) == Go(probe=True)


@pytest.mark.parametrize(
    ("state", "event"), list(product((Closed, Open, Probing), (Began, Succeeded, Failed)))
)
def test_the_table_knows_each_event_in_each_state(state: type[Breaker], event: type[Event]) -> None:
    assert (state, event) in MOVES


certificates = st.sampled_from("abcdef")
minutes = st.integers(0, 600).map(lambda number: NOW + number * MINUTE)
events = st.lists(
    st.builds(Began, certificates, minutes)
    | st.builds(Succeeded, certificates, minutes)
    | st.builds(Failed, certificates, minutes, st.sampled_from(FailureClass), st.none()),
    max_size=40,
)


@given(events)
def test_whatever_happens_a_breaker_lets_an_order_through_within_two_hours(happened: list[Event]) -> None:
    ordered = sorted(happened, key=lambda event: event.at)
    state = after(CA, ordered)
    last = ordered[-1].at if ordered else NOW
    assert isinstance(gate(state, last + timedelta(hours=2)), Go)
