"""The keys that sign access tokens."""

from datetime import datetime

from sqlalchemy import select

from notafter.domain.names import numbered
from notafter.store.database import Session
from notafter.store.tables import SigningKeyRow


def newest(session: Session) -> SigningKeyRow | None:
    """Return the key that signs."""
    return session.scalar(select(SigningKeyRow).order_by(SigningKeyRow.id.desc()).limit(1))


def by_key(session: Session, key: str) -> SigningKeyRow | None:
    """Return the key of this name, if there is one."""
    number = numbered("key", key)
    return None if number is None else session.get(SigningKeyRow, number)


def older(session: Session) -> list[SigningKeyRow]:
    """Return the keys that another one has replaced."""
    return list(session.scalars(select(SigningKeyRow).where(SigningKeyRow.replaced_at.is_not(None))))


def add(session: Session, now: datetime) -> SigningKeyRow:
    """Put the row of a new key down; its seal comes once its id is known."""
    row = SigningKeyRow(sealed_secret="", created_at=now)
    session.add(row)
    session.flush()
    return row
