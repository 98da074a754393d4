"""Servers, and the wish to look at them again."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from notafter.api.jobs import JobShort, short
from notafter.api.schema import After, Input, Limit, Output, Page
from notafter.api.service import Caller, ServiceDep
from notafter.domain.server import presence
from notafter.lifecycle import request
from notafter.store import servers
from notafter.store.tables import ServerRow

router = APIRouter(tags=["servers"])


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

    facts: dict[str, Any]
    findings: list[dict[str, Any]]
    warnings: list[str]


class ScanWish(Input):
    """Which servers to scan; none named: the whole fleet of the inventory."""

    servers: Annotated[list[str], Field(max_length=10_000)] = Field(default_factory=list)


@router.get("/servers")
def page(desk: ServiceDep, _: Caller, after: After = 0, limit: Limit = 50) -> Page[ServerShort]:
    """List the servers."""
    with desk.database.read() as session:
        rows = servers.page(session, after, limit + 1)
        shown = [ServerShort(**_short(row)) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.get("/servers/{name}")
def detail(desk: ServiceDep, _: Caller, name: str) -> Server:
    """Show one server."""
    with desk.database.read() as session:
        row = servers.by_name(session, name)
        return Server(
            **_short(row),
            facts=row.facts,
            findings=row.problems,
            warnings=[_warning(one) for one in row.warnings],
        )


@router.post("/scan", status_code=HTTPStatus.ACCEPTED)
def scan(desk: ServiceDep, who: Caller, wish: ScanWish | None = None) -> JobShort:
    """Ask for a scan; asking again while it waits or runs gives the same job."""
    names = wish.servers if wish else []
    with desk.database.write() as session:
        job = short(request.scan(session, names, who, desk.clock()))
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
