"""What is known of the fleet → findings: read anew each time, nothing of it is stored."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from notafter.domain.difference import View, difference
from notafter.domain.finding import (
    DERIVED,
    Finding,
    Kind,
    Level,
    Life,
    PlaceFacts,
    ServerFacts,
    of_place,
    of_problem,
    of_server,
    spot,
)
from notafter.domain.identity import Kin, kin
from notafter.domain.server import presence
from notafter.store import deployments, servers, versions
from notafter.store.database import Session
from notafter.store.tables import DeploymentRow, ServerRow

Spots = dict[tuple[str, str, str], DeploymentRow]
#: Of a machine that was copied a thousand times a few names say enough.
_MOST_TWINS = 5
_ORDER = {level: number for number, level in enumerate(Level)}


@dataclass(frozen=True)
class Wanted:
    """Which findings somebody wants; none given: all."""

    server: str | None = None
    kind: Kind | None = None
    level: Level | None = None
    service: str | None = None
    text: str | None = None

    def takes(self, found: Finding) -> bool:
        """Tell whether a finding is wanted."""
        return (
            (self.server is None or found.server == self.server)
            and (self.kind is None or found.kind is self.kind)
            and (self.level is None or found.level is self.level)
            and (self.service is None or found.service == self.service)
            and (self.text is None or found.has(self.text))
        )


def findings(session: Session, now: datetime, wanted: Wanted) -> list[Finding]:
    """Return what is wanted: the worst first, then by server and file."""
    found = [one for one in _all(session, now, wanted.server) if wanted.takes(one)]
    return sorted(
        found,
        key=lambda one: (
            _ORDER[one.level],
            one.server,
            one.file or "",
            one.line or 0,
            one.kind,
            one.sentence,
        ),
    )


def counts(found: Iterable[Finding]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many findings there are of each level and of each kind."""
    levels: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for one in found:
        levels[one.level.value] += 1
        kinds[one.kind.value] += 1
    return {level.value: levels[level.value] for level in Level}, dict(sorted(kinds.items()))


def _all(session: Session, now: datetime, server: str | None) -> Iterator[Finding]:
    rows = servers.everyone(session)
    names = {row.id: row.name for row in rows}
    spots: Spots = {}
    lives = {print_: Life(*life) for print_, life in versions.lives(session).items()}
    for place, view in deployments.survey(session, server):
        spots[place.server.name, place.service, place.path] = place
        life = lives.get(place.file_fingerprint or "")
        yield from of_place(_place(place, view, life), now)
    twins = _twins(rows)
    for row in rows:
        if server in {None, row.name}:
            yield from of_server(_server(row, names, twins))
            yield from _problems(row, spots)


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


def _place(place: DeploymentRow, view: View, life: Life | None) -> PlaceFacts:
    certificate = place.certificate
    ours = certificate.adopted_at is not None
    return PlaceFacts(
        spot=_where(place),
        difference=difference(view),
        life=life,
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
        place = spots.get((row.name, problem.get("service") or "", problem.get("path") or ""))
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


def _twins(rows: Iterable[ServerRow]) -> dict[int, list[tuple[str, Kin]]]:
    """Return, for each server, the others that were seen with its machine id."""
    machines: dict[str, list[ServerRow]] = {}
    for row in rows:
        if row.machine_id is not None:
            machines.setdefault(row.machine_id, []).append(row)
    found: dict[int, list[tuple[str, Kin]]] = {}
    for some in machines.values():
        for row in some:
            mine = servers.machine(row)
            for other in some:
                theirs = servers.machine(other)
                if row.id != other.id and mine is not None and theirs is not None:
                    found.setdefault(row.id, []).append((other.name, kin(mine, theirs)))
    return found


def _server(row: ServerRow, names: dict[int, str], twins: dict[int, list[tuple[str, Kin]]]) -> ServerFacts:
    return ServerFacts(
        name=row.name,
        presence=presence(row.last_seen_at, row.last_missed_at),
        scanned=row.last_scan_at is not None,
        last_problem=row.last_problem,
        left=row.left_at is not None,
        same_as=names.get(row.same_as_id) if row.same_as_id is not None else None,
        twins=tuple(twins.get(row.id, ())[:_MOST_TWINS]),
    )
