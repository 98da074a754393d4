"""A CA as a model: it counts orders in buckets of its own, names windows, has outages, and revokes.

What it allows is written down here a second time on purpose, in the CA's own terms (buckets that fill up
steadily): so that it judges the production code instead of repeating it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from notafter.domain.outcome import FailureClass
from notafter.domain.version import RenewalWindow, Version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BACKDATED = HOUR


@dataclass(frozen=True)
class Refusal:
    """Why the CA takes no order."""

    failure: FailureClass
    retry_after: timedelta | None = None


@dataclass
class Bucket:
    """So many in so long; it fills up steadily, and begins full."""

    count: int
    span: timedelta
    empty_until: dict[str, datetime] = field(default_factory=dict)

    def wait(self, subject: str, now: datetime) -> timedelta:
        """How long until there is one more for this subject; nothing if there is."""
        then = max(self.empty_until.get(subject, now), now) + self.span / self.count
        return max(then - now - self.span, timedelta(0))

    def take(self, subject: str, now: datetime) -> None:
        """One less."""
        self.empty_until[subject] = max(self.empty_until.get(subject, now), now) + self.span / self.count


@dataclass
class Authority:
    """A CA with one account."""

    name: str
    random: Random
    #: From which moment on the certificates of which life are issued.
    lives: tuple[tuple[datetime, timedelta], ...]
    limited: bool = True
    outages: tuple[tuple[datetime, datetime], ...] = ()
    asked: int = 0
    unanswered: int = 0
    refused: int = 0
    exempt: int = 0
    replaceable: set[str] = field(default_factory=set)
    known_sets: set[tuple[str, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Fill the buckets."""
        self.orders = Bucket(300, 3 * HOUR)
        self.domains = Bucket(50, 7 * DAY)
        self.sets = Bucket(5, 7 * DAY)
        self.unproved = Bucket(5, HOUR)

    def order(self, names: tuple[str, ...], replaces: str | None, now: datetime) -> Refusal | None:
        """Take an order, or refuse it."""
        self.asked += 1
        if any(begin <= now < end for begin, end in self.outages):
            self.unanswered += 1
            return Refusal(FailureClass.CA_UNAVAILABLE)
        if replaces in self.replaceable:
            self.exempt += 1
            return None
        wanted = list(self._buckets(names)) if self.limited else []
        waits = [bucket.wait(subject, now) for bucket, subject in wanted]
        waits += [self.unproved.wait(name, now) for name in names if self.limited]
        if any(waits):
            self.refused += 1
            return Refusal(FailureClass.RATE_LIMITED, max(waits))
        if wanted and wanted[0][0] is self.orders:
            self.orders.take(self.name, now)
        return None

    def not_proved(self, names: tuple[str, ...], now: datetime) -> None:
        """A name could not be proved."""
        for name in names:
            self.unproved.take(name, now)

    def issue(self, names: tuple[str, ...], replaces: str | None, now: datetime) -> Version:
        """Sign."""
        if self.limited and replaces not in self.replaceable:
            for bucket, subject in self._buckets(names):
                if bucket is not self.orders:  # that one was taken when it was ordered
                    bucket.take(subject, now)
        self.replaceable.discard(replaces or "")
        self.known_sets.add(names)
        life = next(life for since, life in reversed(self.lives) if since <= now)
        version = self.version(now - BACKDATED, life)
        self.replaceable.add(version.serial)
        return version

    def version(self, begins: datetime, life: timedelta) -> Version:
        """A certificate of this CA, with its window: at two thirds of a long life, the half of a short."""
        serial = f"{self.random.getrandbits(128):x}"
        middle = begins + (life / 2 if life < 10 * DAY else life * 2 / 3)
        window = RenewalWindow(middle - life / 90, middle + life / 90)
        return Version(serial, serial, begins, begins + life, has_key=True, window=window)

    def _buckets(self, names: tuple[str, ...]) -> Iterator[tuple[Bucket, str]]:
        if names not in self.known_sets:
            yield self.orders, self.name
            for domain in sorted({".".join(name.split(".")[-2:]) for name in names}):
                yield self.domains, domain
        yield self.sets, ",".join(sorted(names))
