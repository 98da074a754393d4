"""Servers, and the wish to look at them again."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from notafter.api.jobs import JobShort, short
from notafter.api.schema import V1, After, Input, Limit, Output, Page
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action, Detail
from notafter.domain.server import presence
from notafter.lifecycle import request
from notafter.store import servers
from notafter.store.tables import ServerRow

#: Of so many servers of one wish the names are in the audit.
_NAMED = 100

router = APIRouter(prefix=V1, tags=["servers"])


class ServerShort(Output):
    """A server in a list."""

    id: int
    name: str
    presence: str
    last_seen_at: datetime | None
    last_scan_at: datetime | None
    last_problem: str | None
    problems: int


class Server(ServerShort):
    """A server with what the last scan saw."""

    #: Which machine it was when it was last seen; the name is only what the inventory calls it.
    machine_id: str | None
    booted_at: datetime | None
    same_as: str | None
    left_at: datetime | None
    former_names: list[dict[str, Any]]
    facts: dict[str, Any]
    findings: list[dict[str, Any]]
    warnings: list[str]


class ScanWish(Input):
    """Which servers to scan; none named: the whole fleet of the inventory."""

    servers: Annotated[list[str], Field(max_length=10_000)] = Field(default_factory=list)


@router.get("/servers")
def page(desk: ServiceDep, after: After = 0, limit: Limit = 50) -> Page[ServerShort]:
    """List the servers."""
    with desk.database.read() as session:
        rows = servers.page(session, after, limit + 1)
        shown = [ServerShort(**_short(row)) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.get("/servers/{name}")
def detail(desk: ServiceDep, name: str) -> Server:
    """Show one server."""
    with desk.database.read() as session:
        row = servers.by_name(session, name)
        return Server(
            **_short(row),
            machine_id=row.machine_id,
            booted_at=row.booted_at,
            same_as=servers.get(session, row.same_as_id).name if row.same_as_id is not None else None,
            left_at=row.left_at,
            former_names=row.former_names,
            facts=row.facts,
            findings=row.problems,
            warnings=[_warning(one) for one in row.warnings],
        )


@router.post("/scan", status_code=HTTPStatus.ACCEPTED)
def scan(desk: ServiceDep, who: VisitorDep, wish: ScanWish | None = None) -> JobShort:
    """Ask for a scan; asking again while it waits or runs gives the same job."""
    names = wish.servers if wish else []
    said: Detail = {"servers": names[:_NAMED], "number": len(names)}
    with desk.change(who, Action.SCAN_ASKED, "", said) as session:
        job = short(session, request.scan(session, names, who.name, desk.clock()))
    desk.wake()
    return job


def _warning(one: dict[str, Any]) -> str:
    return f"{one['file']}:{one['line']}: {one['message']}"


def _short(row: ServerRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "presence": presence(row.last_seen_at, row.last_missed_at).value,
        "last_seen_at": row.last_seen_at,
        "last_scan_at": row.last_scan_at,
        "last_problem": row.last_problem,
        "problems": len(row.problems),
    }
