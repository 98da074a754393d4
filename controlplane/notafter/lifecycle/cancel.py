"""A person wants a job to end before its time; whoever holds it sees that and lets its run end in order."""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from notafter.domain.errors import Conflict, StoreError
from notafter.domain.job import ItemState, JobKind, JobState, Subject, move_job
from notafter.domain.reason import Reason, ReasonCode
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.record.ending import end, is_open
from notafter.store import items, jobs, revocations
from notafter.store.database import Database, Session
from notafter.store.jobs import Claim
from notafter.store.tables import ItemRow, JobRow

log = structlog.get_logger(__name__)


@dataclass
class Leash:
    """Tells a run when it is to end: its process stops, or somebody wants its job cancelled.

    Asked often, it looks into the database once in a while; one that does not answer says nothing.
    """

    database: Database
    claim: Claim
    stop: threading.Event
    every: float = 1.0
    _wanted: bool = False
    _looked_at: float = field(default=float("-inf"))

    def is_pulled(self) -> bool:
        """Tell whether the run is to end."""
        if not self._wanted and time.monotonic() - self._looked_at >= self.every:
            self._wanted = self._look()
            self._looked_at = time.monotonic()
        return self._wanted or self.stop.is_set()

    def _look(self) -> bool:
        try:
            with self.database.read() as session:
                wanted = jobs.cancel_wanted(session, self.claim)
        except StoreError as error:
            log.warning("whether the job is to go on is not known", reason=str(error))
            return False
        except Exception:  # the edge of who keeps a run's time: whatever is wrong here, that goes on
            log.exception("whether the job is to go on cannot be known")
            return False
        if wanted:
            log.info("the run is asked to end", run=self.claim.run_id)
        return wanted


def cancel(session: Session, job_id: int, who: str, why: str, now: datetime) -> JobRow:
    """End a job that waits, or ask who holds it to end it; asking again is the same wish.

    A wish that the job was to fulfil is taken back with it. What is due without anybody's wish stays so.
    """
    job = jobs.get(session, job_id)
    if job.cancel_wanted_at is not None and job.state in {JobState.RUNNING, JobState.CANCELLED}:
        return job
    if job.state not in {JobState.QUEUED, JobState.RUNNING}:
        raise Conflict(f"job {job_id} has ended, it is {job.state}: there is nothing left to cancel")
    job.cancel_wanted_at, job.cancel_wanted_by, job.cancel_reason = now, who, why
    open_items = [item for item in items.of_job(session, job.id) if is_open(item)]
    _take_back(session, job, open_items)
    if job.state is JobState.QUEUED:
        _end(job, open_items, now)
    return job


def _end(job: JobRow, open_items: list[ItemRow], now: datetime) -> None:
    job.state = move_job(job.state, JobState.CANCELLED)
    job.finished_at = now
    job.message = f"{job.cancel_wanted_by} wanted it: {job.cancel_reason}"
    for item in open_items:
        end(item, ItemState.CANCELLED, Reason(ReasonCode.CANCELLED, f"never begun: {job.message}"), now)


def _take_back(session: Session, job: JobRow, open_items: list[ItemRow]) -> None:
    for item in open_items:
        if item.subject is not Subject.CERTIFICATE:
            continue
        if job.kind is JobKind.RENEW and item.certificate is not None:
            item.certificate.wanted_at = item.certificate.wanted_by = None
            session.flush()
            schedule(session, item.certificate)
        if job.kind is JobKind.REVOKE and job.state is JobState.QUEUED:
            _forget(session, item)


def _forget(session: Session, item: ItemRow) -> None:
    """Forget a revocation that nobody has begun; of one that was, nobody knows whether the CA has done it."""
    wish = revocations.of_item(session, item)
    if wish is not None and wish.done_at is None:
        revocations.remove(session, wish)
