"""Items: what one job is to bring about; at most one open item for a subject."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select

from notafter.domain.budget import Key, OrderKind
from notafter.domain.job import OPEN_ITEM_STATES, ItemState, JobKind, Subject
from notafter.domain.reason import Reason
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, ItemRow, JobRow, RevocationRow, ServerRow

#: More failures of one certificate than these are not looked at.
_LONG_AGO = 100


@dataclass(frozen=True)
class Count:
    """How many items a job has, and how many of them have failed."""

    items: int = 0
    failed: int = 0


def counts(session: Session, job_ids: Collection[int]) -> dict[int, Count]:
    """Return the counts of jobs that have items."""
    failed = func.sum(case((ItemRow.state == ItemState.FAILED, 1), else_=0))
    query = (
        select(ItemRow.job_id, func.count(), failed)
        .where(ItemRow.job_id.in_(job_ids))
        .group_by(ItemRow.job_id)
    )
    return {row[0]: Count(row[1], row[2]) for row in session.execute(query)}


def add_certificate(  # noqa: PLR0913, PLR0917 -- an item with the order that it is to be
    session: Session,
    job: JobRow,
    row: CertificateRow,
    due_reason: str,
    kind: OrderKind,
    account_id: int | None,
) -> ItemRow:
    """Make a certificate an item of a job that renews it, with this account."""
    return _add(
        session,
        ItemRow(
            job_id=job.id,
            subject=Subject.CERTIFICATE,
            certificate_id=row.id,
            due_reason=due_reason,
            attempt=row.failures + 1,
            before_fingerprint=row.current.fingerprint if row.current else None,
            order_kind=kind,
            account_id=account_id,
        ),
    )


def add_revocation(session: Session, job: JobRow, row: RevocationRow) -> ItemRow:
    """Make a version that is to be taken back an item of a job."""
    return _add(
        session,
        ItemRow(
            job_id=job.id,
            subject=Subject.CERTIFICATE,
            certificate_id=row.certificate_id,
            due_reason=f"asked for by {row.asked_by}: {row.reason}",
            attempt=row.failures + 1,
            before_fingerprint=row.version.fingerprint,
            account_id=row.account_id,
        ),
    )


def add_deployment(session: Session, job: JobRow, row: DeploymentRow, due_reason: str) -> ItemRow:
    """Make a deployment an item of a job."""
    return _add(
        session,
        ItemRow(
            job_id=job.id,
            subject=Subject.DEPLOYMENT,
            certificate_id=row.certificate_id,
            deployment_id=row.id,
            server_id=row.server_id,
            due_reason=due_reason,
            attempt=row.failures + 1,
            before_fingerprint=row.live_fingerprint or row.file_fingerprint,
        ),
    )


def add_server(session: Session, job: JobRow, row: ServerRow, due_reason: str) -> ItemRow:
    """Make a server an item of a job."""
    return _add(
        session,
        ItemRow(
            job_id=job.id,
            subject=Subject.SERVER,
            server_id=row.id,
            due_reason=due_reason,
            attempt=row.scan_failures + 1,
        ),
    )


def add_ended(  # noqa: PLR0913, PLR0917 -- an item with its end
    session: Session,
    job: JobRow,
    row: ServerRow,
    due_reason: str,
    state: ItemState,
    reason: Reason,
    now: datetime,
) -> None:
    """Put down an item of a run that has ended: no job of ours waited for it."""
    session.add(
        ItemRow(
            job_id=job.id,
            subject=Subject.SERVER,
            server_id=row.id,
            state=state,
            due_reason=due_reason,
            reason=reason.code,
            message=reason.sentence,
            finished_at=now,
        ),
    )
    session.flush()


def marks(session: Session, job_id: int) -> set[str]:
    """Return the marks that the items of a job bear."""
    return set(session.scalars(select(ItemRow.due_reason).where(ItemRow.job_id == job_id)))


def open_server(session: Session, server_id: int) -> ItemRow | None:
    """Return the open item that is about this server as such (a scan)."""
    query = select(ItemRow).where(
        ItemRow.server_id == server_id,
        ItemRow.subject == Subject.SERVER,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query)


def open_deployment(session: Session, deployment_id: int) -> ItemRow | None:
    """Return the open item that is about this deployment."""
    query = select(ItemRow).where(
        ItemRow.deployment_id == deployment_id,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query)


def open_of_server(session: Session, server_id: int) -> bool:
    """Tell whether a job is at a server, or waits for it, whatever it is about."""
    query = select(ItemRow.id).where(ItemRow.server_id == server_id, ItemRow.state.in_(OPEN_ITEM_STATES))
    return session.scalar(query.limit(1)) is not None


def about(session: Session, deployment_id: int) -> bool:
    """Tell whether any job was ever about a deployment."""
    query = select(ItemRow.id).where(ItemRow.deployment_id == deployment_id)
    return session.scalar(query.limit(1)) is not None


def of_server(session: Session, server_id: int) -> Sequence[ItemRow]:
    """Return all items that are about a server."""
    return session.scalars(select(ItemRow).where(ItemRow.server_id == server_id)).all()


def open_certificate(session: Session, certificate_id: int) -> ItemRow | None:
    """Return the open item that renews this certificate, or has a version of it revoked."""
    query = select(ItemRow).where(
        ItemRow.certificate_id == certificate_id,
        ItemRow.subject == Subject.CERTIFICATE,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query)


@dataclass(frozen=True, slots=True)
class Renewed:
    """One renewal that was begun, as far as it has come."""

    certificate_id: int
    account_id: int
    credential_id: int | None
    names: tuple[str, ...]
    kind: OrderKind | None
    state: ItemState
    reason: str | None
    retry_after: float | None
    limited_by: Key | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def renewed(session: Session, since: Mapping[int, datetime]) -> list[Renewed]:
    """Return the renewals of these accounts since each one's moment, in the order in which they were made.

    What was cancelled before it began is none. Columns and no rows: there may be thousands.
    """
    query = (
        select(
            CertificateRow.id,
            ItemRow.account_id,
            CertificateRow.credential_id,
            CertificateRow.names,
            ItemRow.order_kind,
            ItemRow.state,
            ItemRow.reason,
            ItemRow.retry_after,
            ItemRow.limited_by,
            JobRow.created_at,
            JobRow.started_at,
            ItemRow.finished_at,
        )
        .join(JobRow, ItemRow.job_id == JobRow.id)
        .join(CertificateRow, ItemRow.certificate_id == CertificateRow.id)
        .where(
            JobRow.kind == JobKind.RENEW,
            ItemRow.subject == Subject.CERTIFICATE,
            or_(false(), *_each_since(since)),
            or_(ItemRow.state.in_(OPEN_ITEM_STATES), JobRow.started_at.is_not(None)),
        )
        .order_by(ItemRow.id)
    )
    return [
        Renewed(number, account or 0, credential, tuple(names), *rest)
        for number, account, credential, names, *rest in session.execute(query)
    ]


def _each_since(since: Mapping[int, datetime]) -> Iterator[ColumnElement[bool]]:
    for moment in set(since.values()):
        accounts = [account for account, its in since.items() if its == moment]
        yield and_(ItemRow.account_id.in_(accounts), JobRow.created_at > moment)


def setbacks(session: Session, certificate_id: int, reasons: Collection[str]) -> dict[int, int]:
    """Return how often each account has failed a certificate for these reasons since it was last issued."""
    query = (
        select(ItemRow.account_id, ItemRow.state, ItemRow.reason)
        .join(JobRow, ItemRow.job_id == JobRow.id)
        .where(
            JobRow.kind == JobKind.RENEW,
            ItemRow.subject == Subject.CERTIFICATE,
            ItemRow.certificate_id == certificate_id,
            ItemRow.account_id.is_not(None),
        )
        .order_by(ItemRow.id.desc())
        .limit(_LONG_AGO)
    )
    found: dict[int, int] = {}
    for account, state, reason in session.execute(query):
        if state is ItemState.SUCCEEDED:
            break
        if reason in reasons:
            found[account or 0] = found.get(account or 0, 0) + 1
    return found


def last_renewal(session: Session, certificate_id: int, account_id: int) -> ItemRow | None:
    """Return the last renewal of a certificate with this account that has ended."""
    query = (
        select(ItemRow)
        .join(JobRow, ItemRow.job_id == JobRow.id)
        .where(
            JobRow.kind == JobKind.RENEW,
            ItemRow.subject == Subject.CERTIFICATE,
            ItemRow.certificate_id == certificate_id,
            ItemRow.account_id == account_id,
            ItemRow.finished_at.is_not(None),
        )
        .order_by(ItemRow.id.desc())
    )
    return session.scalar(query.limit(1))


def of_job(session: Session, job_id: int, subject: Subject | None = None) -> Sequence[ItemRow]:
    """Return a job's items, or those about one kind of subject."""
    query = select(ItemRow).where(ItemRow.job_id == job_id).order_by(ItemRow.id)
    if subject is not None:
        query = query.where(ItemRow.subject == subject)
    return session.scalars(query).all()


def _add(session: Session, item: ItemRow) -> ItemRow:
    item.state = ItemState.WAITING
    session.add(item)
    session.flush()
    return item
