"""Which of the due certificates are taken now, and why the others wait.

The earliest deadline first, and before all others what cannot wait. Each is held against the breakers
and the budget of its CA account, and against the room that there is. What cannot wait may also have
the reserve. Near the deadline a second account may take the place of the first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from notafter.domain.breaker import CA, Began, Breaker, Closed, Shut, Trip, after, gate
from notafter.domain.budget import RESERVE, Budget, Order, Wait
from notafter.domain.certificate import RenewalFacts
from notafter.domain.outcome import FailureClass
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.renewal import SHORT_LIFE, hurries
from notafter.domain.version import Version

#: Reasons for which a renewal cannot wait.
URGENT = frozenset(
    {
        ReasonCode.REQUESTED,
        ReasonCode.REVOKED,
        ReasonCode.EXPIRED,
        ReasonCode.EMERGENCY,
        ReasonCode.CA_HURRIES,
    },
)
#: Failures for which another CA may do better.
ITS_CAS = frozenset(
    {
        FailureClass.CA_UNAVAILABLE,
        FailureClass.RATE_LIMITED,
        FailureClass.ACCOUNT,
        FailureClass.CAA,
        FailureClass.REJECTED_IDENTIFIER,
        FailureClass.WRONG_CERTIFICATE,
    },
)
_NEVER = datetime.max.replace(tzinfo=UTC)
_SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True)
class Way:
    """One account that a certificate could be ordered with, and the breakers that must let it through."""

    account: str
    order: Order
    breakers: tuple[str, ...] = ()
    #: Its CA wants to be left alone with this certificate until then, or refuses it and somebody must act.
    not_before: datetime | None = None


@dataclass(frozen=True)
class Candidate:
    """A certificate that is due, with the ways to get it, the preferred one first."""

    key: str
    reason: Reason
    deadline: datetime
    ways: tuple[Way, ...]
    #: From here on another account than the first may be used.
    second_at: datetime = _NEVER
    #: How long the present version lives, if there is one.
    life: timedelta | None = None

    @property
    def urgent(self) -> bool:
        """Tell whether it may have what is kept for emergencies."""
        return self.reason.code in URGENT

    def patience(self, since: datetime) -> timedelta:
        """Return how long it can wait for a breaker from then on: an eighth of what is left to it."""
        if self.life is None:
            return timedelta.max
        left = self.deadline - since
        wait = left / 8 if left > timedelta(0) else min(CA.first, self.life / 12)
        return max(wait, min(_SHORTEST, self.life / 24))


@dataclass(frozen=True)
class Taken:
    """A certificate that is ordered now, and with which account."""

    key: str
    account: str
    reason: Reason


@dataclass(frozen=True)
class Left:
    """A certificate that waits, why, and when it is looked at again; without a time at the next tick."""

    key: str
    reason: Reason
    at: datetime | None = None


@dataclass(frozen=True)
class Chosen:
    """Every candidate is one of these."""

    taken: tuple[Taken, ...]
    left: tuple[Left, ...]


@dataclass
class Means:
    """What there is to order with. `choose` spends from it, so that the next one sees what is left."""

    budgets: dict[str, Budget] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    trips: dict[str, Trip] = field(default_factory=dict)
    #: How many more can be carried now, and how many there are room for when nothing runs.
    free: int = 0
    room: int = 0
    reserve: float = RESERVE
    #: How often an account's CA has failed a certificate since it was last issued: (account, key) → times.
    setbacks: dict[tuple[str, str], int] = field(default_factory=dict)

    def fits(self, *, urgent: bool) -> bool:
        """Tell whether there is room for one more."""
        return self.free > (0 if urgent else int(self.room * self.reserve))


def turn(candidate: Candidate) -> tuple[bool, datetime, str]:
    """Return what candidates are sorted by."""
    return (not candidate.urgent, candidate.deadline, candidate.key)


def deadline(version: Version | None) -> datetime:
    """Return by when a new certificate should be there; where nothing serves yet, nothing breaks."""
    if version is None:
        return _NEVER
    ends = [version.not_after]
    if version.revoked_at is not None:
        ends.append(version.revoked_at)
    if version.window is not None and hurries(version):
        ends.append(version.window.end)
    return min(ends)


def second_account_at(version: Version | None) -> datetime:
    """Return from when on another CA may be used: the last quarter, of a short life the last three eighths.

    With an old account there is no `replaces`, and to the new CA all names are new: not a thing for
    every hiccup. A short life has no time for two CAs in turn, and what was revoked has none at all.
    """
    if version is None:
        return _NEVER
    if version.revoked_at is not None:
        return version.revoked_at
    share = 3 / 8 if version.life < SHORT_LIFE else 1 / 4
    return version.not_after - version.life * share


def elsewhere_at(
    version: Version | None, setbacks: Sequence[int], used: int, now: datetime
) -> datetime | None:
    """Return when another account may be tried than the one that failed; none if each has failed as often.

    `setbacks` are those of the accounts in their order, `used` is the place of the one that failed.
    """
    if version is None or min(setbacks) >= setbacks[used]:
        return None
    return max(now + min(_SHORTEST, version.life / 24), second_account_at(version))


def candidate(facts: RenewalFacts, reason: Reason, key: str, ways: Sequence[Way]) -> Candidate:
    """Return what the queue looks at of a certificate that is due."""
    version = facts.version
    life = version.life if version else None
    return Candidate(key, reason, deadline(version), tuple(ways), second_account_at(version), life)


def choose(candidates: Iterable[Candidate], means: Means, now: datetime) -> Chosen:
    """Take what can be ordered now, the most pressing first, and say of each other one why it waits."""
    taken: list[Taken] = []
    left: list[Left] = []
    for one in sorted(candidates, key=turn):
        if not means.fits(urgent=one.urgent):
            left.append(Left(one.key, Reason(ReasonCode.QUEUED, _ahead(len(taken)))))
            continue
        found = way(one, means, now)
        if isinstance(found, Left):
            left.append(found)
            continue
        _spend(one, found.way, means, now)
        taken.append(Taken(one.key, found.way.account, found.reason))
    return Chosen(tuple(taken), tuple(left))


@dataclass(frozen=True)
class Ready:
    """A certificate could be ordered now, this way; the reason also says why not with its first account."""

    way: Way
    reason: Reason


def way(one: Candidate, means: Means, now: datetime) -> Ready | Left:
    """Return the way that is open; spends nothing.

    Near the deadline it may be another account than the first: the one whose CA has failed the
    certificate least often, of several the preferred one.
    """
    near = one.second_at <= now
    refusals: list[Left] = []
    for each in sorted(one.ways, key=lambda by: _setbacks(one, by, means)) if near else one.ways[:1]:
        refusal = _refusal(one, each, means, now)
        if refusal is None:
            return Ready(each, _reason(one, each, means, now))
        refusals.append(refusal)
    if not refusals:
        return Left(one.key, Reason(ReasonCode.NO_ACCOUNT, "it has no CA account"))
    first = refusals[0]
    times = [refusal.at for refusal in refusals if refusal.at is not None]
    if len(one.ways) > 1 and not near:
        times.append(one.second_at)
    return Left(one.key, first.reason, min(times, default=None))


def _setbacks(one: Candidate, by: Way, means: Means) -> int:
    return means.setbacks.get((by.account, one.key), 0)


def _reason(one: Candidate, by: Way, means: Means, now: datetime) -> Reason:
    first = one.ways[0]
    if by is first:
        return one.reason
    refusal = _refusal(one, first, means, now)
    times = _setbacks(one, first, means)
    why = f"{first.account} has failed it {times} times" if refusal is None else refusal.reason.sentence
    return Reason(one.reason.code, f"{one.reason.sentence}; with {by.account}, because {why}")


def _refusal(one: Candidate, by: Way, means: Means, now: datetime) -> Left | None:
    if by.not_before is not None and by.not_before > now:
        told = f"{by.account} has refused it, and is asked again at {by.not_before:%Y-%m-%d %H:%M:%S} UTC"
        return Left(one.key, Reason(ReasonCode.BACKING_OFF, told), by.not_before)
    for name in by.breakers:
        answer = gate(means.breakers.get(name, Closed()), now, one.patience)
        if isinstance(answer, Shut):
            return Left(
                one.key, Reason(ReasonCode.BREAKER_OPEN, f"{name} is {answer.sentence}"), answer.until
            )
    budget = means.budgets.get(by.account)
    if budget is None:
        return None
    allowed = budget.answer(by.order, now, urgent=one.urgent)
    if isinstance(allowed, Wait):
        return Left(one.key, Reason(ReasonCode.OVER_BUDGET, f"waits for {allowed.sentence}"), allowed.until)
    return None


def _spend(one: Candidate, by: Way, means: Means, now: datetime) -> None:
    means.free -= 1
    if by.account in means.budgets:
        means.budgets[by.account].ordered(by.order, now)
        means.budgets[by.account].went_out(by.order)
    for name in by.breakers:
        breaker = means.breakers.get(name, Closed())
        if not isinstance(breaker, Closed):
            trip = means.trips.get(name, CA)
            means.breakers[name] = after(trip, (Began(one.key, now),), breaker)


def _ahead(count: int) -> str:
    return f"waits its turn: {count} that are more pressing were taken, and there is no room for more"
