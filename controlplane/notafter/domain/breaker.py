"""Stops asking what has stopped answering: a circuit breaker for each CA and each DNS provider.

Closed: orders go through; failures that speak against the other side are suspects. When so many
different certificates are among them it opens: nothing goes through for a while. Then one order goes
as a probe, and what becomes of it closes the breaker or opens it again, for longer.

    Closed --(k certificates)--> Open --(an order goes out)--> Probing --(one succeeded)--> Closed
                                  ^----------(it failed)----------'

No certificate waits longer than its life allows: one that ends soon is the probe before the time.

A breaker is the sum of what happened (`after`), so it needs no place of its own in the store.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from notafter.domain.outcome import FailureClass


@dataclass(frozen=True)
class Trip:
    """What opens a breaker, and for how long."""

    #: Failures that speak against the other side, and those that show that it works.
    against: frozenset[FailureClass]
    well: frozenset[FailureClass] = frozenset()
    certificates: int = 3
    first: timedelta = timedelta(minutes=5)
    longest: timedelta = timedelta(hours=1)
    #: Against these somebody must act: one order a day tries whether it has happened.
    permanent: frozenset[FailureClass] = frozenset()
    daily: timedelta = timedelta(days=1)
    #: A suspicion is forgotten after this time.
    memory: timedelta = timedelta(hours=6)


CA = Trip(
    against=frozenset({FailureClass.CA_UNAVAILABLE, FailureClass.RATE_LIMITED, FailureClass.ACCOUNT}),
    well=frozenset({FailureClass.CHALLENGE_FAILED, FailureClass.CAA, FailureClass.REJECTED_IDENTIFIER}),
    permanent=frozenset({FailureClass.ACCOUNT}),
)
DNS_PROVIDER = Trip(
    against=frozenset({FailureClass.DNS_PROVIDER}),
    well=frozenset({FailureClass.CHALLENGE_FAILED, FailureClass.CAA}),
)

#: A probe without an end within this time is lost, and another one may go.
PROBE_PATIENCE = timedelta(minutes=30)
#: A CA that asks for more patience than this is asked after this.
LONGEST_RETRY_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Began:
    """An order went out."""

    certificate: str
    at: datetime


@dataclass(frozen=True)
class Succeeded:
    """An order brought a certificate."""

    certificate: str
    at: datetime


@dataclass(frozen=True)
class Failed:
    """An order did not."""

    certificate: str
    at: datetime
    failure: FailureClass
    retry_after: timedelta | None = None
    #: The registered domain that it was for: a limit may be that domain's own.
    domain: str | None = None

    @property
    def who(self) -> str:
        """What several of must fail before it is the other side's fault."""
        limited = self.failure is FailureClass.RATE_LIMITED and self.domain is not None
        return self.domain or "" if limited else self.certificate


Event = Began | Succeeded | Failed


@dataclass(frozen=True)
class Closed:
    """Orders go through."""

    suspects: tuple[Failed, ...] = ()


@dataclass(frozen=True)
class Open:
    """Nothing goes through until then; `times` is how often in a row it has opened."""

    since: datetime
    until: datetime
    times: int
    why: FailureClass
    #: When the other side last failed.
    failed_at: datetime | None = None


@dataclass(frozen=True)
class Probing:
    """One order is out to see whether the other side answers again; of several the last."""

    certificate: str
    at: datetime
    opened: Open


Breaker = Closed | Open | Probing


@dataclass(frozen=True)
class Go:
    """An order may go; as a probe if it is to be the only one."""

    probe: bool = False


@dataclass(frozen=True)
class Shut:
    """No order may go before then."""

    until: datetime
    sentence: str


#: How long an order can wait that begins to wait then.
Patience = Callable[[datetime], timedelta]


def gate(breaker: Breaker, now: datetime, patience: Patience | None = None) -> Go | Shut:
    """Say whether an order may go now; one that cannot wait so long goes earlier."""
    if isinstance(breaker, Closed):
        return Go()
    until = _until(breaker, patience)
    if until <= now:
        return Go(probe=True)
    match breaker:
        case Open():
            return Shut(until, f"{_since(breaker)}; asked again at {until:%Y-%m-%d %H:%M:%S} UTC")
        case Probing(certificate=probe, opened=opened):
            return Shut(until, f"{_since(opened)}; {probe} tries whether it works again")


