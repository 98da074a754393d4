"""What there is to order with: budgets and breakers of the CA accounts, from the renewals on record."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from notafter.domain import breaker
from notafter.domain.backoff import PERMANENT, next_attempt
from notafter.domain.breaker import LONGEST_RETRY_AFTER, Event, Trip
from notafter.domain.budget import Budget, Key, Limit, Order, OrderKind, kind_of, limits_of
from notafter.domain.certificate import RenewalFacts
from notafter.domain.deployment import Decision
from notafter.domain.errors import Conflict
from notafter.domain.job import OPEN_ITEM_STATES, ItemState
from notafter.domain.outcome import FailureClass
from notafter.domain.queue import ITS_CAS, Candidate, Left, Means, Way, way
from notafter.domain.queue import candidate as candidate_of
from notafter.domain.reason import Reason
from notafter.domain.registered import registered_domain
from notafter.domain.renewal import why_due
from notafter.lifecycle.planning import replaces
from notafter.store import accounts, certificates, items, versions
from notafter.store.database import Session
from notafter.store.items import Renewed
from notafter.store.tables import AccountRow, CertificateRow

_FAILURES = frozenset(FailureClass)
#: After these there is no certificate. After others there may be one that the next try fetches.
_NOT_SIGNED = frozenset(
    {
        FailureClass.RATE_LIMITED,
        FailureClass.CHALLENGE_FAILED,
        FailureClass.ACCOUNT,
        FailureClass.CAA,
        FailureClass.REJECTED_IDENTIFIER,
        FailureClass.DNS_PROVIDER,
        FailureClass.INVALID_REQUEST,
    },
)
#: After these the CA itself is not asked before its time, however soon another one may be.
_LEFT_ALONE = PERMANENT | {FailureClass.RATE_LIMITED}
_CERTAIN = OPEN_ITEM_STATES | {ItemState.SUCCEEDED}


def means(session: Session, now: datetime, free: int = 1) -> Means:
    """Return what may still be ordered by whom, as it follows from what was ordered until now.

    `free` is how many may be taken; a part of them is kept for what cannot wait.
    """
    found = Means(free=free, room=free)
    rows = accounts.everyone(session)
    standing_in = accounts.standing_in(session)
    by_account: defaultdict[int, list[Renewed]] = defaultdict(list)
    by_credential: defaultdict[int, list[Renewed]] = defaultdict(list)
    for one in items.renewed(session, {row.id: _since(row, now) for row in rows}):
        by_account[one.account_id].append(one)
        if one.credential_id is not None:
            by_credential[one.credential_id].append(one)
    for row in rows:
        own_limits = limits(row, stands_in=row.id in standing_in)
        found.budgets[_account(row)] = _budget(row, own_limits, by_account[row.id])
        _break(found, _account(row), breaker.CA, by_account[row.id])
    _count_setbacks(found, rows, by_account)
    for number, own in by_credential.items():
        _break(found, _credential(number), breaker.DNS_PROVIDER, own)
    return found


def candidate(session: Session, row: CertificateRow, reason: Reason) -> Candidate:
    """Return what the queue looks at of a certificate that is due."""
    return candidate_of(certificates.facts(session, row), reason, row.key, _ways(session, row))


def account_of(row: CertificateRow, name: str) -> AccountRow:
    """Return the account of a certificate that the queue calls so."""
    return next(account for account in accounts_of(row) if _account(account) == name)


def accounts_of(row: CertificateRow) -> tuple[AccountRow, ...]:
    """Return the accounts that may issue a certificate, the preferred one first."""
    if row.account is None:
        return ()
    return (row.account, *(other.account for other in row.alternatives))


def limits(row: AccountRow, *, stands_in: bool) -> tuple[Limit, ...]:
    """Return the limits of an account."""
    wishes = {Key(key): count for key, count in row.limits.items()}
    return limits_of(row.directory, wishes, stands_in=stands_in)


def limits_kept(session: Session, row: AccountRow) -> tuple[Limit, ...]:
    """Return the limits that an account keeps, as things are."""
    return limits(row, stands_in=row.id in accounts.standing_in(session))


def account_for(
    session: Session, row: CertificateRow, reason: Reason, now: datetime
) -> tuple[AccountRow, Reason]:
    """Return which account a person's wish goes to, whatever limits there are: the first, if none is open."""
    if row.account is None:
        raise Conflict(f"{row.key} has no CA account")
    if not row.alternatives:
        return row.account, reason
    found = way(candidate(session, row, reason), means(session, now), now)
    if isinstance(found, Left):
        return row.account, reason
    return account_of(row, found.way.account), found.reason


@dataclass
class Outlook:
    """What comes next for certificates, as people are told it; looks the means up only if one is due."""

    session: Session
    now: datetime
    _means: Means | None = field(default=None, init=False)

    def decision(self, row: CertificateRow, facts: RenewalFacts) -> Decision:
        """Return whether a certificate is renewed now; if it is due and must wait, why and until when."""
        decision = why_due(facts, self.now)
        if not decision.due:
            return decision
        if self._means is None:
            self._means = means(self.session, self.now)
        ways = _ways(self.session, row)
        found = way(candidate_of(facts, decision.reason, row.key, ways), self._means, self.now)
        if isinstance(found, Left):
            sentence = f"due ({decision.reason.sentence}), but {found.reason.sentence}"
            return Decision(due=False, reason=Reason(found.reason.code, sentence), at=found.at)
        return Decision(due=True, reason=found.reason)


