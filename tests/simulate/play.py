"""Plays a scenario, event by event, with the functions that decide in production.

Modelled are the clock, the CAs, the DNS and the hosts. What is due and why, what is taken and what
waits, when a failure is tried again, and when a CA is left alone: that is `notafter.domain`, as it runs.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from notafter.domain import breaker as breakers
from notafter.domain import queue
from notafter.domain.backoff import next_attempt
from notafter.domain.budget import PUBLISHED, Budget, Order, OrderKind
from notafter.domain.outcome import FailureClass
from notafter.domain.queue import Candidate, Left, Means, Way
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.renewal import emergency_at, why_due
from notafter.domain.version import RenewalWindow

from tests.simulate.authority import Authority, Refusal
from tests.simulate.figures import Figures
from tests.simulate.fleet import PROVIDERS, START, Certificate, imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulate.scenarios import Scenario

DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"
FIRST, SECOND = "first", "second"
#: How often a window is asked for: as often as the CA says, and this one says every six hours.
POLL = timedelta(hours=6)
#: No tick comes sooner after another one.
TICK = timedelta(seconds=30)
HICCUPS = 0.01


@dataclass
class Play:
    """One run of a scenario."""

    scenario: Scenario
    seed: str
    figures: Figures = field(init=False)
    now: datetime = START

    def __post_init__(self) -> None:
        """Make the world."""
        self.random = Random(f"{self.seed} {self.scenario.name}")  # noqa: S311 -- a game, brought back by its seed
        self.end = START + timedelta(days=self.scenario.days)
        self.authorities = {FIRST: self._authority(FIRST, limited=self.scenario.limited)}
        if self.scenario.second_ca:
            self.authorities[SECOND] = self._authority(SECOND, limited=False)
        slots = self.scenario.slots
        self.means = Means(
            budgets={name: self._budget(name) for name in self.authorities},
            trips={
                **dict.fromkeys(self.authorities, breakers.CA),
                **{f"dns-{number}": breakers.DNS_PROVIDER for number in range(PROVIDERS)},
            },
            free=slots,
            room=slots,
        )
        self.dns_outages = tuple(_span(one) for one in self.scenario.dns_outages)
        self.figures = Figures(self.scenario)
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = 0
        self._waiting: list[tuple[tuple[bool, datetime, str], Candidate, Certificate]] = []
        self._tick_at: datetime | None = None
        self._parked: dict[str, list[tuple[tuple[bool, datetime, str], Certificate]]] = {}
        self._release_at: dict[str, datetime] = {}
        self.fleet = imported(self.scenario, self.authorities[FIRST], self.random)

    def run(self) -> Figures:
        """Play to the end."""
        for one in self.fleet:
            self._look(one)
        if self.scenario.revoked_at is not None:
            self._at(START + timedelta(days=self.scenario.revoked_at), self._revoke)
        while self._events and self._events[0][0] < self.end:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.figures.close(self.fleet, self.authorities, self.end)
        return self.figures

    def _at(self, moment: datetime, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, event))

    def _authority(self, name: str, *, limited: bool) -> Authority:
        lives = tuple(
            (START + timedelta(days=day), timedelta(days=life)) for day, life in self.scenario.lives
        )
        outages = tuple(_span(one) for one in self.scenario.outages) if name == FIRST else ()
        return Authority(name, self.random, lives, limited=limited, outages=outages)

    def _budget(self, name: str) -> Budget:
        limits = PUBLISHED[DIRECTORY] if self.authorities[name].limited else ()
        return Budget(name, limits)

    # What is due

    def _look(self, one: Certificate) -> None:
        """Ask the policy; what is not due is looked at again when it says so."""
        one.parked = False
        decision = why_due(one.facts(), self.now)
        if not decision.due:
            if decision.at is not None:
                self._sleep(one, decision.at)
            return
        one.due_since = one.due_since or self.now
        one.wake_at = None
        made = queue.candidate(one.facts(), decision.reason, one.key, self._ways(one))
        heapq.heappush(self._waiting, (queue.turn(made), made, one))
        if self.means.free:
            self._wake()

    def _sleep(self, one: Certificate, until: datetime) -> None:
        one.wake_at = until
        self._at(until, lambda: self._look(one) if one.wake_at == until and not one.in_progress else None)

    def _ways(self, one: Certificate) -> tuple[Way, ...]:
        return tuple(
            Way(name, Order(one.names, self._kind(one, name)), (name, one.provider))
            for name in self.authorities
        )

    def _kind(self, one: Certificate, account: str) -> OrderKind:
        if one.account == account:
            return OrderKind.REPLACES
        known = account == FIRST and (self.scenario.known or one.account is not None)
        return OrderKind.SAME_NAMES if known else OrderKind.NEW

    # What is taken

    def _wake(self) -> None:
        if self._tick_at is None:
            self._tick_at = moment = self.now + TICK
            self._at(moment, lambda: self._tick() if self._tick_at == moment else None)

    def _tick(self) -> None:
        """Hand the most pressing ones to the queue: a few more than there is room for."""
        self._tick_at = None
        fleet: dict[str, Certificate] = {}
        batch: list[Candidate] = []
        while self._waiting and len(batch) < self.means.free + 4:
            _, made, one = heapq.heappop(self._waiting)
            fleet[made.key] = one
            batch.append(made)
        chosen = queue.choose(batch, self.means, self.now)
        for taken in chosen.taken:
            self._order(fleet[taken.key], taken.account)
        no_room = [left for left in chosen.left if left.reason.code == ReasonCode.QUEUED]
        for left in chosen.left:
            self.figures.left[left.reason.code] += 1
            self._left(fleet[left.key], left)
        if no_room:  # the end of an order wakes it; until then a tick would find the same
            self._tick_at = None
        elif self._waiting:
            self._wake()

    def _left(self, one: Certificate, left: Left) -> None:
        if left.at is None or left.at <= self.now:
            self._look(one)
        elif left.reason.code == ReasonCode.BREAKER_OPEN and left.at != queue.second_account_at(one.version):
            self._park(one, left.at)
        else:
            self._sleep(one, left.at)

    # What waits for a breaker: production looks at all of it in each tick, of which one may go as the probe.
    # Here the most pressing one is looked at when the breaker lets a probe through, and all when it closes.

    def _park(self, one: Certificate, until: datetime) -> None:
        shut = (
            name for name in (FIRST, one.provider) if not isinstance(self._breaker(name), breakers.Closed)
        )
        name = next(shut, FIRST)
        one.parked = True
        made = queue.candidate(one.facts(), Reason(ReasonCode.BREAKER_OPEN, ""), one.key, ())
        heapq.heappush(self._parked.setdefault(name, []), (queue.turn(made), one))
        if self.scenario.second_ca:
            self._sleep(one, queue.second_account_at(one.version))
        if self._release_at.get(name, START) <= self.now or until < self._release_at[name]:
            self._release_at[name] = until
            self._at(until, lambda: self._release(name, 2))

    def _release(self, name: str, most: int) -> None:
        parked = self._parked.get(name, [])
        while parked and most:
            _, one = heapq.heappop(parked)
            if one.parked:
                most -= 1
                self._look(one)

    def _breaker(self, name: str) -> breakers.Breaker:
        return self.means.breakers.get(name, breakers.Closed())

    # What becomes of it

    def _order(self, one: Certificate, account: str) -> None:
        one.in_progress = True
        replaces = one.version.serial if one.account == account else None
        refusal = self.authorities[account].order(one.names, replaces, self.now)
        self.figures.ordered(self.now, one.due_since or self.now, refused=refusal is not None)
        failure = refusal or self._failure(one)
        began = self.now
        seconds = self.random.uniform(60, 180) * (1 if refusal else self.scenario.slower)
        self._at(self.now + timedelta(seconds=seconds), lambda: self._ended(one, account, failure, began))

    def _failure(self, one: Certificate) -> Refusal | None:
        """What goes wrong that is not the CA's doing."""
        if one.provider == "dns-0" and any(begin <= self.now < end for begin, end in self.dns_outages):
            return Refusal(FailureClass.DNS_PROVIDER)
        if (one.broken(self.now) and not one.at_host) or self.random.random() < HICCUPS:
            return Refusal(FailureClass.CHALLENGE_FAILED)
        return None

    def _ended(self, one: Certificate, account: str, failure: Refusal | None, began: datetime) -> None:
        one.in_progress = False
        self.means.free += 1
        self._tell_breakers(one, account, failure)
        self.means.budgets[account].came_back(Order(one.names))
        if failure is None:
            self._issued(one, account)
        else:
            order = Order(one.names, self._kind(one, account))
            self.means.budgets[account].not_issued(order, began)
            self._failed(one, account, failure)
        if self._waiting:
            self._wake()

    def _tell_breakers(self, one: Certificate, account: str, failure: Refusal | None) -> None:
        event: breakers.Event = (
            breakers.Succeeded(one.key, self.now)
            if failure is None
            else breakers.Failed(one.key, self.now, failure.failure, failure.retry_after)
        )
        for name in (account, one.provider):
            before = self._breaker(name)
            now = self.means.breakers[name] = breakers.after(self.means.trips[name], (event,), before)
            if isinstance(now, breakers.Closed) and not isinstance(before, breakers.Closed):
                self._release(name, len(self.fleet))

    def _failed(self, one: Certificate, account: str, failure: Refusal) -> None:
        if failure.failure is FailureClass.CHALLENGE_FAILED:
            self.authorities[account].not_proved(one.names, self.now)
            for name in one.names:
                self.means.budgets[account].not_proved(name, self.now)
        one.failures += 1
        self.figures.failed[failure.failure] += 1
        one.next_attempt_at = next_attempt(
            self.now, one.failures, one.key, one.version, failure.failure, failure.retry_after
        )
        self._sleep(one, one.next_attempt_at)

    def _issued(self, one: Certificate, account: str) -> None:
        replaces = one.version.serial if one.account == account else None
        one.version = self.authorities[account].issue(one.names, replaces, self.now)
        one.account = account
        one.first_renewal_at = one.next_attempt_at = one.due_since = None
        one.failures = one.deploy_failures = 0
        self.figures.issued += 1
        self._deploy(one)
        self._look(one)

    def _deploy(self, one: Certificate) -> None:
        """A host that is away is tried again, as production does it: without issuing again."""
        if (one.broken(self.now) and one.at_host) or self.random.random() < HICCUPS:
            one.deploy_failures += 1
            again = next_attempt(self.now, one.deploy_failures, one.key, one.version)
            version = one.version
            self._at(again, lambda: self._deploy(one) if one.version is version else None)
            return
        self.figures.replaced(one, emergency_at(one.served), self.now)
        one.served, one.revoked_at = one.version, None

    # A mass revocation

    def _revoke(self) -> None:
        """From now on the CA names a window in the past; each is told when it asks next."""
        past = RenewalWindow(self.now - timedelta(hours=1), self.now - timedelta(minutes=30))
        self.figures.revoked_at = self.now
        for one in self.fleet:
            asks = self.now + POLL * self.random.random()
            one.revoked_at = self.now
            self._at(asks, lambda one=one, serial=one.version.serial: self._told(one, serial, past))  # type: ignore[misc]

    def _told(self, one: Certificate, serial: str, past: RenewalWindow) -> None:
        if one.version.serial == serial and not one.in_progress:
            version = one.version
            one.version = type(version)(
                version.serial,
                version.fingerprint,
                version.not_before,
                version.not_after,
                has_key=True,
                window=past,
            )
            if one.due_since is None:
                self._look(one)


def _span(days: tuple[float, float]) -> tuple[datetime, datetime]:
    begins = START + timedelta(days=days[0])
    return begins, begins + timedelta(days=days[1])
