"""When a server is looked at again, and which names mean one machine."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.server import is_everywhere, next_scan

from tests.factories import DAY, NOW

HOUR = timedelta(hours=1)


@given(st.text(max_size=20), st.integers(0, 10**7), st.sampled_from([HOUR, 6 * HOUR, DAY, 7 * DAY]))
def test_the_next_look_is_about_an_interval_away(name: str, seconds: int, interval: timedelta) -> None:
    last = NOW + timedelta(seconds=seconds)
    again = next_scan(name, last, interval)
    assert interval / 2 <= again - last < interval * 1.5
    assert next_scan(name, again, interval) - again == interval, "from then on at a time of its own"


def test_a_fleet_is_spread_over_the_interval() -> None:
    times = [next_scan(f"web{number}", NOW, DAY) for number in range(480)]
    hours = {(moment - NOW) // HOUR for moment in times}
    assert len(hours) == 24
    assert max(sum(moment == one for one in times) for moment in set(times)) < 60


@pytest.mark.parametrize(
    ("name", "everywhere"),
    [("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("web1", False), ("localhost2", False)],
)
def test_a_name_of_every_machine_is_none(name: str, everywhere: bool) -> None:
    assert is_everywhere(name) is everywhere
