"""A host fell out of a run: what it was to do has failed, with the host's own reason."""

from datetime import datetime, timedelta

from notafter.domain.backoff import next_attempt
from notafter.domain.job import ItemState, JobKind, Subject
from notafter.domain.outcome import FailureClass, HostFailed
from notafter.domain.reason import NOBODY_GOT_IN, Reason
from notafter.lifecycle.record import revoke
from notafter.lifecycle.record.ending import (
    deployment_failed,
    end,
    fail_certificate_item,
    is_open,
)
from notafter.lifecycle.record.pages import missing
from notafter.store import items
from notafter.store.database import Session
from notafter.store.tables import ItemRow, JobRow, ServerRow


def failed(session: Session, job: JobRow, outcome: HostFailed, now: datetime) -> None:
    """Fail all open items of a host."""
    reason = Reason(outcome.code, outcome.message)
    for item in items.of_job(session, job.id):
        if is_open(item) and outcome.host == _host(item):
            fail(session, job, item, reason, now)


def fail(session: Session, job: JobRow, item: ItemRow, reason: Reason, now: datetime) -> None:
    """Fail one item, whatever it is about, and set when its subject is tried again."""
    if item.subject is Subject.CERTIFICATE and job.kind is JobKind.REVOKE:
        revoke.fail(session, item, reason, now, FailureClass.INTERNAL)
        return
    if item.subject is Subject.CERTIFICATE:
        fail_certificate_item(session, job, item, reason, now, FailureClass.INTERNAL)
        return
    if item.subject is Subject.SERVER and item.server is not None:
        lost = missing(item.server, job.started_at)
        reason = Reason(reason.code, lost) if lost is not None else reason
    end(item, ItemState.FAILED, reason, now)
    if item.server is not None and reason.code in NOBODY_GOT_IN:
        item.server.last_missed_at = now
    if item.subject is Subject.DEPLOYMENT and item.deployment is not None:
        deployment_failed(item.deployment, reason, now)
    elif item.subject is Subject.SERVER and item.server is not None:
        scan_failed(item.server, reason, now)


def scan_failed(row: ServerRow, reason: Reason, now: datetime) -> None:
    """Count a failed scan and look again later, if somebody wants that scan."""
    row.scan_failures += 1
    row.last_problem = reason.sentence
    again = next_attempt(now, row.scan_failures, row.name, None)
    row.scan_wanted_at = max(again, now + timedelta(seconds=1))


def _host(item: ItemRow) -> str | None:
    if item.subject is Subject.CERTIFICATE:
        return item.certificate.key if item.certificate else None
    return item.server.name if item.server else None
