"""Requests that are done once: what was asked, and how it was answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete

from notafter.store.database import Session
from notafter.store.tables import RequestedRow


@dataclass(frozen=True)
class Requested:
    """One request: a digest of whose it is and where it went, and one of what it asked."""

    mark: str
    asked: str


def get(session: Session, requested: Requested) -> RequestedRow | None:
    """Return what is known of a request."""
    return session.get(RequestedRow, requested.mark)


def begin(session: Session, requested: Requested, now: datetime) -> None:
    """Put down that a request is being processed; of two at once one is the second."""
    session.add(RequestedRow(mark=requested.mark, asked=requested.asked, begun_at=now))
    session.flush()


def answered(
    session: Session, requested: Requested, status: int, headers: Mapping[str, str], body: str | None
) -> None:
    """Keep an answer; without its body where nobody may."""
    row = get(session, requested)
    if row is not None:
        row.status, row.headers, row.body = status, dict(headers), body


def forget(session: Session, requested: Requested) -> None:
    """Let a request be tried anew: nothing came of it."""
    session.execute(delete(RequestedRow).where(RequestedRow.mark == requested.mark))


def forget_before(session: Session, moment: datetime) -> None:
    """Forget what nobody asks for again."""
    session.execute(delete(RequestedRow).where(RequestedRow.begun_at < moment))
