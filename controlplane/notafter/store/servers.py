"""Servers: found by the inventory's name."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import or_, select

from notafter.domain.errors import NotFound
from notafter.domain.identity import Machine
from notafter.store.database import Session
from notafter.store.tables import DeploymentRow, ServerRow


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


def everyone(session: Session) -> list[ServerRow]:
    """Return all servers by name."""
    return list(session.scalars(select(ServerRow).order_by(ServerRow.name)))


def with_machine_id(session: Session, machine_id: str, limit: int | None = None) -> list[ServerRow]:
    """Return the servers that were this machine when they were last seen, or the first of them."""
    query = select(ServerRow).where(ServerRow.machine_id == machine_id)
    return list(session.scalars(query.order_by(ServerRow.id).limit(limit)))


def places(session: Session, row: ServerRow) -> list[DeploymentRow]:
    """Return the places of a server."""
    return list(session.scalars(select(DeploymentRow).where(DeploymentRow.server_id == row.id)))


def aliases(session: Session, row: ServerRow) -> list[ServerRow]:
    """Return the other names of a server's machine."""
    return list(session.scalars(select(ServerRow).where(ServerRow.same_as_id == row.id)))


def mark_left(session: Session, names: Iterable[str], now: datetime) -> None:
    """Note which servers the inventory has and which it no longer has."""
    wanted = set(names)
    for row in session.scalars(select(ServerRow)):
        row.left_at = None if row.name in wanted else row.left_at or now


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
    query = select(ServerRow).where(ServerRow.scan_wanted_at <= now, ServerRow.left_at.is_(None))
    return list(session.scalars(query))


def looked_at(session: Session, now: datetime) -> list[tuple[int, str, datetime]]:
    """Return the servers that were looked at and wait for nothing, each with when that was."""
    query = select(ServerRow.id, ServerRow.name, ServerRow.last_scan_at).where(
        ServerRow.last_scan_at.is_not(None),
        ServerRow.left_at.is_(None),
        or_(ServerRow.scan_wanted_at.is_(None), ServerRow.scan_wanted_at <= now),
    )
    return [(row.id, row.name, row.last_scan_at) for row in session.execute(query) if row.last_scan_at]


def machine(row: ServerRow) -> Machine | None:
    """Return which machine it was when it was last seen; none where nobody knows."""
    if row.machine_id is None:
        return None
    uuid, macs = row.facts.get("product_uuid"), row.facts.get("mac_addresses")
    return Machine(
        machine_id=row.machine_id,
        boot_id=row.boot_id,
        booted_at=row.booted_at,
        seen_at=row.last_scan_at,
        product_uuid=uuid if isinstance(uuid, str) else None,
        mac_addresses=frozenset(str(one) for one in macs) if isinstance(macs, list) else frozenset(),
    )
