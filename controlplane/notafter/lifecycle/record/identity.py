"""Whose sight it is: a machine that comes under another name keeps its places and its history."""

from datetime import datetime, timedelta

from notafter.domain.errors import Conflict
from notafter.domain.identity import Kin, Machine, kin
from notafter.domain.outcome import Scanned
from notafter.store import findings, items, servers
from notafter.store.database import Session
from notafter.store.tables import ServerRow

#: A machine id has 32 characters (machine-id(5)); what has many more is none.
_LONGEST_ID = 128


def whose(session: Session, named: ServerRow, outcome: Scanned, now: datetime) -> ServerRow:
    """Return the server that an outcome is about, which may be one that we know by another name.

    What cannot be told for certain stays apart: nothing is merged, and a finding says so.
    """
    seen = machine(outcome, now)
    named.same_as_id = None
    if seen is None:
        return named
    if named.machine_id != seen.machine_id:
        for row in servers.with_machine_id(session, seen.machine_id):
            known = servers.machine(row)
            if row.id != named.id and known is not None and _is_same(row, known, seen):
                return _same(session, named, row, now)
    return named


def machine(outcome: Scanned, now: datetime) -> Machine | None:
    """Return which machine a scan saw; by our own clock, for a host's may be wrong."""
    facts = outcome.server
    machine_id, boot_id = facts.get("machine_id"), facts.get("boot_id")
    if not isinstance(machine_id, str) or not 0 < len(machine_id) <= _LONGEST_ID:
        return None
    uptime, uuid, macs = facts.get("uptime_seconds"), facts.get("product_uuid"), facts.get("mac_addresses")
    return Machine(
        machine_id=machine_id,
        boot_id=boot_id if isinstance(boot_id, str) and boot_id else None,
        booted_at=_before(now, uptime),
        seen_at=now,
        product_uuid=uuid if isinstance(uuid, str) else None,
        mac_addresses=frozenset(str(one) for one in macs) if isinstance(macs, list) else frozenset(),
    )


def _before(now: datetime, seconds: object) -> datetime | None:
    try:
        return now - timedelta(seconds=seconds) if isinstance(seconds, int) else None
    except OverflowError:
        return None


def _is_same(row: ServerRow, known: Machine, seen: Machine) -> bool:
    """Tell whether it is this server; one that left the inventory and was not seen since has moved."""
    verdict = kin(known, seen)
    return verdict is Kin.SAME or (verdict is Kin.UNDECIDED and row.left_at is not None)


def _same(session: Session, named: ServerRow, row: ServerRow, now: datetime) -> ServerRow:
    places = servers.places(session, named)
    if named.machine_id is not None and places:
        raise Conflict(
            f"{named.name} is now the machine that we know as {row.name}: nothing was put on record;"
            " give both new names in the inventory, then scan again"
        )
    used = any(place.adopted_at is not None or items.about(session, place.id) for place in places)
    if row.left_at is not None and not used and not items.open_of_server(session, row.id):
        _rename(session, named, row, now)
    else:
        named.same_as_id, named.machine_id = row.id, None
        named.last_seen_at = named.last_scan_at = now
        named.scan_wanted_at, named.scan_failures, named.last_problem = None, 0, None
    return row


def _rename(session: Session, named: ServerRow, row: ServerRow, now: datetime) -> None:
    """Give a server the new name of its machine; the row that the name had made goes."""
    name = named.name
    for item in items.of_server(session, named.id):
        item.server = row
    for place in servers.places(session, named):
        session.delete(place)
    for alias in servers.aliases(session, named):
        alias.same_as_id = row.id if alias.id != row.id else None
    session.flush()
    findings.forget(session, named)
    session.delete(named)
    session.flush()
    row.former_names = [*row.former_names, {"name": row.name, "until": now.isoformat()}]
    row.name, row.left_at = name, None
    session.flush()


def note(row: ServerRow, outcome: Scanned, now: datetime) -> None:
    """Put on record which machine a server is."""
    seen = machine(outcome, now)
    if seen is not None:
        row.machine_id, row.boot_id, row.booted_at = seen.machine_id, seen.boot_id, seen.booted_at
