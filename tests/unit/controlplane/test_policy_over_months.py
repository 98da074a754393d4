"""The policy with the clock moved: what a certificate that keeps failing asks of its CA in weeks, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from notafter.domain.backoff import next_attempt
from notafter.domain.breaker import CA, Began, Breaker, Closed, Failed, after
from notafter.domain.budget import Budget, Order, limits_of
from notafter.domain.outcome import FailureClass
from notafter.domain.queue import Candidate, Chosen, Left, Means, Way, candidate, choose
from notafter.domain.reason import ReasonCode
from notafter.domain.renewal import emergency_at, why_due
from notafter.domain.version import RenewalWindow, Version

from tests.factories import DAY, NOW, renewal_facts, version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
#: Failures in a row after which Let's Encrypt takes no more orders for a name.
PAUSED_AFTER = 1152
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(seconds=30)


@dataclass
class Fleet:
    """Certificates with one account; whoever orders is answered with the same failure each time."""

    versions: list[Version]
    failure: FailureClass
    retry_after: timedelta | None = None
    directory: str = "https://ca.corp.example/acme"
    names: tuple[str, ...] = ()
    breaker: Breaker = field(default_factory=Closed)
    asked: list[tuple[datetime, int]] = field(default_factory=list)

    def live(self, until: timedelta) -> None:
        """Let the clock run, and each certificate ask whenever the policy lets it."""
        budget = Budget("main", limits_of(self.directory))
        waits = dict.fromkeys(range(len(self.versions)), NOW)
        failures = Counter[int]()
        now = NOW
        while now < NOW + until:
            means = Means({"main": budget}, {"main": self.breaker}, {"main": CA}, free=50, room=50)
            due = [one for one, at in waits.items() if at <= now]
            chosen = choose([self.candidate(one, now) for one in due], means, now)
            for one in (int(some.key) for some in chosen.taken):
                self.asked.append((now, one))
                failures[one] += self.failure is not FailureClass.RATE_LIMITED
                waits[one] = next_attempt(
                    now, failures[one], str(one), self.versions[one], self.failure, self.retry_after
                )
                order = Order((self.name(one),))
                budget.came_back(order)
                budget.not_issued(order, now)
                if self.failure is FailureClass.CHALLENGE_FAILED:
                    budget.not_proved(self.name(one), now)
                failed = Failed(str(one), now, self.failure, self.retry_after)
                self.breaker = after(CA, [Began(str(one), now), failed], self.breaker)
            now = max(now + TICK, min(self.moments(now, waits.values(), chosen)))

    @staticmethod
    def moments(now: datetime, waits: Iterable[datetime], chosen: Chosen) -> Iterator[datetime]:
        """When anything may change: at each other time a tick would find the same."""
        yield from (at for at in waits if at > now)
        yield from (one.at or now for one in chosen.left)

    def name(self, one: int) -> str:
        return self.names[one] if self.names else f"n{one}.example"

    def candidate(self, one: int, now: datetime) -> Candidate:
        facts = renewal_facts(self.versions[one])
        decision = why_due(facts, now)
        assert decision.due, decision
        return candidate(facts, decision.reason, str(one), [Way("main", Order((self.name(one),)), ("main",))])

    def times(self, one: int) -> list[datetime]:
        return [at for at, who in self.asked if who == one]

    def most_within(self, span: timedelta) -> int:
        moments = sorted(at for at, _ in self.asked)
        return max(sum(at <= other < at + span for other in moments) for at in moments)


def ending(left: timedelta, life: timedelta = 90 * DAY, serial: str = "1f") -> Version:
    return version(life, age=life - left, serial=serial)


def test_c5_a_name_that_is_never_proved_is_asked_for_after_1_10_and_100_minutes_and_then_daily() -> None:
    fleet = Fleet([ending(29 * DAY)], FailureClass.CHALLENGE_FAILED)
    fleet.live(10 * DAY)
    waits = [later - earlier for earlier, later in pairwise(fleet.times(0))]
    for wait, step in zip(waits, [MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY], strict=False):
        assert 0.85 * step <= wait <= 1.15 * step + TICK
    assert len(waits) <= 3 + 10


@pytest.mark.parametrize("life", [90 * DAY, 6 * DAY])
@pytest.mark.parametrize("directory", [LETS_ENCRYPT, "https://ca.corp.example/acme"])
def test_c5_in_thirty_days_no_name_fails_more_than_five_times_in_an_hour_nor_until_the_ca_pauses_it(
    life: timedelta, directory: str
) -> None:
    fleet = Fleet(
        [ending(min(29 * DAY, life * 0.4), life)], FailureClass.CHALLENGE_FAILED, directory=directory
    )
    fleet.live(45 * DAY)
    assert fleet.most_within(HOUR) <= 5
    assert len(fleet.asked) < PAUSED_AFTER / 10, "though it has expired in between, and is still asked for"
    assert len([at for at in fleet.times(0) if at > NOW + 35 * DAY]) in range(8, 13), "once a day"


def test_c5_the_limit_of_a_name_holds_for_all_certificates_that_have_it() -> None:
    versions = [ending(10 * DAY, serial=f"{n:x}") for n in range(6)]
    fleet = Fleet(
        versions,
        FailureClass.CHALLENGE_FAILED,
        directory=LETS_ENCRYPT,
        names=("shop.example",) * 6,
    )
    fleet.live(2 * DAY)
    assert fleet.most_within(HOUR) <= 5
    assert len({one for _, one in fleet.asked}) > 3
    assert len(fleet.asked) > 10, "it is still asked for"


@pytest.mark.parametrize(
    "failure", [FailureClass.CAA, FailureClass.REJECTED_IDENTIFIER, FailureClass.ACCOUNT]
)
def test_c7_what_somebody_must_mend_is_asked_for_once_a_day(failure: FailureClass) -> None:
    fleet = Fleet([ending(20 * DAY)], failure)
    fleet.live(30 * DAY)
    assert fleet.most_within(DAY) == 1
    assert len(fleet.asked) >= 25, "and it is not forgotten"


def test_c7_an_account_that_is_refused_is_tried_by_one_certificate_a_day_however_many_it_has() -> None:
    fleet = Fleet([ending(29 * DAY, serial=f"{n:x}") for n in range(40)], FailureClass.ACCOUNT)
    fleet.live(5 * DAY)
    first_day = [at for at, _ in fleet.asked if at < NOW + HOUR]
    assert len(fleet.asked) - len(first_day) <= 5
    assert len(first_day) <= 40, "they were sent out together, before the first had failed"


def test_c1_no_certificate_asks_again_before_the_time_that_the_ca_has_named() -> None:
    fleet = Fleet([ending(20 * DAY, serial=f"{n:x}") for n in range(10)], FailureClass.RATE_LIMITED, 2 * HOUR)
    fleet.live(2 * DAY)
    for one in range(10):
        waits = [later - earlier for earlier, later in pairwise(fleet.times(one))]
        assert all(wait >= 2 * HOUR for wait in waits)


def test_c1_to_be_sent_away_for_days_makes_no_wait_longer_than_the_ca_asked_for() -> None:
    current = ending(20 * DAY)
    first, later = (next_attempt(NOW, 0, "x", current, FailureClass.RATE_LIMITED, HOUR) for _ in range(2))
    assert first == later
    assert HOUR <= first - NOW <= 1.1 * HOUR
    absent = next_attempt(NOW, 0, "x", current, FailureClass.RATE_LIMITED)
    assert 0.85 * HOUR <= absent - NOW <= 1.15 * HOUR, "without a time an hour"


def test_c1_a_certificate_that_was_put_off_is_not_one_that_failed_and_says_when_it_is_next() -> None:
    facts = renewal_facts(ending(20 * DAY), next_attempt_at=NOW + HOUR)
    decision = why_due(replace(facts, last_problem="too many orders"), NOW)
    assert decision.reason.code == ReasonCode.DEFERRED
    assert decision.reason.sentence == (
        "put off by its CA (too many orders), tried again at 2026-11-22 13:00:00 UTC"
    )


def test_c9_after_a_mass_revocation_all_are_due_at_once_and_the_worst_deadline_goes_first() -> None:
    past = RenewalWindow(NOW - 2 * HOUR, NOW - HOUR)
    told = [version(90 * DAY, age=n * DAY, serial=f"{n:x}", window=past) for n in range(1, 40)]
    listed = [
        version(90 * DAY, age=n * DAY, serial=f"a{n:x}", revoked_at=NOW - n * HOUR) for n in range(1, 40)
    ]
    fleet = Fleet(told + listed, FailureClass.CA_UNAVAILABLE)
    candidates = [fleet.candidate(one, NOW) for one in range(len(fleet.versions))]
    assert {one.reason.code for one in candidates} == {ReasonCode.CA_HURRIES, ReasonCode.REVOKED}
    means = Means({"main": Budget("main", limits_of(LETS_ENCRYPT))}, free=60, room=60)
    chosen = choose(candidates, means, NOW)
    assert len(chosen.taken) == 60, "what cannot wait may have the reserve as well"
    deadlines = {one.key: one.deadline for one in candidates}
    assert [deadlines[one.key] for one in chosen.taken] == sorted(deadlines.values())[:60]
    assert all(isinstance(one, Left) for one in chosen.left)


def test_c14_lives_that_shrink_from_one_renewal_to_the_next_are_renewed_by_their_own_shares() -> None:
    lives = [90 * DAY, 64 * DAY, 45 * DAY, 6 * DAY, timedelta(hours=8)]
    now = NOW
    for number, life in enumerate([*lives, *lives]):
        current = Version(f"{number:x}", "ab" * 32, now, now + life, has_key=True, issued_at=now)
        facts = renewal_facts(current)
        asleep = why_due(facts, now)
        assert not asleep.due
        assert asleep.at is not None
        share = (asleep.at - now) / life
        assert (0.44 <= share <= 0.5) if life < 10 * DAY else (0.55 <= share <= 0.67)
        assert why_due(facts, asleep.at).due
        assert asleep.at < emergency_at(current)
        now = asleep.at
