"""What differs from what should be becomes jobs, each item with its reason. Nothing here remembers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from notafter.domain.deployment import why_deploy
from notafter.domain.job import JobKind
from notafter.domain.queue import Means, Taken, choose
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.renewal import why_due
from notafter.domain.server import next_scan
from notafter.failpoint import failpoint
from notafter.lifecycle import ordering
from notafter.store import certificates, deployments, items, jobs, revocations, servers
from notafter.store.database import Database, Session
from notafter.store.tables import (
    AccountRow,
    CertificateRow,
    DeploymentRow,
    JobRow,
    RevocationRow,
    ServerRow,
)

SCHEDULER = "scheduler"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Limits:
    """How much one job takes on, and how often the fleet is looked over."""

    certificates_per_job: int = 50
    #: What is less pressing stays due: what comes up until the next tick may be more so.
    certificates_per_tick: int = 200
    deployments_per_job: int = 200
    scan_interval: timedelta | None = None


def tick(database: Database, now: datetime, limits: Limits) -> list[int]:
    """Make jobs for all that is due; ticking twice makes nothing twice."""
    with database.read() as session:
        if jobs.ready(session) or not _anything(session, now, limits):
            return []
        means = _means(session, now, limits)
    with database.write() as session:
        if jobs.ready(session):
            return []  # every worker is busy: what is due waits here, and becomes one job later
        made = [*_renewals(session, now, limits, means)] if means is not None else []
        made += _revocations(session, now, limits)
        made += _deploys(session, now, limits)
        made += _scans(session, now, limits)
        numbers = [job.id for job in made]
        failpoint("due.uncommitted")
    failpoint("due.committed")
    return numbers


def renew_items(
    session: Session, job: JobRow, row: CertificateRow, reason: Reason, account: AccountRow
) -> None:
    """Make a certificate and the places where it serves items of a job; this account issues it."""
    kind = ordering.kind(session, row, account)
    items.add_certificate(session, job, row, reason.sentence, kind, account.id)
    for place in row.deployments:
        if (
            place.adopted_at is not None
            and place.absent_since is None
            and not deployments.busy(session, place)
        ):
            items.add_deployment(session, job, place, f"{row.key}: {reason.sentence}")


def _anything(session: Session, now: datetime, limits: Limits) -> bool:
    """Look without the write lock: most ticks find nothing."""
    return bool(
        certificates.due(session, now)
        or any(why_deploy(facts, now).due for _, facts in deployments.candidates(session, now))
        or any(not certificates.busy(session, wish.certificate) for wish in revocations.due(session, now))
        or servers.wanting_scan(session, now)
        or _inventory_due(session, now, limits)
        or _scans_due(session, now, limits),
    )


def _means(session: Session, now: datetime, limits: Limits) -> Means | None:
    """Return what there is to order with, if anything is due: also without the write lock."""
    due = certificates.due(session, now)
    return ordering.means(session, now, limits.certificates_per_tick) if due else None


def _renewals(session: Session, now: datetime, limits: Limits, means: Means) -> Iterator[JobRow]:
    rows, orderable = _orderable(session, now, means)
    for batch in _batches(orderable, limits.certificates_per_job):
        job = jobs.add(session, JobKind.RENEW, _summary([one.reason for one in batch]), SCHEDULER, now)
        for one in batch:
            row = rows[one.key]
            renew_items(session, job, row, one.reason, ordering.account_of(row, one.account))
        yield job


def _orderable(
    session: Session, now: datetime, means: Means
) -> tuple[Mapping[str, CertificateRow], Sequence[Taken]]:
    """Return what is due and may be ordered, the most pressing first; what waits says why when asked."""
    rows: dict[str, CertificateRow] = {}
    candidates = []
    for row in _free(session, certificates.due(session, now), _servers):
        decision = why_due(certificates.facts(session, row), now)
        if decision.due:
            rows[row.key] = row
            candidates.append(ordering.candidate(session, row, decision.reason))
    return rows, choose(candidates, means, now).taken


def _revocations(session: Session, now: datetime, limits: Limits) -> Iterator[JobRow]:
    """Try again what was asked for and is not done; of one certificate one version at a time."""
    wanted: dict[int, RevocationRow] = {}
    for wish in revocations.due(session, now):
        if not certificates.busy(session, wish.certificate):
            wanted.setdefault(wish.certificate_id, wish)
    for batch in _batches(list(wanted.values()), limits.certificates_per_job):
        job = jobs.add(session, JobKind.REVOKE, ReasonCode.REQUESTED, SCHEDULER, now)
        for wish in batch:
            items.add_revocation(session, job, wish)
        yield job


def _deploys(session: Session, now: datetime, limits: Limits) -> Iterator[JobRow]:
    decisions = {row: why_deploy(facts, now) for row, facts in deployments.candidates(session, now)}
    rows = [row for row, decision in decisions.items() if decision.due]
    free = _free(session, rows, lambda row: {row.server_id})
    due = [(row, decisions[row].reason) for row in free]
    for batch in _whole(due, limits.deployments_per_job):
        job = jobs.add(session, JobKind.DEPLOY, _summary([reason for _, reason in batch]), SCHEDULER, now)
        for row, reason in batch:
            items.add_deployment(session, job, row, reason.sentence)
        yield job


def _free(session: Session, rows: Sequence[_T], servers_of: Callable[[_T], set[int]]) -> Iterator[_T]:
    """Leave out what would only wait for its servers: it stays due, and the next tick sees it.

    The rows come by urgency; what waits keeps its servers from the less urgent ones.
    """
    taken = jobs.busy_servers(session)
    for row in rows:
        wanted = servers_of(row)
        if wanted.isdisjoint(taken):
            yield row
        else:
            taken |= wanted


def _servers(row: CertificateRow) -> set[int]:
    return {place.server_id for place in row.deployments if place.absent_since is None}


def _scans(session: Session, now: datetime, limits: Limits) -> Iterator[JobRow]:
    if _inventory_due(session, now, limits):
        job = jobs.add(session, JobKind.SCAN, ReasonCode.SCHEDULED, SCHEDULER, now)
        job.whole_fleet = True
        yield job
    wanting = servers.wanting_scan(session, now)
    yield from _scan(session, ReasonCode.SCAN_WANTED, {row.id: _why_wanted(row) for row in wanting}, now)
    due = dict.fromkeys(_scans_due(session, now, limits), "looked at again, as each server is in its turn")
    yield from _scan(session, ReasonCode.SCHEDULED, due, now)


def _scan(session: Session, reason: ReasonCode, why: Mapping[int, str], now: datetime) -> Iterator[JobRow]:
    """Make a job for those servers that none is looking at."""
    idle = {number: told for number, told in why.items() if items.open_server(session, number) is None}
    if idle:
        job = jobs.add(session, JobKind.SCAN, reason, SCHEDULER, now)
        for number, told in idle.items():
            items.add_server(session, job, servers.get(session, number), told)
        yield job


def _why_wanted(row: ServerRow) -> str:
    return f"looked at again: {row.last_problem or 'its files are not what the last scan saw'}"


def _scans_due(session: Session, now: datetime, limits: Limits) -> list[int]:
    if limits.scan_interval is None:
        return []
    return [
        number
        for number, name, last in servers.looked_at(session, now)
        if next_scan(name, last, limits.scan_interval) <= now
    ]


def _inventory_due(session: Session, now: datetime, limits: Limits) -> bool:
    """Tell whether to look for new servers; the first scan of a fleet is a person's wish."""
    last = jobs.last_fleet_scan_at(session)
    if limits.scan_interval is None or last is None or jobs.fleet_scan_open(session):
        return False
    return last + limits.scan_interval <= now


def _summary(reasons: Sequence[Reason]) -> str:
    """Say in one line why a job is there."""
    codes = dict.fromkeys(reason.code for reason in reasons)
    return ", ".join(str(code) for code in codes)


def _whole(
    due: Sequence[tuple[DeploymentRow, Reason]], size: int
) -> Iterator[Sequence[tuple[DeploymentRow, Reason]]]:
    """Divide places among jobs, those of one certificate never: its first server decides for all of them."""
    by_certificate: dict[int, list[tuple[DeploymentRow, Reason]]] = {}
    for row, reason in due:
        by_certificate.setdefault(row.certificate_id, []).append((row, reason))
    batch: list[tuple[DeploymentRow, Reason]] = []
    for places in by_certificate.values():
        if batch and len(batch) + len(places) > size:
            yield batch
            batch = []
        batch += places
    if batch:
        yield batch


def _batches(things: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]
