"""What an account may still order: the limits of its CA, kept before the CA has to refuse.

A limit is data: how many, in how long, counted by what. What is counted are moments: an order is
allowed while fewer than so many lie within the span before now. Where a CA lets its buckets fill up
steadily, as Let's Encrypt does, this asks for no more than the CA would give.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from notafter.domain.registered import registered_domain

#: This share of each limit is kept for what cannot wait.
RESERVE = 0.2


class Key(StrEnum):
    """What a limit counts by."""

    ACCOUNT = "account"
    REGISTERED_DOMAIN = "registered_domain"
    EXACT_SET = "exact_set"
    #: Not orders are counted here but names that could not be proved.
    FAILED_AUTHORISATION = "failed_authorisation"


#: Certificates are counted, not orders that came to nothing.
_OF_CERTIFICATES = frozenset({Key.REGISTERED_DOMAIN, Key.EXACT_SET})


class OrderKind(StrEnum):
    """What an order is to the CA."""

    NEW = "new"
    #: These names, all of them and no others, were on a certificate of this account before.
    SAME_NAMES = "same_names"
    #: It names the certificate that it replaces (RFC 9773 §5).
    REPLACES = "replaces"


@dataclass(frozen=True)
class Limit:
    """So many in so long, counted by this; `spares` are the orders that the CA does not count."""

    name: str
    key: Key
    count: int
    span: timedelta
    spares: frozenset[OrderKind] = frozenset()


@dataclass(frozen=True)
class Order:
    """What is to be ordered."""

    names: tuple[str, ...]
    kind: OrderKind = OrderKind.NEW


@dataclass(frozen=True)
class Allowed:
    """It may be ordered now."""


@dataclass(frozen=True)
class Wait:
    """It may not be ordered before then: a limit is reached, or the CA has said so."""

    until: datetime
    limit: Limit | None
    sentence: str


@dataclass(frozen=True)
class Sleep:
    """The CA has sent an order away: until then it takes no more of what counts like it."""

    until: datetime
    #: What that order was; a kind that the CA does not count is let through, unless it was of such a kind.
    kind: OrderKind
    #: The CA did not say which limit it was: what cannot wait is not held back on a guess.
    guessed: bool = False


_REPLACES = frozenset({OrderKind.REPLACES})
_RENEWALS = _REPLACES | {OrderKind.SAME_NAMES}
_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)
#: About how long an order takes.
_ORDER = timedelta(minutes=1)


def _lets_encrypt(orders: int, domain: int, exact: int, failed: int) -> tuple[Limit, ...]:
    """The four limits that an order meets there, with the exemptions that its documentation gives."""
    return (
        Limit("new orders per account", Key.ACCOUNT, orders, 3 * _HOUR, _RENEWALS),
        Limit("certificates per registered domain", Key.REGISTERED_DOMAIN, domain, _WEEK, _RENEWALS),
        Limit("certificates per exact set of names", Key.EXACT_SET, exact, _WEEK, _REPLACES),
        # The CA spares renewals here as well; a name that cannot be proved is not asked for more often.
        Limit("failed authorisations per name", Key.FAILED_AUTHORISATION, failed, _HOUR),
    )


#: As published, by the URL of the directory; other CAs have none unless an operator says so.
PUBLISHED: Mapping[str, tuple[Limit, ...]] = {
    "https://acme-v02.api.letsencrypt.org/directory": _lets_encrypt(300, 50, 5, 5),
    "https://acme-staging-v02.api.letsencrypt.org/directory": _lets_encrypt(1500, 30_000, 30_000, 200),
}


#: What an operator's limit is called and in which time it counts, where the CA has published none.
_SHAPES: Mapping[Key, Limit] = {
    limit.key: replace(limit, spares=frozenset())
    for limit in PUBLISHED["https://acme-v02.api.letsencrypt.org/directory"]
}
#: What an account that stands in for others may order, if its CA has published nothing: a CA that
#: we hardly know is not asked for a whole fleet at once.
_STANDING_IN = replace(_SHAPES[Key.ACCOUNT], spares=_RENEWALS)


def limits_of(
    directory: str,
    wishes: Mapping[Key, int | None] | None = None,
    *,
    stands_in: bool = False,
) -> tuple[Limit, ...]:
    """Return the limits of an account: those that an operator has set (none: without), else the CA's own."""
    usual = PUBLISHED.get(directory, (_STANDING_IN,) if stands_in else ())
    found = {limit.key: limit for limit in usual}
    for key, count in (wishes or {}).items():
        if count is None:
            found.pop(key, None)
        else:
            found[key] = replace(found.get(key, _SHAPES[key]), count=count)
    return tuple(found[key] for key in Key if key in found)


