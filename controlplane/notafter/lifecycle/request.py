"""A person's or a client's wish becomes the same jobs that the scheduler makes."""

from collections.abc import Sequence
from datetime import datetime

from notafter.domain.errors import Conflict
from notafter.domain.job import JobKind
from notafter.domain.names import inventory_name
from notafter.domain.reason import Reason, ReasonCode
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.due import renew_items
from notafter.store import certificates, deployments, items, jobs, servers
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, JobRow


def scan(session: Session, names: Sequence[str], by: str, now: datetime) -> JobRow:
    """Ask for a look at these servers, or without names at the whole fleet of the inventory.

    Asking again while the scan waits or runs is the same wish.
    """
    if not names:
        return jobs.fleet_scan_open(session) or _fleet_scan(session, by, now)
    rows = servers.enrol(session, [inventory_name(name) for name in names], now)
    idle = [row for row in rows if items.open_server(session, row.id) is None]
    if not idle:
        busy = items.open_server(session, rows[0].id)
        if busy is not None:
            return busy.job
    job = jobs.add(session, JobKind.SCAN, ReasonCode.REQUESTED, by, now)
    for row in idle:
        items.add_server(session, job, row, f"asked for by {by}")
    return job


def renew(session: Session, ids: Sequence[int], by: str, now: datetime) -> JobRow:
    """Ask for these certificates to be renewed now; one that a job is at is not taken twice.

    The wish stays on record until there is a new version, whatever becomes of this job.
    """
    rows = [_adopted(session, certificate_id) for certificate_id in dict.fromkeys(ids)]
    if not rows:
        raise Conflict("no certificate was named")
    idle = [row for row in rows if not certificates.busy(session, row)]
    if not idle:
        busy = items.open_certificate(session, rows[0].id)
        if busy is not None:
            return busy.job
    job = jobs.add(session, JobKind.RENEW, ReasonCode.REQUESTED, by, now)
    for row in idle:
        row.wanted_at, row.wanted_by = now, by
        schedule(session, row)
        renew_items(session, job, row, Reason(ReasonCode.REQUESTED, f"asked for by {by}"))
    return job


def verify(session: Session, ids: Sequence[int], by: str, now: datetime) -> JobRow:
    """Ask what is really served where these certificates should be."""
    rows = [_adopted(session, certificate_id) for certificate_id in dict.fromkeys(ids)]
    places = [
        place
        for row in rows
        for place in row.deployments
        if row.current
        and place.adopted_at
        and place.absent_since is None
        and not deployments.busy(session, place)
    ]
    if not places:
        raise Conflict("there is no place to look at, or a job is at each of them")
    job = jobs.add(session, JobKind.VERIFY, ReasonCode.REQUESTED, by, now)
    for place in places:
        items.add_deployment(session, job, place, f"asked for by {by}")
    return job


def _fleet_scan(session: Session, by: str, now: datetime) -> JobRow:
    job = jobs.add(session, JobKind.SCAN, ReasonCode.REQUESTED, by, now)
    job.whole_fleet = True
    return job


def _adopted(session: Session, certificate_id: int) -> CertificateRow:
    row = certificates.get(session, certificate_id)
    if row.adopted_at is None:
        raise Conflict(f"nobody has adopted {row.key}: `notafter adopt {row.id}` comes first")
    return row