def _until(breaker: Open | Probing, patience: Patience | None) -> datetime:
    """Return until when an order waits: not longer than it can, counted from the last one that was tried."""
    if isinstance(breaker, Open):
        begins, until = breaker.failed_at or breaker.since, breaker.until
    else:
        begins, until = breaker.at, breaker.at + PROBE_PATIENCE
    return until if patience is None else min(until, begins + min(patience(begins), until - begins))


def after(trip: Trip, events: Iterable[Event], breaker: Breaker | None = None) -> Breaker:
    """Return a breaker after all that happened, in the order of time."""
    state = Closed() if breaker is None else breaker
    for event in events:
        state = MOVES[type(state), type(event)](trip, state, event)
    return state


def _stay(_trip: Trip, breaker: Breaker, _event: Event) -> Breaker:
    return breaker


def _close(_trip: Trip, _breaker: Breaker, _event: Event) -> Breaker:
    return Closed()


def _suspect(trip: Trip, breaker: Breaker, event: Event) -> Breaker:
    """Closed, and something failed."""
    if not (isinstance(breaker, Closed) and isinstance(event, Failed)):
        return breaker
    if event.failure in trip.well:
        return Closed()
    if event.failure not in trip.against:
        return breaker
    recent = [one for one in breaker.suspects if event.at - one.at < trip.memory]
    others = tuple(one for one in recent if one.who != event.who)
    suspects = (*others, event)
    if len(suspects) < trip.certificates:
        return Closed(suspects)
    return _open(trip, suspects, since=suspects[0].at, times=1)


def _prolong(trip: Trip, breaker: Breaker, event: Event) -> Breaker:
    """Open, and an order that was out already fails: only a longer Retry-After moves the time."""
    if not (isinstance(breaker, Open) and isinstance(event, Failed) and event.failure in trip.against):
        return breaker
    until = max(breaker.until, event.at + _asked(trip, event))
    return replace(breaker, until=until)


def _probe(_trip: Trip, breaker: Breaker, event: Event) -> Breaker:
    """Open, and an order goes out: after the wait, for a certificate that cannot wait, or for a person."""
    if not (isinstance(breaker, Open) and isinstance(event, Began)):
        return breaker
    return Probing(event.certificate, event.at, breaker)


def _probe_again(_trip: Trip, breaker: Breaker, event: Event) -> Breaker:
    """Probing, and an order goes out: the first probe takes too long, this is the next one."""
    if not isinstance(breaker, Probing):
        return breaker
    return Probing(event.certificate, event.at, breaker.opened)


def _probed(trip: Trip, breaker: Breaker, event: Event) -> Breaker:
    """Probing, and something failed: only what the probe brings counts."""
    if not (isinstance(breaker, Probing) and isinstance(event, Failed)):
        return breaker
    if event.failure in trip.well:
        return Closed()
    if event.certificate != breaker.certificate:
        return breaker
    opened = breaker.opened
    if event.failure not in trip.against:  # it says nothing: the next one is the probe
        return replace(opened, until=event.at)
    return _open(trip, (event,), since=opened.since, times=opened.times + 1)


def _open(trip: Trip, failed: tuple[Failed, ...], since: datetime, times: int) -> Open:
    longer: int = 2 ** min(times - 1, 10)
    last = failed[-1]
    wait = trip.daily if last.failure in trip.permanent else min(trip.first * longer, trip.longest)
    # The shortest: an account's limit is told to all of them, a limit of one's own names to that one alone.
    until = max(last.at + wait, min(one.at + _asked(trip, one) for one in failed))
    return Open(since, until, times, last.failure, last.at)


def _asked(trip: Trip, event: Failed) -> timedelta:
    """Return the patience that the other side asked for: the rest of it each certificate has by itself."""
    return min(event.retry_after or timedelta(0), trip.longest)


def _since(opened: Open) -> str:
    return f"not asked: {opened.why} for several certificates since {opened.since:%Y-%m-%d %H:%M:%S} UTC"


Move = Callable[[Trip, Breaker, Event], Breaker]

MOVES: Mapping[tuple[type[Breaker], type[Event]], Move] = {
    (Closed, Began): _stay,
    (Closed, Succeeded): _close,
    (Closed, Failed): _suspect,
    (Open, Began): _probe,
    (Open, Succeeded): _close,
    (Open, Failed): _prolong,
    (Probing, Began): _probe_again,
    (Probing, Succeeded): _close,
    (Probing, Failed): _probed,
}
