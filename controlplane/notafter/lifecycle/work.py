"""Carries jobs through: claim → plan → run → record. The only caller of the runner."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from notafter.domain.errors import ClaimLost, NotafterError, RunnerError
from notafter.domain.job import JobState, move_job
from notafter.domain.outcome import Outcome
from notafter.domain.reason import ReasonCode
from notafter.domain.run import RunEnd, RunState
from notafter.failpoint import failpoint
from notafter.lifecycle import planning, signing
from notafter.lifecycle.cancel import Leash
from notafter.lifecycle.insist import Insistence
from notafter.lifecycle.record import Desk, record
from notafter.lifecycle.record.finish import finish
from notafter.runner import inventory, processes, run
from notafter.runner.plan import Plan
from notafter.runner.run import Listener, Workshop
from notafter.store import items, jobs, lines, servers, tokens
from notafter.store.database import Database, Session
from notafter.store.jobs import Claim
from notafter.store.tables import JobRow, ServerRow

log = structlog.get_logger(__name__)

_BUNCH_SECONDS = 0.5
_BUNCH_LINES = 200


@dataclass(frozen=True)
class Worker:
    """One who carries jobs through, one at a time.

    `roster` has the runs that the workers of this process hold: a job that says so and is
    not on it has been dropped.
    """

    desk: Desk
    workshop: Workshop
    clock: Callable[[], datetime]
    stop: threading.Event = field(default_factory=threading.Event)
    roster: set[str] = field(default_factory=set)

    def step(self) -> bool:
        """Take one job and carry it to its end; tell whether there was one."""
        if self.stop.is_set():
            return False
        self._expand()
        with self.desk.database.read() as session:
            if not jobs.waiting(session):
                return False
        run_id = uuid.uuid4().hex
        self.roster.add(run_id)
        try:
            return self._take_one(run_id)
        finally:
            self.roster.discard(run_id)

    def _take_one(self, run_id: str) -> bool:
        failpoint("work.before_claim")
        with self.desk.database.write() as session:
            claim = jobs.claim(session, processes.identity(), run_id, self.clock())
            failpoint("claim.uncommitted")
        if claim is None:
            return False
        failpoint("work.claimed")
        with structlog.contextvars.bound_contextvars(job=claim.job_id):
            self._carry_through(claim)
        return True

    def _carry_through(self, claim: Claim) -> None:
        log.info("job started", run=claim.run_id)
        try:
            ending = self._run(claim)
            failpoint("work.ran")
            self._finish(claim, ending)
        except ClaimLost as error:
            log.warning("job lost", reason=str(error))
            return
        except Exception as error:  # the job's edge: whatever happened, the job must end
            log.exception("job broke off")
            ending = RunEnd(RunState.BROKEN, _sentence(error))
            self._give_up(claim, ending)
        log.info("job ended", state=ending.state, message=ending.message)

    def _give_up(self, claim: Claim, ending: RunEnd) -> None:
        try:
            self._finish(claim, ending)
        except ClaimLost as error:
            log.warning("job lost", reason=str(error))

    def _finish(self, claim: Claim, ending: RunEnd) -> None:
        self._insist.on(lambda: finish(self.desk.database, claim, ending, self.clock()))

    @property
    def _insist(self) -> Insistence:
        return Insistence(self.stop)

    def _run(self, claim: Claim) -> RunEnd:
        signing.prepare(self.desk, claim, self.clock())
        token = tokens.fresh()
        with self.desk.database.write() as session:
            jobs.holding(session, claim).token_hash = tokens.digest(token)
            plan = planning.plan(session, claim.job_id, self.clock())
            failpoint("plan.uncommitted")
        failpoint("work.planned")
        told = _Log(self.desk.database, claim, self.clock, token)
        listener = Listener(
            on_outcome=lambda outcome: self._record(claim, outcome),
            on_line=told.add,
        )
        try:
            return self._unless_cancelled(plan, token, claim, listener)
        finally:
            told.flush()

    def _unless_cancelled(self, plan: Plan, token: str, claim: Claim, listener: Listener) -> RunEnd:
        leash = Leash(self.desk.database, claim, self.stop)
        if leash.is_pulled():
            return RunEnd(RunState.CANCELLED)
        return run.run(self.workshop, plan, token, claim.run_id, listener, leash.is_pulled)

    def _record(self, claim: Claim, outcome: Outcome) -> None:
        self._insist.on(lambda: record(self.desk, claim, outcome, self.clock()))
        log.info("outcome", kind=type(outcome).__name__, host=outcome.host)

    def _expand(self) -> None:
        """Give the scans of the whole fleet their servers, as the inventory has them now."""
        with self.desk.database.read() as session:
            if not jobs.unexpanded(session):
                return
        try:
            names = inventory.servers(self.workshop)
            if not names:
                raise RunnerError(f"{self.workshop.inventory} has no group `servers`, or it is empty")
        except NotafterError as error:
            self._refuse_scans(str(error))
            return
        now = self.clock()
        with self.desk.database.write() as session:
            servers.mark_left(session, names, now)
            rows = servers.enrol(session, names, now)
            for job in jobs.unexpanded(session):
                _add_servers(session, job, rows, now)

    def _refuse_scans(self, sentence: str) -> None:
        log.warning("the fleet cannot be scanned", reason=sentence)
        with self.desk.database.write() as session:
            for job in jobs.unexpanded(session):
                job.state = move_job(job.state, JobState.CANCELLED)
                job.finished_at = self.clock()
                job.message = f"{ReasonCode.NO_HOSTS}: {sentence}"


def _add_servers(session: Session, job: JobRow, rows: Sequence[ServerRow], now: datetime) -> None:
    """Make servers a job's items; the clockwork's own look at the inventory is for new ones alone."""
    news = job.reason == ReasonCode.SCHEDULED
    wanted = [row for row in rows if not news or (row.last_scan_at is None and row.scan_wanted_at is None)]
    for row in wanted:
        if items.open_server(session, row.id) is None:
            items.add_server(session, job, row, job.reason)
    if news and not wanted:
        job.state = move_job(move_job(job.state, JobState.RUNNING), JobState.SUCCEEDED)
        job.started_at = job.finished_at = now
        job.message = "the inventory has no server that was not looked at before"


class _Log:
    """A job's log, written in bunches: a line of its own costs a wait for the disk."""

    def __init__(
        self,
        database: Database,
        claim: Claim,
        clock: Callable[[], datetime],
        token: str,
    ) -> None:
        self._database = database
        self._claim = claim
        self._clock = clock
        self._token = token
        self._texts: list[str] = []
        self._written_at = 0.0

    def add(self, text: str) -> None:
        """Take a line; the head of a task is shown at once, because silence may follow it."""
        self._texts.append(text.replace(self._token, "(the job's token)"))
        overdue = time.monotonic() - self._written_at > _BUNCH_SECONDS
        if overdue or text.startswith("TASK") or len(self._texts) >= _BUNCH_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what was taken, unless the job is no longer ours."""
        if not self._texts:
            return
        with contextlib.suppress(ClaimLost), self._database.write() as session:
            jobs.holding(session, self._claim)
            lines.add(session, self._claim.job_id, self._texts, self._clock())
            failpoint("log.uncommitted")
        self._texts = []
        self._written_at = time.monotonic()


def _sentence(error: Exception) -> str:
    """Say what broke a job off; an unnamed error only by its type: its text may hold anything."""
    return str(error) if isinstance(error, NotafterError) else type(error).__name__
