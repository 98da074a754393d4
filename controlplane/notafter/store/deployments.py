"""Deployments, and the facts that the deploy policy asks for."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import contains_eager, selectinload

from notafter.domain.deployment import DeploymentFacts
from notafter.domain.difference import Neighbour, View
from notafter.domain.job import OPEN_ITEM_STATES
from notafter.domain.names import numbered
from notafter.domain.renewal import emergency_at
from notafter.domain.rollout import NotTaken, Rollout, WavePolicy
from notafter.store import sights, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, ItemRow, ServerRow, VersionRow

_Row = TypeVar("_Row")

#: A place of a server: its service and its path.
Key = tuple[str, str]
#: A database takes so many values in one query.
_AT_ONCE = 500


def by_key(session: Session, key: str) -> DeploymentRow | None:
    """Return the deployment that a plan calls `dep-5`."""
    number = numbered("dep", key)
    return None if number is None else session.get(DeploymentRow, number)


def counts(session: Session, certificate_ids: Collection[int]) -> dict[int, int]:
    """Return how many places each of these certificates has."""
    query = (
        select(DeploymentRow.certificate_id, func.count())
        .where(DeploymentRow.certificate_id.in_(certificate_ids))
        .group_by(DeploymentRow.certificate_id)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def of_server(session: Session, server_id: int) -> dict[Key, DeploymentRow]:
    """Return the places of a server by service and path."""
    rows = session.scalars(select(DeploymentRow).where(DeploymentRow.server_id == server_id))
    return {(row.service, row.path): row for row in rows}


def at(session: Session, server_id: int, keys: Iterable[Key]) -> dict[Key, DeploymentRow]:
    """Return those of these places of a server that are known, by service and path."""
    wanted = set(keys)
    found: dict[Key, DeploymentRow] = {}
    paths = iter({path for _, path in wanted})
    while some := list(islice(paths, _AT_ONCE)):
        query = select(DeploymentRow).where(
            DeploymentRow.server_id == server_id, DeploymentRow.path.in_(some)
        )
        found |= {(row.service, row.path): row for row in session.scalars(query)}
    return {key: row for key, row in found.items() if key in wanted}


def present(session: Session, server_id: int) -> list[DeploymentRow]:
    """Return the places of a server that the last scan has found."""
    query = select(DeploymentRow).where(
        DeploymentRow.server_id == server_id, DeploymentRow.absent_since.is_(None)
    )
    return list(session.scalars(query))


def behind(session: Session, now: datetime) -> list[DeploymentRow]:
    """Return the places that may not show the newest version and that no job is at."""
    open_item = exists().where(
        ItemRow.deployment_id == DeploymentRow.id,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    query = (
        select(DeploymentRow)
        .join(CertificateRow, CertificateRow.id == DeploymentRow.certificate_id)
        .join(VersionRow, VersionRow.id == CertificateRow.current_version_id)
        .where(
            CertificateRow.adopted_at.is_not(None),
            DeploymentRow.adopted_at.is_not(None),
            VersionRow.sealed_key.is_not(None),
            VersionRow.revoked_at.is_(None),
            DeploymentRow.absent_since.is_(None),
            _unlike_wanted(),
            or_(DeploymentRow.next_attempt_at.is_(None), DeploymentRow.next_attempt_at <= now),
            ~open_item,
        )
        .order_by(VersionRow.not_after)
    )
    return list(session.scalars(query))


def serving(session: Session, fingerprint: str) -> list[str]:
    """Return the places that show a version, by what was last seen there: `web1 nginx /etc/ssl/shop.pem`."""
    query = (
        select(DeploymentRow)
        .where(
            DeploymentRow.absent_since.is_(None),
            or_(DeploymentRow.live_fingerprint == fingerprint, DeploymentRow.file_fingerprint == fingerprint),
        )
        .order_by(DeploymentRow.id)
    )
    return [f"{row.server.name} {row.service} {row.path}" for row in session.scalars(query)]


def candidates(session: Session, now: datetime) -> Iterator[tuple[DeploymentRow, DeploymentFacts]]:
    """Return what may be behind, each with what the deploy policy looks at: not a query for each."""
    rows = behind(session, now)
    known = rollouts(session) if rows else {}
    urgent = urgent_at(session, rows)
    for row in rows:
        yield row, _facts(row, known.get(row.certificate_id), urgent[row.id], in_progress=False)


def rollouts(session: Session, certificate_id: int | None = None) -> dict[int, Rollout]:
    """Return how far each certificate has come whose newest version some place did not take."""
    query = _rolling(select(DeploymentRow)).where(
        DeploymentRow.not_taken_fingerprint == VersionRow.fingerprint, _unlike_wanted()
    )
    if certificate_id is not None:
        query = query.where(DeploymentRow.certificate_id == certificate_id)
    failed: dict[int, list[DeploymentRow]] = {}
    for row in session.scalars(query):
        failed.setdefault(row.certificate_id, []).append(row)
    return {number: _rollout(session, rows) for number, rows in failed.items()}


def _rollout(session: Session, failed: list[DeploymentRow]) -> Rollout:
    certificate = failed[0].certificate
    arrived = _rolling(select(func.count(DeploymentRow.id))).where(
        DeploymentRow.certificate_id == certificate.id, _like_wanted()
    )
    return Rollout(
        policy=waves(certificate),
        arrived=session.scalar(arrived) or 0,
        not_taken=tuple(
            NotTaken(row.key, row.server.name, row.last_problem or "it did not say why", row.next_attempt_at)
            for row in failed
        ),
    )


def waves(row: CertificateRow) -> WavePolicy:
    """Return how many servers of a certificate get a version at a time."""
    return WavePolicy(tuple(row.waves), row.max_fail_percentage)


def urgent_at(session: Session, rows: Iterable[DeploymentRow]) -> dict[int, datetime | None]:
    """Return for each place when what it serves is near its end; none if it is no version on record."""
    served = {row.id: row.live_fingerprint or row.file_fingerprint for row in rows}
    moments: dict[str | None, datetime | None] = {None: None}
    for fingerprint in set(served.values()) - {None}:
        version = versions.by_fingerprint(session, fingerprint or "")
        moments[fingerprint] = emergency_at(versions.facts(version)) if version is not None else None
    return {number: moments[fingerprint] for number, fingerprint in served.items()}


def busy(session: Session, row: DeploymentRow) -> bool:
    """Tell whether a job is at it."""
    query = select(ItemRow.id).where(
        ItemRow.deployment_id == row.id,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query.limit(1)) is not None


def facts(session: Session, row: DeploymentRow) -> DeploymentFacts:
    """Return what the deploy policy looks at."""
    rollout = rollouts(session, row.certificate_id).get(row.certificate_id)
    urgent = urgent_at(session, [row])
    return _facts(row, rollout, urgent[row.id], in_progress=busy(session, row))


def _facts(
    row: DeploymentRow, rollout: Rollout | None, urgent: datetime | None, *, in_progress: bool
) -> DeploymentFacts:
    current = row.certificate.current
    return DeploymentFacts(
        adopted=row.certificate.adopted_at is not None and row.adopted_at is not None,
        absent=row.absent_since is not None,
        in_progress=in_progress,
        wanted=versions.facts(current) if current else None,
        live_fingerprint=row.live_fingerprint,
        file_fingerprint=row.file_fingerprint,
        next_attempt_at=row.next_attempt_at,
        failures=row.failures,
        last_problem=row.last_problem,
        held_back_by=rollout.held_back(row.key) if rollout is not None else (),
        urgent_at=urgent,
    )


def _rolling(query: Select[_Row]) -> Select[_Row]:
    """Narrow a query to the places that are ours, each beside the version that it is to show."""
    return (
        query.join(CertificateRow, CertificateRow.id == DeploymentRow.certificate_id)
        .join(VersionRow, VersionRow.id == CertificateRow.current_version_id)
        .where(DeploymentRow.adopted_at.is_not(None), DeploymentRow.absent_since.is_(None))
    )


def _unlike_wanted() -> ColumnElement[bool]:
    """Hold where anything seen differs from the newest version, or nothing was seen."""
    wanted = VersionRow.fingerprint
    live, file = DeploymentRow.live_fingerprint, DeploymentRow.file_fingerprint
    return or_(live != wanted, file != wanted, live.is_(None) & file.is_(None))


def _like_wanted() -> ColumnElement[bool]:
    wanted = VersionRow.fingerprint
    live, file = DeploymentRow.live_fingerprint, DeploymentRow.file_fingerprint
    alike = (or_(mark.is_(None), mark == wanted) for mark in (live, file))
    return and_(*alike, or_(live.is_not(None), file.is_not(None)))


def view(session: Session, row: DeploymentRow) -> View:
    """Return what the rule about differences looks at."""
    beside: list[DeploymentRow] = []
    shown = _shown_instead(row)
    if shown:
        query = select(DeploymentRow).where(
            DeploymentRow.server_id == row.server_id,
            DeploymentRow.file_fingerprint.in_(shown),
        )
        beside = list(session.scalars(query))
    return _view(row, versions.fingerprints(session, [row.certificate_id]), _by_file(beside))


def survey(session: Session, server_id: int | None = None) -> Iterator[tuple[DeploymentRow, View]]:
    """Return all places, or those of one server, each with what the rule about differences looks at."""
    query = (
        select(DeploymentRow)
        .join(DeploymentRow.server)
        .options(
            contains_eager(DeploymentRow.server),
            selectinload(DeploymentRow.certificate)
            .selectinload(CertificateRow.current)
            .defer(VersionRow.pem)
            .defer(VersionRow.chain_pem),
        )
        .order_by(ServerRow.name, DeploymentRow.id)
    )
    if server_id is not None:
        query = query.where(DeploymentRow.server_id == server_id)
    rows = list(session.scalars(query))
    ids = None if server_id is None else [row.certificate_id for row in rows]
    known = versions.fingerprints(session, ids)
    beside = _by_file(rows)
    for row in rows:
        yield row, _view(row, known, beside)


#: One certificate may lie in ten thousand files: to name who answers, a few of them are held against it.
_MOST_NEIGHBOURS = 50

#: Places by server and by what lies in their file.
Beside = dict[tuple[int, str | None], list[DeploymentRow]]


def _by_file(rows: Iterable[DeploymentRow]) -> Beside:
    found: Beside = {}
    for row in rows:
        if row.absent_since is None:
            found.setdefault((row.server_id, row.file_fingerprint), []).append(row)
    return found


def _view(row: DeploymentRow, known: dict[int, frozenset[str]], beside: Beside) -> View:
    issued = _issued(row)
    return View(
        service=row.service,
        file=row.path,
        disk=row.file_fingerprint,
        names=tuple(row.names),
        inside=sights.of(row.served),
        outside=sights.of(row.outside),
        issued=issued,
        former=known.get(row.certificate_id, frozenset()) - {issued},
        neighbours=tuple(_neighbours(row, beside)),
        running=_running(row),
        absent=row.absent_since is not None,
    )


def _issued(row: DeploymentRow) -> str | None:
    """Return the version of ours that is to be there; none where nobody has adopted the place."""
    current = row.certificate.current
    adopted = row.certificate.adopted_at is not None and row.adopted_at is not None
    return current.fingerprint if adopted and current is not None and current.sealed_key else None


def _neighbours(row: DeploymentRow, beside: Beside) -> Iterator[Neighbour]:
    """Return the other places whose certificate was seen here."""
    for fingerprint in _shown_instead(row):
        for other in beside.get((row.server_id, fingerprint), [])[:_MOST_NEIGHBOURS]:
            place = f"{other.service} ({other.config_file}:{other.line})"
            yield Neighbour(fingerprint, tuple(other.listeners), tuple(other.names), place)


def _shown_instead(row: DeploymentRow) -> set[str]:
    """Return what the host's own listeners showed there that is not what lies in the file."""
    return {one["fingerprint"] for one in row.served if one["fingerprint"]} - {row.file_fingerprint}


def _running(row: DeploymentRow) -> bool:
    """Tell whether the last scan saw the server of a place run; where it did not say, it may."""
    services = row.server.facts.get("services") or []
    return all(one.get("running") is not False for one in services if one.get("name") == row.service)
