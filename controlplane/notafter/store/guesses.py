"""Wrong passwords in a row, by what they are counted for; of whom is kept as a digest."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete

from notafter.domain.user import FORGOTTEN_AFTER, Guessing, remaining
from notafter.store.database import Session
from notafter.store.tables import GuessRow


@dataclass(frozen=True)
class Counted:
    """A try that was counted, and what stood there before."""

    kind: Guessing
    who: str
    failures: int
    last_at: datetime | None


def get(session: Session, kind: Guessing, who: str) -> GuessRow | None:
    """Return what is counted, if anything is."""
    return session.get(GuessRow, (kind, digest(who)))


def count(session: Session, kind: Guessing, who: str, now: datetime) -> Counted:
    """Count one more; those that nobody asks about any more are forgotten."""
    session.execute(delete(GuessRow).where(GuessRow.last_at < now - FORGOTTEN_AFTER))
    row = session.get(GuessRow, (kind, digest(who)), populate_existing=True)
    if row is None:
        session.add(GuessRow(kind=kind, who=digest(who), failures=1, last_at=now))
        return Counted(kind, who, 0, None)
    before = Counted(kind, who, remaining(kind, row.failures, row.last_at, now), row.last_at)
    row.failures, row.last_at = before.failures + 1, now
    return before


def uncount(session: Session, counted: Counted) -> None:
    """Take back a try that was right: as if it had not been, but for those that came meanwhile."""
    row = session.get(GuessRow, (counted.kind, digest(counted.who)))
    if row is None:
        return
    row.failures -= 1
    if row.failures <= 0:
        session.delete(row)
    elif row.failures == counted.failures and counted.last_at is not None:
        row.last_at = counted.last_at


def forget(session: Session, kind: Guessing, who: str) -> None:
    """Count anew."""
    session.execute(delete(GuessRow).where(GuessRow.kind == kind, GuessRow.who == digest(who)))


def digest(who: str) -> str:
    """Return what is kept of a name: some type their password where the name belongs."""
    return hashlib.sha256(who.encode("utf-8", "replace")).hexdigest()[:32]
