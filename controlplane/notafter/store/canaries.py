"""The canary: a known text under seal, by which the right key is known."""

from sqlalchemy import select

from notafter.store.database import Session
from notafter.store.tables import CanaryRow


def get(session: Session) -> CanaryRow | None:
    """Return the canary, if a key was ever used with this database."""
    return session.scalar(select(CanaryRow).limit(1))


def add(session: Session, key_id: str) -> CanaryRow:
    """Put the canary's row down; its seal comes once its id is known."""
    row = CanaryRow(key_id=key_id, sealed="")
    session.add(row)
    session.flush()
    return row
