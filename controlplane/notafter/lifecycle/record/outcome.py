"""One outcome → facts: finds the right recorder for what a module reported."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from notafter.custody.custodian import Custodian
from notafter.domain.job import JobKind
from notafter.domain.outcome import (
    Deployed,
    HostFailed,
    Issued,
    IssueFailed,
    Outcome,
    Probed,
    Revoked,
    Scanned,
)
from notafter.failpoint import failpoint
from notafter.lifecycle.record import deploy, host, issue, probe, revoke, scan
from notafter.store import jobs
from notafter.store.database import Database
from notafter.store.jobs import Claim


@dataclass(frozen=True)
class Desk:
    """What a recorder needs: where facts go, and who seals keys."""

    database: Database
    custodian: Custodian


def record(desk: Desk, claim: Claim, outcome: Outcome, now: datetime) -> None:
    """Put one outcome on record, if the claim still holds the job."""
    failpoint("record.before")
    with desk.database.write() as session:
        job = jobs.holding(session, claim)
        match outcome:
            case Issued():
                issue.issued(session, desk.custodian, job, outcome, now)
            case IssueFailed() if job.kind is JobKind.REVOKE:
                revoke.failed(session, job, outcome, now)
            case IssueFailed():
                issue.failed(session, job, outcome, now)
            case Revoked():
                revoke.revoked(session, job, outcome, now)
            case Deployed():
                deploy.deployed(session, job, outcome, now)
            case Scanned():
                scan.scanned(session, job, outcome, now)
            case Probed():
                probe.probed(session, job, outcome, now)
            case HostFailed():
                host.failed(session, job, outcome, now)
            case _:
                assert_never(outcome)
        session.flush()
        failpoint("record.uncommitted")
    failpoint("record.committed")
