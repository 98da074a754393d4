"""Intervals onto the functions of this room; no logic."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from notafter.ca.reach import Reach
from notafter.domain.errors import NotafterError
from notafter.lifecycle import due, findings, recovery, window
from notafter.lifecycle.due import Limits
from notafter.lifecycle.recovery import Watch
from notafter.runner.run import Workshop
from notafter.store.database import Database

#: The one that goes on while a process drains.
_BEAT = "beat"
#: So many servers' findings at a time, times those of one transaction, are looked through again.
_ROUNDS = 50

log = structlog.get_logger(__name__)


@dataclass
class Pulse:
    """What the clockwork of this process has done last."""

    ticked_at: datetime | None = None


def start(  # noqa: PLR0913, PLR0917 -- all that the clockwork calls with
    database: Database,
    workshop: Workshop,
    roster: AbstractSet[str],
    clock: Callable[[], datetime],
    limits: Limits,
    seconds: float,
    pulse: Pulse,
    reach: Reach,
) -> BackgroundScheduler:
    """Start the clockwork; it only calls, and what it calls may be called at any time."""
    scheduler = BackgroundScheduler(timezone="UTC", daemon=True)

    watch = Watch()

    def tick() -> None:
        recovery.recover(database, workshop, roster, clock(), watch)
        due.tick(database, clock(), limits)
        pulse.ticked_at = clock()

    def windows() -> None:
        window.ask(database, clock(), reach)

    def beat() -> None:
        recovery.beat(database, clock())
        recovery.recover(database, workshop, roster, clock(), watch)

    beats = recovery.BEAT.total_seconds()

    def survey() -> None:
        findings.refresh(database, clock(), _ROUNDS)

    works = ((tick, seconds), (survey, seconds), (windows, max(seconds, 5.0)), (beat, beats))
    for work, interval in works:
        scheduler.add_job(
            _guarded(work),
            "interval",
            seconds=interval,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            name=work.__name__,
        )
    scheduler.start()
    return scheduler


def rest(clockwork: BackgroundScheduler) -> None:
    """Begin nothing any more; what still runs is held until the clockwork is shut down."""
    for job in clockwork.get_jobs():
        if job.name != _BEAT:
            job.remove()


def _guarded(work: Callable[[], None]) -> Callable[[], None]:
    """Let one bad tick not be the last one."""

    def guarded() -> None:
        try:
            work()
        except NotafterError as error:
            log.error("tick failed", work=work.__name__, reason=str(error))  # noqa: TRY400 -- named, no trace
        except Exception:  # the clockwork's edge
            log.exception("tick broke off", work=work.__name__)

    return guarded
