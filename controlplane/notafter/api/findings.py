"""Findings: what is wrong, what expires, what nobody manages."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from notafter.api import cursor
from notafter.api.cursor import Cursor
from notafter.api.schema import V1, Limit, Output
from notafter.api.service import ServiceDep
from notafter.domain.errors import InvalidInput
from notafter.domain.finding import Finding as Found
from notafter.domain.finding import Kind, Level
from notafter.lifecycle import findings
from notafter.store.findings import Mark, Wanted

router = APIRouter(prefix=f"{V1}/findings", tags=["findings"])

Text = Annotated[str | None, Query(min_length=1, max_length=500)]


class Finding(Output):
    """One thing to know, where it is, and what to do about it."""

    level: Level
    kind: Kind
    sentence: str
    remedy: str
    server: str
    service: str | None
    file: str | None
    line: int | None
    names: list[str]
    certificate: str | None
    fingerprint: str | None
    #: When that is of which the sentence tells.
    moment: datetime | None
    #: Since when it is known.
    since: datetime | None


class Counts(Output):
    """How many there are of each, over all pages."""

    level: dict[str, int]
    kind: dict[str, int]


class Findings(Output):
    """Some of many, the worst first; `next` is where the following page begins."""

    items: list[Finding]
    next: str | None
    total: int
    counts: Counts
    #: Of so many servers it is what was known before their last change; nearly always none.
    outdated: int


@router.get("")
def page(  # noqa: PLR0913, PLR0917 -- one parameter a filter
    desk: ServiceDep,
    server: Text = None,
    kind: Kind | None = None,
    level: Level | None = None,
    service: Text = None,
    text: Text = None,
    certificate: Text = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> Findings:
    """List the findings; what was mended is gone."""
    wanted = Wanted(server, kind, level, service, text, certificate)
    now = desk.clock()
    findings.refresh(desk.database, now)
    with desk.database.read() as session:
        found = findings.page(session, now, wanted, _mark(after), limit)
    return Findings(
        items=[_shown(one) for one in found.findings],
        next=_cursor(found.more) if found.more is not None else None,
        total=found.total,
        counts=Counts(level=found.levels, kind=found.kinds),
        outdated=found.outdated,
    )


def _cursor(mark: Mark) -> str:
    level, server, number = mark
    return cursor.encode(level.value, server, number)


def _mark(text: str | None) -> Mark | None:
    if text is None:
        return None
    level, server, number = cursor.decode(text, str, str, int)
    if level not in list(Level):
        raise InvalidInput(f"there is no level {level!r}")
    return Level(level), str(server), int(number)


def _shown(found: Found) -> Finding:
    return Finding(**{**asdict(found), "names": list(found.names)})
