"""Jobs: claimed by one worker at a time, written to only by the one that holds them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, CursorResult, func, select, update

from notafter.domain.errors import ClaimLost, NotFound
from notafter.domain.job import OPEN_JOB_STATES, ItemState, JobKind, JobState
from notafter.store.database import Session
from notafter.store.tables import ItemRow, JobRow, ServerRow


@dataclass(frozen=True)
class Wanted:
    """Which jobs are wanted; what is none does not narrow them down."""

    state: JobState | None = None
    kind: JobKind | None = None
    requested_by: str | None = None
    #: Some item of the job is at this server, or about this certificate.
    server: str | None = None
    certificate_id: int | None = None


_ANY = Wanted()


@dataclass(frozen=True)
class Claim:
    """The right to carry a job through: worthless once the fence has moved on."""

    job_id: int
    fence: int
    run_id: str


def get(session: Session, job_id: int) -> JobRow:
    """Return one job."""
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return row


def add(session: Session, kind: JobKind, reason: str, requested_by: str, now: datetime) -> JobRow:
    """Put a new job into the queue."""
    row = JobRow(
        kind=kind,
        state=JobState.QUEUED,
        reason=reason,
        requested_by=requested_by,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def reported(session: Session, run: str) -> JobRow | None:
    """Return the job that stands for a run which somebody else started."""
    return session.scalar(select(JobRow).where(JobRow.report_id == run))


def claim(session: Session, worker: str, run_id: str, now: datetime) -> Claim | None:
    """Take the oldest job that need not wait for another one; none if all must."""
    for job_id, fence in _claimable(session):
        if _take(session, job_id, fence, worker, run_id, now):
            return Claim(job_id, fence + 1, run_id)
    return None


def ready(session: Session) -> bool:
    """Tell whether a job waits for nothing but a worker."""
    return next(_claimable(session), None) is not None


def busy_servers(session: Session) -> set[int]:
    """Return the servers that some job is at, or waits for."""
    query = select(ItemRow.server_id).join(JobRow).where(JobRow.state.in_(OPEN_JOB_STATES))
    return {server for server in session.scalars(query) if server is not None}


def holding(session: Session, claim: Claim) -> JobRow:
    """Return the job for writing, if this claim still holds it."""
    row = get(session, claim.job_id)
    if row.state is not JobState.RUNNING or row.fence != claim.fence:
        raise ClaimLost(f"job {claim.job_id} is no longer ours: it is {row.state}")
    return row


def beat(session: Session, worker: str, now: datetime) -> None:
    """Put down that a worker still holds its jobs."""
    session.execute(
        update(JobRow).where(JobRow.worker == worker, JobRow.state == JobState.RUNNING).values(beat_at=now)
    )


def running(session: Session) -> list[JobRow]:
    """Return the jobs that some worker holds."""
    return list(session.scalars(select(JobRow).where(JobRow.state == JobState.RUNNING)))


def unexpanded(session: Session) -> list[JobRow]:
    """Return the scans of the whole fleet whose servers are not yet known."""
    query = select(JobRow).where(
        JobRow.state == JobState.QUEUED,
        JobRow.whole_fleet,
        ~JobRow.items.any(),
    )
    return list(session.scalars(query))


def fleet_scan_open(session: Session) -> JobRow | None:
    """Return the scan of the whole fleet that waits or runs."""
    query = select(JobRow).where(JobRow.state.in_(OPEN_JOB_STATES), JobRow.whole_fleet)
    return session.scalar(query.limit(1))


def last_fleet_scan_at(session: Session) -> datetime | None:
    """Return when the whole fleet was last to be scanned."""
    return session.scalar(select(func.max(JobRow.created_at)).where(JobRow.whole_fleet))


def page(session: Session, before: int | None, limit: int, wanted: Wanted = _ANY) -> list[JobRow]:
    """Return a page of jobs, the newest first."""
    query = select(JobRow).where(*_conditions(wanted)).order_by(JobRow.id.desc()).limit(limit)
    if before is not None:
        query = query.where(JobRow.id < before)
    return list(session.scalars(query))


def cancel_wanted(session: Session, claim: Claim) -> bool:
    """Tell whether somebody wants the job of a claim to end."""
    query = select(JobRow.id).where(JobRow.id == claim.job_id, JobRow.cancel_wanted_at.is_not(None))
    return session.scalar(query) is not None


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.state is not None:
        yield JobRow.state == wanted.state
    if wanted.kind is not None:
        yield JobRow.kind == wanted.kind
    if wanted.requested_by is not None:
        yield JobRow.requested_by == wanted.requested_by
    if wanted.server is not None:
        at = select(ItemRow.job_id).join(ServerRow, ItemRow.server_id == ServerRow.id)
        yield JobRow.id.in_(at.where(ServerRow.name == wanted.server))
    if wanted.certificate_id is not None:
        about = select(ItemRow.job_id).where(ItemRow.certificate_id == wanted.certificate_id)
        yield JobRow.id.in_(about)


def waiting(session: Session) -> int:
    """Return how many jobs wait."""
    query = select(func.count()).select_from(JobRow).where(JobRow.state == JobState.QUEUED)
    return session.scalar(query) or 0


def _claimable(session: Session) -> Iterator[tuple[int, int]]:
    """Return the jobs whose servers no running and no older job needs, the oldest first.

    A scan of the whole fleet is not ready before it has its servers.
    """
    running = select(ItemRow.server_id).join(JobRow).where(JobRow.state == JobState.RUNNING)
    taken = set(session.scalars(running)) - {None}
    queued = select(JobRow.id, JobRow.fence).where(
        JobRow.state == JobState.QUEUED,
        JobRow.items.any(),
    )
    for job_id, fence in session.execute(queued.order_by(JobRow.id)).all():
        own = set(session.scalars(select(ItemRow.server_id).where(ItemRow.job_id == job_id))) - {None}
        if own.isdisjoint(taken):
            yield job_id, fence
        taken |= own


def _take(  # noqa: PLR0913, PLR0917 -- one statement, all that it sets
    session: Session,
    job_id: int,
    fence: int,
    worker: str,
    run_id: str,
    now: datetime,
) -> bool:
    """Compare and set: of two workers one wins."""
    moved = session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == JobState.QUEUED, JobRow.fence == fence)
        .values(
            state=JobState.RUNNING,
            fence=fence + 1,
            worker=worker,
            run_id=run_id,
            started_at=now,
            beat_at=now,
        ),
    )
    if not isinstance(moved, CursorResult) or moved.rowcount != 1:
        return False
    session.execute(
        update(ItemRow)
        .where(ItemRow.job_id == job_id, ItemRow.state == ItemState.WAITING)
        .values(state=ItemState.RUNNING),
    )
    return True
