"""What was seen from outside."""

from datetime import datetime

from notafter.domain.difference import Sight
from notafter.domain.job import ItemState, JobKind, Subject
from notafter.domain.outcome import Endpoint, Probed
from notafter.domain.reason import Reason, ReasonCode
from notafter.lifecycle.record.ending import deployment_settled, end, is_open
from notafter.store import items, sights
from notafter.store.database import Session
from notafter.store.tables import DeploymentRow, ItemRow, JobRow


def probed(session: Session, job: JobRow, outcome: Probed, now: datetime) -> None:
    """Record what each deployment of this job showed; an endpoint's id begins with its deployment."""
    for item in items.of_job(session, job.id, Subject.DEPLOYMENT):
        row = item.deployment
        if row is None or outcome.host not in {row.server.name, row.certificate.key, "localhost"}:
            continue
        seen = [point for point in outcome.endpoints if _deployment(point) == row.key]
        if seen:
            _seen(job, row, seen, now)
            if job.kind is JobKind.VERIFY and is_open(item):
                _end(item, seen, now)


def _deployment(point: Endpoint) -> str:
    return point.id.split("/", 1)[0].split("#", 1)[0]


def _seen(job: JobRow, row: DeploymentRow, points: list[Endpoint], now: datetime) -> None:
    """Take over what handshakes from outside showed; an endpoint that was silent says nothing about files.

    Right after a deploy the host's own handshakes have the word: what differs from outside belongs to
    somebody else (another server block, a proxy in front). That stays on record beside it, and deploying
    again would not change it. A look that was asked for finds drift: where nothing shows what it should,
    that is a fact.
    """
    row.outside = sights.rows(
        Sight(listener=point.listener, name=point.name, fingerprint=point.fingerprint, error=point.error)
        for point in points
    )
    if all(point.matches for point in points):
        deployment_settled(row, now)
        row.live_fingerprint = points[0].fingerprint
        return
    shown = [point for point in points if point.fingerprint]
    wrong = [point for point in shown if not point.matches]
    if job.kind is JobKind.VERIFY and wrong and len(wrong) == len(shown):
        row.live_fingerprint = wrong[0].fingerprint


def _end(item: ItemRow, points: list[Endpoint], now: datetime) -> None:
    item.after_fingerprint = points[0].fingerprint
    silent = [point for point in points if not point.served]
    wrong = [point for point in points if point.served and not point.matches]
    if silent:
        reason = Reason(ReasonCode.NOT_SERVED, silent[0].error or "no handshake")
        end(item, ItemState.FAILED, reason, now)
    elif wrong:
        sentence = f"{len(wrong)} of {len(points)} endpoints show another certificate"
        end(item, ItemState.FAILED, Reason(ReasonCode.NOT_SERVED, sentence), now)
    else:
        sentence = f"{len(points)} endpoints show it"
        end(item, ItemState.SUCCEEDED, Reason(ReasonCode.SERVED, sentence), now)
