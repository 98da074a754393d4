"""Requests: attempts to sign; a retry finds the open one of its certificate."""

from datetime import datetime

from sqlalchemy import select

from notafter.domain.names import numbered
from notafter.store.database import Session
from notafter.store.tables import RequestRow


def open_of(session: Session, certificate_id: int) -> RequestRow | None:
    """Return the attempt of a certificate that has no version yet."""
    query = select(RequestRow).where(
        RequestRow.certificate_id == certificate_id,
        RequestRow.version_id.is_(None),
        RequestRow.abandoned_at.is_(None),
    )
    return session.scalar(query)


def by_key(session: Session, key: str) -> RequestRow | None:
    """Return the attempt that a plan calls `req-12`."""
    number = numbered("req", key)
    return None if number is None else session.get(RequestRow, number)


def abandon(row: RequestRow, now: datetime) -> None:
    """Give an attempt up: the next one gets a new key."""
    row.abandoned_at = now
    row.sealed_key = None
