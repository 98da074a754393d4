"""Revocations: versions that somebody wants taken back by their CA."""

from datetime import datetime

from sqlalchemy import or_, select

from notafter.domain.job import JobKind
from notafter.store.database import Session
from notafter.store.tables import ItemRow, RevocationRow, VersionRow


def of_version(session: Session, version_id: int) -> RevocationRow | None:
    """Return the wish that a version be taken back."""
    return session.scalar(select(RevocationRow).where(RevocationRow.version_id == version_id))


def of_item(session: Session, item: ItemRow) -> RevocationRow | None:
    """Return the wish that an item of a revoke job stands for."""
    if item.job.kind is not JobKind.REVOKE:
        return None
    query = (
        select(RevocationRow)
        .join(VersionRow, RevocationRow.version_id == VersionRow.id)
        .where(
            RevocationRow.certificate_id == item.certificate_id,
            VersionRow.fingerprint == item.before_fingerprint,
        )
    )
    return session.scalar(query)


def due(session: Session, now: datetime) -> list[RevocationRow]:
    """Return the wishes that are to be tried now, the oldest first; what has expired nobody trusts anyway."""
    query = (
        select(RevocationRow)
        .join(VersionRow, RevocationRow.version_id == VersionRow.id)
        .where(
            RevocationRow.done_at.is_(None),
            VersionRow.not_after > now,
            or_(RevocationRow.next_attempt_at.is_(None), RevocationRow.next_attempt_at <= now),
        )
        .order_by(RevocationRow.id)
    )
    return list(session.scalars(query))


def remove(session: Session, row: RevocationRow) -> None:
    """Forget a wish."""
    session.delete(row)


def add(session: Session, row: RevocationRow) -> RevocationRow:
    """Put a new wish on record."""
    session.add(row)
    session.flush()
    return row
