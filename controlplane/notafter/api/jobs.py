"""Jobs, their items and their log."""

from datetime import datetime

from fastapi import APIRouter

from notafter.api.schema import V1, After, Before, Id, Limit, Output, Page
from notafter.api.service import ServiceDep
from notafter.domain.job import ItemState, JobKind, JobState, Subject
from notafter.store import items, jobs, lines
from notafter.store.database import Session
from notafter.store.items import Count
from notafter.store.tables import ItemRow, JobRow

router = APIRouter(prefix=f"{V1}/jobs", tags=["jobs"])


class JobShort(Output):
    """A job in a list."""

    id: int
    kind: JobKind
    state: JobState
    reason: str
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str | None
    items: int
    failed: int


class Item(Output):
    """What one job was to bring about, and how it went."""

    subject: Subject
    certificate: str | None
    deployment: str | None
    server: str | None
    state: ItemState
    due_reason: str
    attempt: int
    reason: str | None
    message: str | None
    before_fingerprint: str | None
    after_fingerprint: str | None
    seconds: float | None
    finished_at: datetime | None


class Job(JobShort):
    """A job with its items."""

    details: list[Item]


class Line(Output):
    """One line of a job's log."""

    number: int
    at: datetime
    text: str


@router.get("")
def page(desk: ServiceDep, before: Before = None, limit: Limit = 50) -> Page[JobShort]:
    """List the jobs, the newest first."""
    with desk.database.read() as session:
        rows = jobs.page(session, before, limit + 1)
        counts = items.counts(session, [row.id for row in rows])
        shown = [_short(row, counts.get(row.id, Count())) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.get("/{job_id}")
def detail(desk: ServiceDep, job_id: Id) -> Job:
    """Show one job."""
    with desk.database.read() as session:
        row = jobs.get(session, job_id)
        return Job(**short(session, row).model_dump(), details=[_item(item) for item in row.items])


@router.get("/{job_id}/lines")
def log(desk: ServiceDep, job_id: Id, after: After = 0, limit: Limit = 200) -> Page[Line]:
    """Show a job's log."""
    with desk.database.read() as session:
        jobs.get(session, job_id)
        rows = lines.of_job(session, job_id, after, limit + 1)
        shown = [Line(number=row.number, at=row.at, text=row.text) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].number if len(rows) > limit else None)


def short(session: Session, row: JobRow) -> JobShort:
    """Return a job as a list shows it."""
    return _short(row, items.counts(session, [row.id]).get(row.id, Count()))


def _short(row: JobRow, count: Count) -> JobShort:
    return JobShort(
        id=row.id,
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        requested_by=row.requested_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        message=row.message,
        items=count.items,
        failed=count.failed,
    )


def _item(row: ItemRow) -> Item:
    return Item(
        subject=row.subject,
        certificate=row.certificate.key if row.certificate else None,
        deployment=row.deployment.key if row.deployment else None,
        server=row.server.name if row.server else None,
        state=row.state,
        due_reason=row.due_reason,
        attempt=row.attempt,
        reason=row.reason,
        message=row.message,
        before_fingerprint=row.before_fingerprint,
        after_fingerprint=row.after_fingerprint,
        seconds=row.seconds,
        finished_at=row.finished_at,
    )
