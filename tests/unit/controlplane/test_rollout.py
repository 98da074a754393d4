"""How far a new version goes while some servers do not take it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from notafter.domain.deployment import DeploymentFacts, why_deploy
from notafter.domain.errors import InvalidInput
from notafter.domain.reason import ReasonCode
from notafter.domain.rollout import DEFAULT_POLICY, NotTaken, Rollout, WavePolicy

from tests.factories import DAY, NOW, version

NEW, OLD = "ab" * 32, "cd" * 32
WEB1 = NotTaken("dep-1", "web1", "nginx does not show it", NOW + DAY)
WEB2 = NotTaken("dep-2", "web2", "nginx does not reload", NOW + 2 * DAY)
FACTS = DeploymentFacts(
    adopted=True,
    absent=False,
    in_progress=False,
    wanted=version(fingerprint=NEW),
    live_fingerprint=OLD,
    file_fingerprint=OLD,
    held_back_by=(WEB2, WEB1),
    urgent_at=NOW + 3 * DAY,
)


def test_one_failure_holds_back_all_others_but_not_itself() -> None:
    rollout = Rollout(DEFAULT_POLICY, arrived=0, not_taken=(WEB1,))
    assert rollout.held_back("dep-9") == (WEB1,)
    assert rollout.held_back("dep-1") == ()


@pytest.mark.parametrize(("arrived", "held"), [(18, False), (17, True), (0, True)])
def test_as_many_may_fail_as_the_policy_allows(arrived: int, held: bool) -> None:
    rollout = Rollout(WavePolicy(max_fail_percentage=10), arrived, (WEB1, WEB2))
    assert bool(rollout.held_back("dep-9")) is held


def test_where_all_get_it_at_once_nobody_waits() -> None:
    assert Rollout(WavePolicy(("100%",)), 0, (WEB1, WEB2)).held_back("dep-9") == ()


@pytest.mark.parametrize("waves", [(), (1,) * 6, (0,), (-1,), ("0%",), ("101%",), ("10",), ("ten",), (True,)])
def test_waves_that_no_run_could_follow_are_refused_with_an_example(waves: tuple[int | str, ...]) -> None:
    with pytest.raises(InvalidInput, match="such as 1, 10%, 100%"):
        WavePolicy(waves)


@pytest.mark.parametrize("percentage", [-1, 101])
def test_a_percentage_is_one_of_a_hundred(percentage: int) -> None:
    with pytest.raises(InvalidInput, match="max_fail_percentage must be 0 to 100"):
        WavePolicy(max_fail_percentage=percentage)


def test_a_place_that_waits_says_for_whom_and_when_that_is_tried_again() -> None:
    decision = why_deploy(FACTS, NOW)
    assert (decision.due, decision.reason.code, decision.at) == (False, ReasonCode.HELD_BACK, NOW + DAY)
    assert decision.reason.sentence == (
        f"waits for web1 and 1 more, which did not take it, tried again at {NOW + DAY:%Y-%m-%d %H:%M:%S} UTC:"
        " nginx does not show it"
    )


@pytest.mark.parametrize("urgent_at", [None, NOW, NOW - DAY])
def test_what_ends_soon_or_is_not_known_waits_for_nobody(urgent_at: None) -> None:
    decision = why_deploy(replace(FACTS, urgent_at=urgent_at), NOW)
    assert (decision.due, decision.reason.code) == (True, ReasonCode.BEHIND)


def test_its_own_back_off_goes_before_the_wait_for_others() -> None:
    decision = why_deploy(replace(FACTS, next_attempt_at=NOW + timedelta(hours=1), failures=1), NOW)
    assert decision.reason.code == ReasonCode.BACKING_OFF
