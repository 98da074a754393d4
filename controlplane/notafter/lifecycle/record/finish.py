"""A run is over: every item ends, with a reason, and so does the job."""

from datetime import datetime

from notafter.domain.job import ItemState, end_of, move_job
from notafter.domain.reason import ReasonCode
from notafter.domain.run import ENDED_BY_ITSELF, RunEnd, RunState
from notafter.failpoint import failpoint
from notafter.lifecycle.record.ending import end, is_open
from notafter.lifecycle.record.host import fail
from notafter.store import items, jobs
from notafter.store.database import Database, Session
from notafter.store.jobs import Claim
from notafter.store.tables import JobRow


def finish(database: Database, claim: Claim, ending: RunEnd, now: datetime) -> None:
    """End a job: what has no outcome by now has failed, for the reason the run gives."""
    failpoint("finish.before")
    with database.write() as session:
        job = jobs.holding(session, claim)
        ending = _as_wanted(job, ending)
        _end_items(session, job, ending, now)
        states = [item.state for item in items.of_job(session, job.id)]
        job.state = move_job(job.state, end_of(states))
        job.finished_at = now
        job.token_hash = None
        good = sum(state is ItemState.SUCCEEDED for state in states)
        job.message = ending.message or f"{good} of {len(states)} succeeded"
        failpoint("finish.uncommitted")
    failpoint("finish.committed")


def _as_wanted(job: JobRow, ending: RunEnd) -> RunEnd:
    """Say who wanted a run to end that did not end by itself, however it was brought to it."""
    if job.cancel_wanted_at is None or ending.state in ENDED_BY_ITSELF:
        return ending
    return RunEnd(RunState.CANCELLED, f"{job.cancel_wanted_by} wanted it: {job.cancel_reason}")


def _end_items(session: Session, job: JobRow, ending: RunEnd, now: datetime) -> None:
    reason = ending.reason()
    for item in items.of_job(session, job.id):
        if not is_open(item):
            continue
        if reason.code == ReasonCode.CANCELLED:
            end(item, ItemState.CANCELLED, reason, now)
        else:
            fail(session, job, item, reason, now)
