"""What a run told that somebody else started: a person with the callback, and later the agent.

The same facts go on record as for a job of ours, by the same hands. Nobody asked for them, so that
three rules are added. A run told twice changes nothing. A server that nobody knows is made when it was
scanned and has a name that means one machine. What a deploy by hand did is not believed but looked at:
its server is scanned again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notafter.domain.difference import Sight, asked
from notafter.domain.errors import Conflict, InvalidName, NotFound
from notafter.domain.job import ItemState, JobKind, end_of
from notafter.domain.names import inventory_name
from notafter.domain.outcome import Deployed, Endpoint, HostFailed, Outcome, Probed, Scanned
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.server import is_everywhere
from notafter.lifecycle.record import scan
from notafter.store import deployments, items, jobs, servers, sights
from notafter.store.database import Session, Writer
from notafter.store.tables import JobRow, ServerRow


@dataclass(frozen=True)
class Told:
    """One outcome of a run, by its number in the run."""

    number: int
    module: str
    outcome: Outcome | None


@dataclass(frozen=True)
class Left:
    """What was not put on record, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of what was told."""

    job_id: int
    recorded: int
    known: int
    left: tuple[Left, ...]


def report(  # noqa: PLR0913, PLR0917 -- a run, who tells of it, and when
    writer: Writer,
    run: str,
    playbook: str | None,
    told: Sequence[Told],
    who: str,
    now: datetime,
) -> Receipt:
    """Put on record what a run told, all in one transaction."""
    left: list[Left] = []
    recorded = known = 0
    with writer.write() as session:
        job = jobs.reported(session, run) or _begin(session, run, playbook, who, now)
        marks = items.marks(session, job.id)
        for one in told:
            mark = f"told by run: {one.module} #{one.number}"
            if mark in marks:
                known += 1
                continue
            try:
                row, state, reason = _one(session, one.outcome, now)
            except (NotFound, InvalidName, Conflict) as error:
                left.append(Left(one.number, str(error)))
                continue
            items.add_ended(session, job, row, mark, state, reason, now)
            marks.add(mark)
            recorded += 1
        _end(session, job)
        return Receipt(job.id, recorded, known, tuple(left))


def _begin(session: Session, run: str, playbook: str | None, who: str, now: datetime) -> JobRow:
    """Make the job that stands for a run which has ended already."""
    job = jobs.add(session, JobKind.REPORT, ReasonCode.REPORTED, who, now)
    job.report_id, job.message = run, playbook
    job.started_at = job.finished_at = now
    return job


def _end(session: Session, job: JobRow) -> None:
    """The run is over: what it tells in several parts only completes its record."""
    session.flush()
    states = [item.state for item in items.of_job(session, job.id)]
    job.state = end_of(states or [ItemState.SUCCEEDED])


def _one(session: Session, outcome: Outcome | None, now: datetime) -> tuple[ServerRow, ItemState, Reason]:
    match outcome:
        case Scanned():
            row = _server(session, outcome.host, now)
            return row, ItemState.SUCCEEDED, scan.observe(session, row, outcome, now).reason
        case Deployed():
            row = servers.by_name(session, outcome.host)
            row.scan_wanted_at = row.scan_wanted_at or now
            reason = Reason(
                ReasonCode.SCAN_WANTED, f"{len(outcome.results)} deploys by hand: it is looked at"
            )
            return row, ItemState.SUCCEEDED, reason
        case Probed():
            row = servers.by_name(session, outcome.host)
            return row, ItemState.SUCCEEDED, _probed(session, row, outcome)
        case HostFailed():
            raise Conflict(f"{outcome.host}: {outcome.message}")
    raise Conflict("it is nothing that the control plane keeps of a run by hand")


def _server(session: Session, name: str, now: datetime) -> ServerRow:
    """Return the server of a name, made if it is new and the name means one machine."""
    if is_everywhere(name):
        raise InvalidName(f"{name} is the name of every machine: give it a name of its own in the inventory")
    return servers.enrol(session, [inventory_name(name)], now)[0]


def _probed(session: Session, row: ServerRow, outcome: Probed) -> Reason:
    """Keep what was seen from outside at the places that are meant to be shown there."""
    count = 0
    for place in deployments.of_server(session, row.id).values():
        names = {asked(name) for name in place.names}
        ports = {_port(listener) for listener in place.listeners}
        seen = [
            point
            for point in outcome.endpoints
            if _port(point.listener) in ports and (not names or point.name in names)
        ]
        if seen:
            place.outside = sights.rows(_sight(point) for point in seen)
            count += 1
    return Reason(
        ReasonCode.SERVED, f"{len(outcome.endpoints)} endpoints seen from outside, at {count} places"
    )


def _port(listener: str) -> str:
    """Return the port of a listener, with the protocol that TLS begins in."""
    return listener.rpartition(":")[2]


def _sight(point: Endpoint) -> Sight:
    return Sight(point.listener, point.name, point.fingerprint, point.error)