#: How CAs name the limit that was reached, in words of theirs: the first that fits.
_NAMED: tuple[tuple[str, Key], ...] = (
    ("exact set", Key.EXACT_SET),
    ("exact-set", Key.EXACT_SET),
    ("failed authori", Key.FAILED_AUTHORISATION),
    ("authorization-failures", Key.FAILED_AUTHORISATION),
    ("new orders", Key.ACCOUNT),
    ("new-orders", Key.ACCOUNT),
    ("registered domain", Key.REGISTERED_DOMAIN),
    ("registered-domain", Key.REGISTERED_DOMAIN),
    ("too many certificates", Key.REGISTERED_DOMAIN),
)


def limit_named(message: str) -> Key | None:
    """Return which limit a CA speaks of when it sends an order away, if it says so."""
    told = message.lower()
    return next((key for words, key in _NAMED if words in told), None)


def kind_of(names: Sequence[str], before: Sequence[str] | None, *, replaces: bool) -> OrderKind:
    """Tell what an order is, from the names that this account had on the certificate before."""
    if replaces:
        return OrderKind.REPLACES
    same = before is not None and set(names) == set(before)
    return OrderKind.SAME_NAMES if same else OrderKind.NEW


class Ledger:
    """What was spent: the moments, by limit and by what is counted. What is too old is forgotten."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self._moments: dict[tuple[str, str], list[datetime]] = {}

    def note(self, limit: Limit, subject: str, at: datetime) -> None:
        """Count one more, whenever it was."""
        insort(self._moments.setdefault((limit.name, subject), []), at)

    def take_back(self, limit: Limit, subject: str, at: datetime) -> None:
        """Count one less: what was noted at that moment came to nothing."""
        moments = self._moments.get((limit.name, subject), [])
        place = bisect_left(moments, at)
        if place < len(moments) and moments[place] == at:
            del moments[place]

    def within(self, limit: Limit, subject: str, now: datetime) -> list[datetime]:
        """Return the moments that still count, the oldest first."""
        moments = self._moments.get((limit.name, subject), [])
        del moments[: bisect_right(moments, now - limit.span)]
        return moments


@dataclass(frozen=True)
class Budget:
    """An account with its limits and what it has spent."""

    account: str
    limits: tuple[Limit, ...] = ()
    reserve: float = RESERVE
    ledger: Ledger = field(default_factory=Ledger)
    sleeps: dict[tuple[Key, str], Sleep] = field(default_factory=dict)
    #: How many orders for a name are under way.
    in_flight: Counter[str] = field(default_factory=Counter)

    def answer(self, order: Order, now: datetime, *, urgent: bool = False) -> Allowed | Wait:
        """Say whether an order may be made now; else the wait that ends last."""
        waits = [wait for limit in self.limits for wait in self._waits(limit, order, now, urgent=urgent)]
        waits += self._asleep(order, now, urgent=urgent)
        return max(waits, key=lambda wait: wait.until) if waits else Allowed()

    def sent_away(self, order: Order, until: datetime, named: Key | None) -> None:
        """Note that the CA takes no more of this before then; of the whole account, if it named no limit."""
        found = _subjects(named or Key.ACCOUNT, order, self.account)
        if len(found) > 1:
            return  # whose limit it was is not known: the certificate itself waits
        place = named or Key.ACCOUNT, found[0]
        if place not in self.sleeps or self.sleeps[place].until < until:
            self.sleeps[place] = Sleep(until, order.kind, guessed=named is None)

    def ordered(self, order: Order, at: datetime) -> None:
        """Count an order that was made, and the certificate that may come of it."""
        for limit in self.limits:
            if limit.key is not Key.FAILED_AUTHORISATION and order.kind not in limit.spares:
                for subject in subjects(limit, order, self.account):
                    self.ledger.note(limit, subject, at)

    def went_out(self, order: Order) -> None:
        """An order is under way: its names may yet fail, all at once."""
        self.in_flight.update(_subjects(Key.FAILED_AUTHORISATION, order, self.account))

    def came_back(self, order: Order) -> None:
        """An order has ended, however it did."""
        self.in_flight.subtract(_subjects(Key.FAILED_AUTHORISATION, order, self.account))

    def not_issued(self, order: Order, at: datetime) -> None:
        """Of an order that was made then no certificate came: only the order itself still counts."""
        for limit in self.limits:
            if limit.key in _OF_CERTIFICATES and order.kind not in limit.spares:
                for subject in subjects(limit, order, self.account):
                    self.ledger.take_back(limit, subject, at)

    def not_proved(self, name: str, at: datetime) -> None:
        """Count a name that could not be proved, whatever kind of order it was for."""
        for limit in self.limits:
            if limit.key is Key.FAILED_AUTHORISATION:
                self.ledger.note(limit, name.removeprefix("*."), at)

    def _asleep(self, order: Order, now: datetime, *, urgent: bool) -> Iterator[Wait]:
        for key in Key if self.sleeps else ():
            for subject in _subjects(key, order, self.account):
                sleep = self.sleeps.get((key, subject))
                if sleep is None or sleep.until <= now or (sleep.guessed and urgent):
                    continue
                limit = next((one for one in self.limits if one.key is key), None)
                spares = limit.spares if limit is not None and not sleep.guessed else frozenset()
                if order.kind not in spares or sleep.kind in spares:
                    told = f"{_short(subject)}, of which the CA takes no more until {_moment(sleep.until)}"
                    yield Wait(sleep.until, limit, told)

    def _waits(self, limit: Limit, order: Order, now: datetime, *, urgent: bool) -> Iterator[Wait]:
        if order.kind in limit.spares:
            return
        most = limit.count if urgent else ordinary(limit, self.reserve)
        for subject in subjects(limit, order, self.account):
            moments = self.ledger.within(limit, subject, now)
            out = self.in_flight[subject] if limit.key is Key.FAILED_AUTHORISATION else 0
            if len(moments) < most <= len(moments) + out:
                until = now + _ORDER
                told = f"{_short(subject)} has failed {len(moments)} times, {out} orders for it are under way"
                yield Wait(until, limit, f"{told}; looked at again at {_moment(until)}")
            elif len(moments) >= most:
                until = moments[len(moments) - most] + limit.span
                yield Wait(until, limit, _sentence(limit, subject, len(moments), most, until))


def ordinary(limit: Limit, reserve: float) -> int:
    """Return how much of a limit is there for what can wait; at least one, else it would wait for ever."""
    return max(1, int(limit.count * (1 - reserve)))


def subjects(limit: Limit, order: Order, account: str) -> tuple[str, ...]:
    """Return what an order counts against: one thing, or several for a certificate with many names."""
    return _subjects(limit.key, order, account)


def _subjects(key: Key, order: Order, account: str) -> tuple[str, ...]:
    match key:
        case Key.ACCOUNT:
            return (account,)
        case Key.REGISTERED_DOMAIN:
            return tuple(dict.fromkeys(registered_domain(name) for name in order.names))
        case Key.EXACT_SET:
            return (",".join(sorted(set(order.names))),)
        case Key.FAILED_AUTHORISATION:
            return tuple(dict.fromkeys(name.removeprefix("*.") for name in order.names))


def _sentence(limit: Limit, subject: str, spent: int, most: int, until: datetime) -> str:
    kept = f", {limit.count - most} are kept for emergencies" if most < limit.count else ""
    return (
        f"the CA's limit of {limit.count} {limit.name} in {_span(limit.span)}: "
        f"{_short(subject)} has had {spent}{kept}; again at {_moment(until)}"
    )


def _short(subject: str) -> str:
    return subject if len(subject) <= 100 else subject[:97] + "..."  # noqa: PLR2004 -- what fits a line


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(span: timedelta) -> str:
    days, hours = span // timedelta(days=1), span // _HOUR
    if days and span == timedelta(days=days):
        return f"{days} days"
    return f"{hours} h" if hours and span == hours * _HOUR else str(span)
