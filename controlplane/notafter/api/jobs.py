"""Jobs and their items: what there is, and how one is ended before its time or tried again."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from notafter.api.schema import V1, Before, Id, Input, Limit, Output, Page
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action
from notafter.domain.job import ItemState, JobKind, JobState, Subject
from notafter.domain.names import numbered
from notafter.lifecycle import cancel, retry
from notafter.store import items, jobs
from notafter.store.database import Session
from notafter.store.items import Count
from notafter.store.jobs import Wanted
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
    #: Somebody wants it to end before its time.
    cancel_wanted_at: datetime | None
    cancel_wanted_by: str | None
    cancel_reason: str | None


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


class CancelWish(Input):
    """Why a job is to end before its time."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Omitted(Output):
    """What is not tried again, and why."""

    what: str
    why: str


class Retried(Output):
    """The jobs that try again: one of the same kind, and one that deploys what was issued already."""

    jobs: list[JobShort]
    omitted: list[Omitted]


Text = Annotated[str | None, Query(min_length=1, max_length=300)]
CertificateKey = Annotated[str | None, Query(pattern="^crt-[0-9]{1,10}$")]


@router.get("")
def page(  # noqa: PLR0913, PLR0917 -- one parameter a filter
    desk: ServiceDep,
    state: JobState | None = None,
    kind: JobKind | None = None,
    requested_by: Text = None,
    server: Text = None,
    certificate: CertificateKey = None,
    before: Before = None,
    limit: Limit = 50,
) -> Page[JobShort]:
    """List the jobs, the newest first."""
    number = (numbered("crt", certificate) or 0) if certificate else None
    wanted = Wanted(state, kind, requested_by, server, number)
    with desk.database.read() as session:
        rows = jobs.page(session, before, limit + 1, wanted)
        counts = items.counts(session, [row.id for row in rows])
        shown = [_short(row, counts.get(row.id, Count())) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.get("/{job_id}")
def detail(desk: ServiceDep, job_id: Id) -> Job:
    """Show one job."""
    with desk.database.read() as session:
        row = jobs.get(session, job_id)
        return Job(**short(session, row).model_dump(), details=[_item(item) for item in row.items])


@router.post("/{job_id}/cancel", status_code=HTTPStatus.ACCEPTED)
def cancel_one(desk: ServiceDep, who: VisitorDep, job_id: Id, wish: CancelWish) -> JobShort:
    """End a job before its time: one that waits at once, one that runs as soon as it can be done in order."""
    with desk.change(who, Action.CANCELLING_ASKED, f"job-{job_id}", {"reason": wish.reason}) as session:
        return short(session, cancel.cancel(session, job_id, who.name, wish.reason, desk.clock()))


@router.post("/{job_id}/retry", status_code=HTTPStatus.ACCEPTED)
def retry_one(desk: ServiceDep, who: VisitorDep, job_id: Id) -> Retried:
    """Try again what a job has not brought about; what cannot be tried now is named."""
    with desk.database.write() as session:
        found = retry.retry(session, job_id, who.name, desk.clock())
        made = Retried(
            jobs=[short(session, row) for row in found.jobs],
            omitted=[Omitted(what=one.what, why=one.why) for one in found.omitted],
        )
        said = {"jobs": [str(one.id) for one in made.jobs]}
        desk.note(session, who, Action.RETRY_ASKED, f"job-{job_id}", said)
    desk.wake()
    return made


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
        cancel_wanted_at=row.cancel_wanted_at,
        cancel_wanted_by=row.cancel_wanted_by,
        cancel_reason=row.cancel_reason,
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
