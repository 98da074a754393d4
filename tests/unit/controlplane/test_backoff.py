"""How long to wait after a failure."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.backoff import STEPS, longest_wait, next_attempt
from notafter.domain.outcome import FailureClass

from tests.factories import DAY, NOW, version

lives = st.timedeltas(min_value=timedelta(seconds=60), max_value=400 * DAY)


def test_the_waits_grow_from_a_minute_to_eight_hours() -> None:
    fresh = version(90 * DAY)
    for failures, step in enumerate((*STEPS, STEPS[-1]), 1):
        wait = next_attempt(NOW, failures, "crt-1", fresh) - NOW
        assert step * 0.85 <= wait <= step * 1.15


def test_certificates_that_fail_together_do_not_come_back_together() -> None:
    waits = {next_attempt(NOW, 4, f"crt-{n}", version()) for n in range(100)}
    assert len(waits) == 100


def test_asking_again_does_not_move_the_moment() -> None:
    assert next_attempt(NOW, 3, "crt-1", version()) == next_attempt(NOW, 3, "crt-1", version())


@given(lives, st.floats(0, 0.999), st.integers(1, 50))
def test_no_wait_reaches_beyond_the_end(life: timedelta, share: float, failures: int) -> None:
    current = version(life, age=life * share)
    assert next_attempt(NOW, failures, "x", current) <= current.not_after


def test_a_life_of_minutes_gets_several_attempts_before_its_end() -> None:
    current = version(timedelta(seconds=240))
    now, attempts = NOW + timedelta(seconds=160), 0
    while now < current.not_after and attempts < 100:
        attempts += 1
        now = next_attempt(now, attempts, "crt-1", current)
    assert 4 <= attempts <= 12


def test_a_dead_certificate_is_tried_every_hour_and_not_more() -> None:
    assert longest_wait(version(90 * DAY, age=100 * DAY), NOW) == timedelta(hours=1)


def test_retry_after_is_obeyed_even_when_it_hurts_but_not_for_ever() -> None:
    current = version(timedelta(seconds=240))
    hour = timedelta(hours=1)
    assert hour <= next_attempt(NOW, 1, "x", current, retry_after=hour) - NOW <= 1.1 * hour
    assert 2 * DAY <= next_attempt(NOW, 1, "x", current, retry_after=999 * DAY) - NOW < 2.01 * DAY


def test_those_whom_the_ca_sent_away_together_do_not_come_back_together() -> None:
    hour = timedelta(hours=1)
    back = {next_attempt(NOW, 1, f"crt-{n}", version(), retry_after=hour) for n in range(100)}
    assert len(back) == 100
    assert min(back) >= NOW + hour


def test_what_asking_again_cannot_mend_waits_an_hour_from_the_start() -> None:
    wait = next_attempt(NOW, 1, "x", version(), FailureClass.CAA) - NOW
    assert wait >= timedelta(minutes=50)


def test_a_ca_that_signs_something_else_is_not_asked_for_one_certificate_after_the_other() -> None:
    wait = next_attempt(NOW, 1, "x", version(), FailureClass.WRONG_CERTIFICATE) - NOW
    assert wait >= timedelta(minutes=50)


def test_what_asking_again_cannot_mend_is_asked_for_once_a_day_in_the_end() -> None:
    wait = next_attempt(NOW, 9, "x", version(), FailureClass.CAA) - NOW
    assert 0.85 * DAY <= wait <= 1.15 * DAY
