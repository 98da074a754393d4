"""Servers: found by the inventory's name."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from notafter.domain.errors import NotFound
from notafter.store.database import Session
from notafter.store.tables import ServerRow


def by_name(session: Session, name: str) -> ServerRow:
    """Return the server of this inventory name."""
    row = session.scalar(select(ServerRow).where(ServerRow.name == name))
    if row is None:
        raise NotFound(f"there is no server {name!r}")
    return row


def get(session: Session, server_id: int) -> ServerRow:
    """Return one server."""
    row = session.get(ServerRow, server_id)
    if row is None:
        raise NotFound(f"there is no server {server_id}")
    return row


def enrol(session: Session, names: Iterable[str], now: datetime) -> list[ServerRow]:
    """Return the servers of these names; those that are new are added."""
    wanted = list(dict.fromkeys(names))
    known = {row.name: row for row in session.scalars(select(ServerRow))}
    for name in wanted:
        if name not in known:
            row = ServerRow(name=name, enrolled_at=now)
            session.add(row)
            known[name] = row
    session.flush()
    return [known[name] for name in wanted]


def page(session: Session, after: int, limit: int) -> list[ServerRow]:
    """Return a page of servers in the order of their ids."""
    query = select(ServerRow).where(ServerRow.id > after).order_by(ServerRow.id).limit(limit)
    return list(session.scalars(query))


def wanting_scan(session: Session, now: datetime) -> list[ServerRow]:
    """Return the servers that somebody asked to look at again."""
    return list(session.scalars(select(ServerRow).where(ServerRow.scan_wanted_at <= now)))
