"""Entries of the audit, and the head of their chain. Nothing here changes or removes an entry."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from notafter.domain.audit import Action, Actor, Entry
from notafter.store.database import Session
from notafter.store.tables import AuditHeadRow, AuditRow

_HEAD = 1
_AT_ONCE = 1000


@dataclass(frozen=True)
class Wanted:
    """Which entries; what is None does not matter. `since` is in, `until` is not."""

    who: str | None = None
    action: Action | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def head(session: Session) -> AuditHeadRow | None:
    """Return the head of the chain; who adds to it is alone, as all who write are."""
    return session.get(AuditHeadRow, _HEAD)


def begin(session: Session, start: str) -> AuditHeadRow:
    """Put the head of a chain down; its seals come next."""
    row = AuditHeadRow(id=_HEAD, sealed_key="", number=0, link=start, seal="")
    session.add(row)
    session.flush()
    return row


def add(session: Session, entry: Entry, link: str) -> AuditRow:
    """Put an entry on record."""
    row = AuditRow(
        number=entry.number,
        at=entry.at,
        who=entry.actor.name,
        address=entry.actor.address,
        action=entry.action,
        subject=entry.subject,
        detail=dict(entry.detail),
        link=link,
    )
    session.add(row)
    return row


def entry(row: AuditRow) -> Entry:
    """Return what a row says."""
    return Entry(row.number, row.at, Actor(row.who, row.address), row.action, row.subject, row.detail)


def page(session: Session, wanted: Wanted, before: int | None, limit: int) -> list[AuditRow]:
    """Return some entries, the newest first."""
    query = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
    if before is not None:
        query = query.where(AuditRow.number < before)
    if wanted.who is not None:
        query = query.where(AuditRow.who == wanted.who)
    if wanted.action is not None:
        query = query.where(AuditRow.action == wanted.action)
    if wanted.subject is not None:
        query = query.where(AuditRow.subject == wanted.subject)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    return list(session.scalars(query))


def everything(session: Session, after: int = 0) -> Iterator[AuditRow]:
    """Return all entries by number, of which few are in memory at a time."""
    query = select(AuditRow).order_by(AuditRow.number).limit(_AT_ONCE)
    while rows := list(session.scalars(query.where(AuditRow.number > after))):
        for row in rows:
            after = row.number
            yield row
            session.expunge(row)
