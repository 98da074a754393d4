"""Findings: what is wrong, what expires, what nobody manages; derived anew at each asking."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from notafter.api.schema import V1, After, Limit, Output
from notafter.api.service import ServiceDep
from notafter.domain.finding import Finding as Found
from notafter.domain.finding import Kind, Level
from notafter.lifecycle import findings
from notafter.lifecycle.findings import Wanted

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


class Counts(Output):
    """How many there are of each, over all pages."""

    level: dict[str, int]
    kind: dict[str, int]


class Findings(Output):
    """Some of many, the worst first; `next` is how many came before the following page."""

    items: list[Finding]
    next: int | None
    total: int
    counts: Counts


@router.get("")
def page(  # noqa: PLR0913, PLR0917 -- one parameter a filter
    desk: ServiceDep,
    server: Text = None,
    kind: Kind | None = None,
    level: Level | None = None,
    service: Text = None,
    text: Text = None,
    after: After = 0,
    limit: Limit = 50,
) -> Findings:
    """List the findings; nothing of them is stored, so that what was mended is gone."""
    wanted = Wanted(server, kind, level, service, text)
    with desk.database.read() as session:
        found = findings.findings(session, desk.clock(), wanted)
    levels, kinds = findings.counts(found)
    end = after + limit
    return Findings(
        items=[_shown(one) for one in found[after:end]],
        next=end if end < len(found) else None,
        total=len(found),
        counts=Counts(level=levels, kind=kinds),
    )


def _shown(found: Found) -> Finding:
    return Finding(**{**asdict(found), "names": list(found.names)})