def _ways(session: Session, row: CertificateRow) -> tuple[Way, ...]:
    """Return the accounts of a certificate, and what must work for each."""
    provider = () if row.credential_id is None else (_credential(row.credential_id),)
    return tuple(
        Way(
            _account(one),
            Order(tuple(row.names), kind(session, row, one)),
            (_account(one), *provider),
            _not_before(session, row, one),
        )
        for one in accounts_of(row)
    )


def _not_before(session: Session, row: CertificateRow, account: AccountRow) -> datetime | None:
    """Return until when one of several accounts is left alone, though the certificate waits less for others.

    A person who changes the terms, or a version that was revoked, has taken the waiting away.
    """
    if not row.alternatives or row.next_attempt_at is None:
        return None
    last = items.last_renewal(session, row.id, account.id)
    if last is None or last.finished_at is None or last.reason not in _LEFT_ALONE:
        return None
    asked = None if last.retry_after is None else timedelta(seconds=last.retry_after)
    version = versions.facts(row.current) if row.current else None
    return next_attempt(last.finished_at, 1, row.key, version, FailureClass(last.reason), asked)


def kind(session: Session, row: CertificateRow, account: AccountRow) -> OrderKind:
    """Return what an order for a certificate is to this account's CA now."""
    current = row.current
    if current is not None and current.account_id == account.id:
        before: Sequence[str] | None = current.names
    else:
        before = versions.names_before(session, row.id, account.id)
    return kind_of(row.names, before, replaces=replaces(row, account.id) is not None)


def _count_setbacks(
    found: Means, rows: Sequence[AccountRow], by_account: Mapping[int, Sequence[Renewed]]
) -> None:
    """Note how often each CA has failed a certificate since it was last issued, by whichever of them."""
    names = {row.id: _account(row) for row in rows}
    history = sorted(
        (one for some in by_account.values() for one in some),
        key=lambda one: one.started_at or one.created_at,
    )
    for one in history:
        key = f"crt-{one.certificate_id}"
        if one.state is ItemState.SUCCEEDED:
            for name in names.values():
                found.setbacks.pop((name, key), None)
        elif one.reason in ITS_CAS:
            place = names[one.account_id], key
            found.setbacks[place] = found.setbacks.get(place, 0) + 1


def _budget(row: AccountRow, own_limits: tuple[Limit, ...], history: Sequence[Renewed]) -> Budget:
    budget = Budget(_account(row), own_limits)
    unsure: dict[int, tuple[Order, datetime]] = {}
    for one in history:
        if one.reason == FailureClass.RATE_LIMITED and one.retry_after and one.finished_at:
            asked = min(timedelta(seconds=one.retry_after), _patience(one.limited_by))
            order = Order(one.names, one.kind or OrderKind.NEW)
            budget.sent_away(order, one.finished_at + asked, one.limited_by)
    for one in history if budget.limits else ():
        at = one.finished_at or one.started_at or one.created_at
        order = Order(one.names, one.kind or OrderKind.NEW)
        if one.certificate_id in unsure:  # it took up the attempt that had been left
            budget.not_issued(*unsure.pop(one.certificate_id))
        budget.ordered(order, at)
        if one.state in OPEN_ITEM_STATES:
            budget.went_out(order)
        if one.reason in _NOT_SIGNED:
            budget.not_issued(order, at)
        elif one.state not in _CERTAIN and one.reason != FailureClass.WRONG_CERTIFICATE:
            unsure[one.certificate_id] = order, at
        if one.reason == FailureClass.CHALLENGE_FAILED:  # which of the names it was is not on record
            for name in one.names:
                budget.not_proved(name, at)
    return budget


def _break(found: Means, name: str, trip: Trip, history: Sequence[Renewed]) -> None:
    events = sorted((event for one in history for event in _events(one)), key=lambda event: event.at)
    found.trips[name] = trip
    found.breakers[name] = breaker.after(trip, events)


def _events(one: Renewed) -> Iterator[Event]:
    key = f"crt-{one.certificate_id}"
    yield breaker.Began(key, one.created_at)
    if one.state in OPEN_ITEM_STATES or one.finished_at is None:
        return
    if one.state is ItemState.SUCCEEDED:
        yield breaker.Succeeded(key, one.finished_at)
        return
    failure = FailureClass(one.reason) if one.reason in _FAILURES else FailureClass.INTERNAL
    limited = failure is FailureClass.RATE_LIMITED
    asked = None if one.retry_after is None or not limited else timedelta(seconds=one.retry_after)
    domain = registered_domain(one.names[0]) if limited else None
    yield breaker.Failed(key, one.finished_at, failure, asked, domain)


def _since(row: AccountRow, now: datetime) -> datetime:
    """Return from when on the renewals of an account say something about it."""
    spans = (limit.span for limit in limits(row, stands_in=True))
    return now - max(LONGEST_RETRY_AFTER, *spans, timedelta(0))


def _patience(named: Key | None) -> timedelta:
    """Return for how long a whole limit is left alone: on a guess not longer than a breaker would do it."""
    return LONGEST_RETRY_AFTER if named is not None else breaker.CA.longest


def _account(row: AccountRow) -> str:
    return f"the CA account {row.name}"


def _credential(number: int) -> str:
    return f"the DNS credential {number}"
