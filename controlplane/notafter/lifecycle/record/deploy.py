"""What a host's deploy transaction did."""

from datetime import datetime

from notafter.domain.deployment import GOOD_STATES, NOT_TAKEN_STATES, DeployState
from notafter.domain.job import ItemState
from notafter.domain.outcome import Deployed, DeployResult
from notafter.domain.reason import Reason
from notafter.lifecycle.record.ending import deployment_failed, deployment_items, end, is_open
from notafter.store import lines, servers, sights
from notafter.store.database import Session
from notafter.store.tables import DeploymentRow, ItemRow, JobRow


def deployed(session: Session, job: JobRow, outcome: Deployed, now: datetime) -> None:
    """Record each deployment of a host; a host speaks for its own deployments alone."""
    server = servers.by_name(session, outcome.host)
    server.last_seen_at = now
    mine = deployment_items(session, job, server.id)
    by_key = {item.deployment.key: item for item in mine if item.deployment is not None}
    for result in outcome.results:
        item = by_key.get(result.id)
        if item is not None and item.deployment is not None and is_open(item):
            _result(item, item.deployment, result, now)
    lines.add(session, job.id, (f"{outcome.host}: put right: {text}" for text in outcome.recovered), now)


def _result(item: ItemRow, row: DeploymentRow, result: DeployResult, now: datetime) -> None:
    item.seconds = result.seconds
    item.after_fingerprint = result.live_fingerprint
    good = result.state in GOOD_STATES
    sentence = result.message or str(result.state)
    reason = Reason(result.state if good else result.reason or result.state, sentence)
    row.live_fingerprint = result.live_fingerprint or row.live_fingerprint
    if good:
        row.file_fingerprint = item.wanted_fingerprint or result.live_fingerprint
        _arrived(row, result, now)
        end(item, ItemState.SUCCEEDED, reason, now)
        return
    if result.state is DeployState.HELD_BACK:  # nothing was tried here: no failure of this place
        end(item, ItemState.SKIPPED, reason, now)
        return
    if result.state in NOT_TAKEN_STATES:
        row.not_taken_fingerprint = item.wanted_fingerprint
    if result.state is DeployState.CONFLICT:
        row.server.scan_wanted_at = now
    deployment_failed(row, reason, now)
    end(item, ItemState.FAILED, reason, now)


def _arrived(row: DeploymentRow, result: DeployResult, now: datetime) -> None:
    """The new files are there; what the last scan saw of them no longer holds."""
    row.files = [{**file, "sha256": None} for file in row.files]
    row.failures = 0
    row.next_attempt_at = None
    row.last_problem = None
    row.not_taken_fingerprint = None
    row.deployed_at = now
    row.served, row.outside = sights.rows(result.sights), []
    if result.state is DeployState.STAGED:
        row.live_fingerprint = None
    else:
        row.verified_at = now
