"""Certificates, and the facts that the renewal policy asks for."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import selectinload

from notafter.domain.certificate import RenewalFacts
from notafter.domain.errors import NotFound
from notafter.domain.job import OPEN_ITEM_STATES, Subject
from notafter.domain.names import numbered
from notafter.store import versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, ItemRow


def get(session: Session, certificate_id: int) -> CertificateRow:
    """Return one certificate."""
    row = session.get(CertificateRow, certificate_id)
    if row is None:
        raise NotFound(f"there is no certificate {certificate_id}")
    return row


def by_key(session: Session, key: str) -> CertificateRow:
    """Return the certificate that a plan calls `crt-17`."""
    number = numbered("crt", key)
    if number is None:
        raise NotFound(f"there is no certificate {key!r}")
    return get(session, number)


def page(session: Session, after: int, limit: int) -> list[CertificateRow]:
    """Return a page of certificates in the order of their ids."""
    query = (
        select(CertificateRow)
        .where(CertificateRow.id > after)
        .options(selectinload(CertificateRow.alternatives), selectinload(CertificateRow.current))
    )
    return list(session.scalars(query.order_by(CertificateRow.id).limit(limit)))


def unadopted(session: Session) -> list[CertificateRow]:
    """Return the certificates that a scan found and nobody has adopted."""
    query = select(CertificateRow).where(CertificateRow.adopted_at.is_(None))
    return list(session.scalars(query.order_by(CertificateRow.id)))


def due(session: Session, now: datetime) -> list[CertificateRow]:
    """Return the few certificates whose time may have come, the most urgent first."""
    busy = exists().where(
        ItemRow.certificate_id == CertificateRow.id,
        ItemRow.subject == Subject.CERTIFICATE,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    query = (
        select(CertificateRow)
        .where(
            CertificateRow.adopted_at.is_not(None),
            or_(CertificateRow.auto_renew, CertificateRow.wanted_at.is_not(None)),
            CertificateRow.renew_at <= now,
            or_(CertificateRow.next_attempt_at.is_(None), CertificateRow.next_attempt_at <= now),
            ~busy,
        )
        .order_by(CertificateRow.renew_at)
        .options(selectinload(CertificateRow.alternatives))
    )
    return list(session.scalars(query))


def busy(session: Session, row: CertificateRow) -> bool:
    """Tell whether a job is renewing it."""
    query = select(ItemRow.id).where(
        ItemRow.certificate_id == row.id,
        ItemRow.subject == Subject.CERTIFICATE,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query.limit(1)) is not None


def busy_among(session: Session, ids: Collection[int]) -> set[int]:
    """Return those that a job is renewing."""
    query = select(ItemRow.certificate_id).where(
        ItemRow.certificate_id.in_(ids),
        ItemRow.subject == Subject.CERTIFICATE,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return {found for found in session.scalars(query) if found is not None}


def facts(session: Session, row: CertificateRow, *, in_progress: bool | None = None) -> RenewalFacts:
    """Return what the renewal policy looks at; who knows whether a job is at it may say so."""
    seconds = row.renew_before_seconds
    current = row.current
    return RenewalFacts(
        id=row.id,
        adopted=row.adopted_at is not None,
        auto_renew=row.auto_renew,
        in_progress=busy(session, row) if in_progress is None else in_progress,
        version=versions.facts(current) if current else None,
        renew_before=None if seconds is None else timedelta(seconds=seconds),
        first_renewal_at=row.first_renewal_at,
        wanted_at=row.wanted_at,
        wanted_by=row.wanted_by,
        next_attempt_at=row.next_attempt_at,
        failures=row.failures,
        last_problem=row.last_problem,
    )
