"""What is known of the fleet → findings: derived a server at a time, when a fact or the time has changed it.

What is derived is kept for lists (store/findings.py). It is a copy: the facts would say it again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from notafter.domain.difference import View, difference
from notafter.domain.errors import DatabaseNotWritable
from notafter.domain.finding import (
    DERIVED,
    Finding,
    Kind,
    Level,
    Life,
    PlaceFacts,
    ServerFacts,
    changes_at,
    of_place,
    of_problem,
    of_server,
    spot,
)
from notafter.domain.identity import Kin, kin
from notafter.domain.server import presence
from notafter.store import deployments, servers, versions
from notafter.store import findings as kept
from notafter.store.database import Database, Session
from notafter.store.findings import Mark, Wanted
from notafter.store.tables import DeploymentRow, ServerRow

Spots = dict[tuple[str, str], DeploymentRow]
#: Of a machine that was copied a thousand times a few names say enough.
_MOST_TWINS = 5
#: So many servers are derived in one transaction: writers wait for no longer.
_AT_ONCE = 20


@dataclass(frozen=True)
class Derived:
    """The findings of a server, and until when they hold if no fact changes; none: for ever."""

    findings: list[Finding]
    until: datetime | None


@dataclass(frozen=True)
class Listed:
    """Some findings, and how many there are in all."""

    findings: list[Finding]
    more: Mark | None
    levels: dict[str, int]
    kinds: dict[str, int]
    total: int
    #: Of so many servers what is listed may be of before: their facts have changed since.
    outdated: int


def refresh(database: Database, now: datetime, rounds: int = 1) -> None:
    """Derive anew what no longer holds, in so many transactions at most; each is of a few servers.

    A database that cannot be written keeps what it has.
    """
    with suppress(DatabaseNotWritable):
        for _ in range(rounds):
            with database.read() as session:
                if not kept.count_outdated(session, now):
                    return
            with database.write() as session:
                for row in kept.outdated(session, now, _AT_ONCE):
                    found = derive(session, row, now)
                    kept.keep(session, row, found.findings, now)
                    row.findings_at, row.findings_until = now, found.until


def page(session: Session, now: datetime, wanted: Wanted, after: Mark | None, limit: int) -> Listed:
    """Return some of what is wanted: the worst first, then by server."""
    rows = kept.page(session, wanted, after, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    levels: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for level, kind, number in kept.counts(session, wanted):
        levels[level.value] += number
        kinds[kind.value] += number
    return Listed(
        findings=[_told(kept.finding(row), now) for row in rows[:limit]],
        more=(last.level, last.server, last.id) if last is not None else None,
        levels={level.value: levels[level.value] for level in Level},
        kinds=dict(sorted(kinds.items())),
        total=kinds.total(),
        outdated=kept.count_outdated(session, now),
    )


def everything(session: Session, now: datetime, wanted: Wanted) -> list[Finding]:
    """Return all that is wanted: the worst first, then by server."""
    return [_told(kept.finding(row), now) for row in kept.everything(session, wanted)]


def counts(found: Iterable[Finding]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many findings there are of each level and of each kind."""
    levels: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for one in found:
        levels[one.level.value] += 1
        kinds[one.kind.value] += 1
    return {level.value: levels[level.value] for level in Level}, dict(sorted(kinds.items()))


def _told(one: Finding, now: datetime) -> Finding:
    return replace(one, sentence=one.told(now))


def derive(session: Session, row: ServerRow, now: datetime) -> Derived:
    """Derive the findings of a server from what is known of it and of its places."""
    found: list[Finding] = []
    changes: list[datetime] = []
    spots: Spots = {}
    surveyed = list(deployments.survey(session, row.id))
    lives = versions.lives(session, {place.file_fingerprint for place, _ in surveyed})
    for place, view in surveyed:
        spots[place.service, place.path] = place
        facts = _place(place, view, lives.get(place.file_fingerprint or ""))
        found += of_place(facts, now)
        change = changes_at(facts, now)
        changes += [change] if change is not None else []
    found += of_server(_server(session, row))
    found += _problems(row, spots)
    found.sort(key=lambda one: (one.file or "", one.line or 0, one.kind, one.sentence))
    return Derived(found, min(changes, default=None))


def _where(place: DeploymentRow) -> Finding:
    return replace(
        spot(place.server.name),
        service=place.service,
        file=place.config_file or place.path,
        line=place.line,
        names=tuple(place.names),
        certificate=place.certificate.key,
        fingerprint=place.file_fingerprint,
    )


def _place(place: DeploymentRow, view: View, life: tuple[datetime, datetime] | None) -> PlaceFacts:
    certificate = place.certificate
    ours = certificate.adopted_at is not None
    return PlaceFacts(
        spot=_where(place),
        difference=difference(view),
        life=Life(*life) if life is not None else None,
        adopted=ours and place.adopted_at is not None,
        certificate_adopted=ours,
        managed_by=place.managed_by,
        failures=place.failures,
        last_problem=place.last_problem,
        renewal_failures=certificate.failures if ours else 0,
        renewal_problem=certificate.last_problem,
    )


def _problems(row: ServerRow, spots: Spots) -> Iterator[Finding]:
    for problem in row.problems:
        place = spots.get((problem.get("service") or "", problem.get("path") or ""))
        if place is not None and (problem["kind"] in DERIVED or place.absent_since is not None):
            continue
        yield of_problem(_of_problem(row, problem, place), problem["kind"], problem["message"])
    for warning in row.warnings:
        where = replace(spot(row.name), file=warning["file"], line=warning["line"])
        yield of_problem(where, Kind.UNRESOLVED, warning["message"])


def _of_problem(row: ServerRow, problem: dict[str, Any], place: DeploymentRow | None) -> Finding:
    return replace(
        spot(row.name),
        service=problem.get("service"),
        file=problem.get("config_file") or problem.get("path"),
        line=problem.get("line"),
        names=tuple(problem.get("names") or ()),
        certificate=place.certificate.key if place else None,
        fingerprint=place.file_fingerprint if place else None,
    )


def _twins(session: Session, row: ServerRow) -> Iterator[tuple[str, Kin]]:
    """Return other servers that were seen with the machine id of this one."""
    mine = servers.machine(row)
    if mine is None:
        return
    for other in servers.with_machine_id(session, mine.machine_id, _MOST_TWINS + 1):
        theirs = servers.machine(other)
        if row.id != other.id and theirs is not None:
            yield other.name, kin(mine, theirs)


def _server(session: Session, row: ServerRow) -> ServerFacts:
    return ServerFacts(
        name=row.name,
        presence=presence(row.last_seen_at, row.last_missed_at),
        scanned=row.last_scan_at is not None,
        last_problem=row.last_problem,
        left=row.left_at is not None,
        same_as=servers.get(session, row.same_as_id).name if row.same_as_id is not None else None,
        twins=tuple(_twins(session, row))[:_MOST_TWINS],
    )
