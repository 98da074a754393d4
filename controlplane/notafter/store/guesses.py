"""Wrong passwords in a row, by what they are counted for."""

from datetime import datetime

from sqlalchemy import delete

from notafter.domain.user import FORGOTTEN_AFTER, Guessing
from notafter.store.database import Session
from notafter.store.tables import GuessRow


def get(session: Session, kind: Guessing, who: str) -> GuessRow | None:
    """Return what is counted, if anything is."""
    return session.get(GuessRow, (kind, who))


def count(session: Session, kind: Guessing, who: str, now: datetime) -> None:
    """Count one more; those that nobody asks about any more are forgotten."""
    session.execute(delete(GuessRow).where(GuessRow.last_at < now - FORGOTTEN_AFTER))
    row = session.get(GuessRow, (kind, who), populate_existing=True)
    if row is None:
        session.add(GuessRow(kind=kind, who=who, failures=1, last_at=now))
    else:
        row.failures += 1
        row.last_at = now


def uncount(session: Session, kind: Guessing, who: str, *, wholly: bool) -> None:
    """Take back one, or all."""
    row = session.get(GuessRow, (kind, who))
    if row is None:
        return
    row.failures = 0 if wholly else max(0, row.failures - 1)
    if row.failures == 0:
        session.delete(row)
