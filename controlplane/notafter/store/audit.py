"""Entries of the audit, and the head of their chain. Nothing here changes or removes an entry."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from notafter.domain.audit import Action, Actor, Entry
from notafter.domain.errors import AuditBroken
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


def some(session: Session, after: int) -> list[tuple[Entry, str]]:
    """Return the entries that follow a number, as many as are handled at once, each with its link."""
    query = select(AuditRow).where(AuditRow.number > after).order_by(AuditRow.number).limit(_AT_ONCE)
    try:
        rows = list(session.scalars(query))
    except (LookupError, ValueError, TypeError) as error:  # an action that is none, a detail that is no JSON
        raise AuditBroken(f"an entry behind {after} is not as it was written") from error
    found = []
    for row in rows:
        if not isinstance(row.detail, dict):
            raise AuditBroken(f"entry {row.number} is not as it was written")
        found.append((entry(row), row.link))
        session.expunge(row)
    return found


def everything(session: Session) -> Iterator[tuple[Entry, str]]:
    """Return all entries by number, of which few are in memory at a time."""
    after = 0
    while found := some(session, after):
        yield from found
        after = found[-1][0].number
