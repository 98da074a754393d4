"""`… -m tests.integration.controlplane.contender DATABASE KEK SIGN`: one scheduler and worker of several.

Waits for the sign, then makes jobs of what is due and takes jobs, until nothing is left; what each run
would report is a failure. Prints one JSON line a job: its number, and the attempts of its certificates.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from notafter.custody.kek import KekSource
from notafter.domain.job import Subject
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import due, signing
from notafter.lifecycle.record import Desk
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.unlock import unlock
from notafter.runner import processes
from notafter.store import items, jobs, requests
from notafter.store.database import Database

LIMITS = due.Limits(certificates_per_job=2)


def main(url: str, kek: Path, sign: Path) -> None:
    """Contends until nothing is due and no job waits."""
    database = Database(url)
    desk = Desk(database, unlock(database, KekSource(kek)))
    print("ready", flush=True)
    while not sign.exists():
        time.sleep(0.01)
    idle = 0
    while idle < 3:
        made = due.tick(database, datetime.now(UTC), LIMITS)
        idle = 0 if _take(desk) or made else idle + 1
    database.close()


def _take(desk: Desk) -> bool:
    now = datetime.now(UTC)
    with desk.database.write() as session:
        claim = jobs.claim(session, processes.identity(), f"run-{now.timestamp()}", now)
    if claim is None:
        return False
    signing.prepare(desk, claim, now)
    with desk.database.read() as session:
        found = items.of_job(session, claim.job_id, Subject.CERTIFICATE)
        attempts = [requests.open_of(session, item.certificate_id or 0) for item in found]
        told = [attempt.key for attempt in attempts if attempt is not None]
    finish(desk.database, claim, RunEnd(RunState.COMPLETED), now)
    print(json.dumps([claim.job_id, told]), flush=True)
    return True


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
