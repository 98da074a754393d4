"""A job's log: numbered lines, capped."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select

from notafter.store.database import Session
from notafter.store.tables import LineRow

MOST = 5000
_LONGEST = 2000


def add(session: Session, job_id: int, texts: Iterable[str], now: datetime) -> None:
    """Append lines to a job's log; past the cap only one more says that it was reached."""
    number = session.scalar(select(func.max(LineRow.number)).where(LineRow.job_id == job_id)) or 0
    for text in texts:
        number += 1
        if number > MOST:
            return
        shown = text[:_LONGEST] if number < MOST else "… the log ends here: too many lines"
        session.add(LineRow(job_id=job_id, number=number, at=now, text=shown))
    session.flush()


def of_job(session: Session, job_id: int, after: int, limit: int) -> list[LineRow]:
    """Return a page of a job's log."""
    query = select(LineRow).where(LineRow.job_id == job_id, LineRow.number > after)
    return list(session.scalars(query.order_by(LineRow.number).limit(limit)))
