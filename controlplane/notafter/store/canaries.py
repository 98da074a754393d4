"""Canaries: a known text under seal, by which the right key is known; in a rotation two keys have one."""

from sqlalchemy import delete, inspect, select

from notafter.store.database import Session
from notafter.store.tables import CanaryRow


def everyone(session: Session) -> list[CanaryRow]:
    """Return the canaries, the newest last; none if no key was ever used with this database."""
    if not inspect(session.connection()).has_table(CanaryRow.__tablename__):
        return []
    return list(session.scalars(select(CanaryRow).order_by(CanaryRow.id)))


def add(session: Session, key_id: str) -> CanaryRow:
    """Put a canary's row down; its seal comes once its id is known."""
    row = CanaryRow(key_id=key_id, sealed="")
    session.add(row)
    session.flush()
    return row


def remove(session: Session, key_ids: tuple[str, ...]) -> None:
    """Give keys up: what is sealed with them from now on is not taken."""
    session.execute(delete(CanaryRow).where(CanaryRow.key_id.in_(key_ids)))
