"""Jobs whose worker is gone are lost; what they were to do is due again."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from notafter.domain.job import ItemState, JobState, move_job
from notafter.domain.reason import Reason, ReasonCode
from notafter.failpoint import failpoint
from notafter.lifecycle.record.ending import end, is_open
from notafter.runner import processes, run
from notafter.runner.processes import Life
from notafter.runner.run import Workshop
from notafter.store import items, jobs
from notafter.store.database import Database, Session
from notafter.store.tables import JobRow

log = structlog.get_logger(__name__)

_WHY = Reason(ReasonCode.WORKER_GONE, "the control plane ended, or stood still, while the job ran")
#: A process on another machine holds its jobs as long as it says so at least this often.
LEASE = timedelta(minutes=3)
BEAT = timedelta(seconds=20)
#: Between two looks at them; after more, silence is counted anew.
_PAUSE = timedelta(minutes=1)
#: A job also makes keys before its run, and puts the last of it on record afterwards.
_BEYOND_A_RUN = timedelta(minutes=30)


@dataclass
class Watch:
    """Since when this process has seen no new beat of the jobs of others, by its own clock.

    Only what it has looked at all the while counts: when nobody could reach the database, nobody could beat.
    """

    _looked_at: datetime | None = None
    _since: dict[int, tuple[datetime | None, datetime]] = field(default_factory=dict)

    def look(self, now: datetime) -> None:
        """Begin to look at all of them again; after a pause none of them has been silent yet."""
        if self._looked_at is None or now - self._looked_at > _PAUSE:
            self._since.clear()
        self._looked_at = now

    def is_silent(self, job: JobRow, now: datetime) -> bool:
        """Tell whether a job has not been heard of for too long."""
        beat_at, since = self._since.setdefault(job.id, (job.beat_at, now))
        if beat_at != job.beat_at:
            self._since[job.id] = (job.beat_at, now)
            return False
        return now - since > LEASE


def recover(
    database: Database, workshop: Workshop, roster: AbstractSet[str], now: datetime, watch: Watch
) -> list[int]:
    """End what lost jobs left running, then mark them; return their ids.

    The order counts: no second run may start on a host while the first one still lives.
    """
    with database.read() as session:
        running = jobs.running(session)
        watch.look(now)
        lost = [job for job in running if _gone(job, roster, now, watch) or _overdue(job, workshop, now)]
        orphans = [(job.id, job.fence, job.run_id) for job in lost]
    for job_id, fence, run_id in orphans:
        ended = processes.end_marked(run_id) if run_id else 0
        failpoint("recovery.ended")
        with database.write() as session:
            job = jobs.get(session, job_id)
            if job.state is JobState.RUNNING and job.fence == fence:
                _lose(session, job, now)
                failpoint("recovery.uncommitted")
        failpoint("recovery.committed")
        log.warning("job lost", job=job_id, processes_ended=ended)
    sweep(database, workshop)
    return [job_id for job_id, _, _ in orphans]


def beat(database: Database, now: datetime) -> None:
    """Say for all jobs that this process holds that it still does."""
    with database.write() as session:
        jobs.beat(session, processes.identity(), now)


def sweep(database: Database, workshop: Workshop) -> None:
    """Remove the folders of runs that no worker holds.

    Looked for before the database is asked: a folder is made after its job was claimed.
    """
    found = run.folders(workshop)
    with database.read() as session:
        held = {job.run_id for job in jobs.running(session)}
    for run_id in found - held:
        run.remove(workshop, run_id)


def _gone(job: JobRow, roster: AbstractSet[str], now: datetime, watch: Watch) -> bool:
    """Tell whether nobody holds a job: its process has ended, fell silent, or is ours and dropped it."""
    if job.worker == processes.identity():
        return job.run_id not in roster
    life = Life.ENDED if job.worker is None else processes.life(job.worker)
    if life is Life.ELSEWHERE:
        return watch.is_silent(job, now)
    return life is Life.ENDED


def _overdue(job: JobRow, workshop: Workshop, now: datetime) -> bool:
    """Tell whether a job runs for longer than any may: its worker lives, and does nothing (it was stopped).

    What it does when it wakes up is refused: the fence has moved on, and the run's token opens nothing.
    """
    lease = timedelta(seconds=workshop.timeout) + _BEYOND_A_RUN
    return job.started_at is not None and job.started_at + lease < now


def _lose(session: Session, job: JobRow, now: datetime) -> None:
    job.state = move_job(job.state, JobState.LOST)
    job.fence += 1
    job.token_hash = None
    job.finished_at = now
    job.message = _WHY.sentence
    for item in items.of_job(session, job.id):
        if is_open(item):
            end(item, ItemState.LOST, _WHY, now)
