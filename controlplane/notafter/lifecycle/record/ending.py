"""How items, and with them certificates and deployments, end."""

from datetime import datetime, timedelta

from notafter.domain.backoff import next_attempt
from notafter.domain.budget import limit_named
from notafter.domain.job import OPEN_ITEM_STATES, ItemState, Subject, move_item
from notafter.domain.outcome import ACCOUNT_LOST, FailureClass, IssueFailed
from notafter.domain.queue import ITS_CAS, elsewhere_at
from notafter.domain.reason import Reason, ReasonCode
from notafter.store import items, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, ItemRow, JobRow


def is_open(item: ItemRow) -> bool:
    """Tell whether an item has not ended."""
    return item.state in OPEN_ITEM_STATES


def end(item: ItemRow, state: ItemState, reason: Reason, now: datetime) -> None:
    """End an item, with its reason."""
    item.state = move_item(item.state, state)
    item.reason = reason.code
    item.message = reason.sentence
    item.finished_at = now


def certificate_item(session: Session, job: JobRow, certificate_id: int | None) -> ItemRow | None:
    """Return this job's item that renews a certificate."""
    for item in items.of_job(session, job.id, Subject.CERTIFICATE):
        if item.certificate_id == certificate_id:
            return item
    return None


def deployment_items(session: Session, job: JobRow, server_id: int) -> list[ItemRow]:
    """Return this job's items at one server."""
    found = items.of_job(session, job.id, Subject.DEPLOYMENT)
    return [item for item in found if item.server_id == server_id]


def forget_lost_account(item: ItemRow, outcome: IssueFailed) -> None:
    """An account that its CA has lost is registered again by the next try, with the same key."""
    if outcome.problem == ACCOUNT_LOST and item.account is not None:
        item.account.url = None


def certificate_failed(
    row: CertificateRow,
    reason: Reason,
    now: datetime,
    failure: FailureClass | None = None,
    retry_after: float | None = None,
) -> None:
    """Count a failure to renew and set when to try again; to be sent away by the CA is none."""
    if failure is not FailureClass.RATE_LIMITED:
        row.failures += 1
    row.last_problem = reason.sentence
    row.next_attempt_at = next_attempt(
        now,
        row.failures,
        row.key,
        versions.facts(row.current) if row.current else None,
        failure,
        timedelta(seconds=retry_after) if retry_after is not None else None,
    )


def deployment_failed(row: DeploymentRow, reason: Reason, now: datetime) -> None:
    """Count a failure to deploy; the certificate itself is fine and is not issued again."""
    row.failures += 1
    row.last_problem = reason.sentence
    current = row.certificate.current
    facts = versions.facts(current) if current else None
    row.next_attempt_at = next_attempt(now, row.failures, row.key, facts)


def deployment_settled(row: DeploymentRow, now: datetime) -> None:
    """Handshakes show what should be there: what failed before no longer counts, however it came right."""
    row.verified_at = now
    row.failures = 0
    row.next_attempt_at = None
    row.last_problem = None
    row.not_taken_fingerprint = None


def fail_certificate_item(  # noqa: PLR0913, PLR0917 -- one failure, all that is known of it
    session: Session,
    job: JobRow,
    item: ItemRow,
    reason: Reason,
    now: datetime,
    failure: FailureClass | None = None,
    retry_after: float | None = None,
) -> None:
    """End a renewal as failed; its deployments in the same job have nothing to deploy."""
    limited = failure is FailureClass.RATE_LIMITED
    end(item, ItemState.DEFERRED if limited else ItemState.FAILED, reason, now)
    item.retry_after = retry_after
    item.limited_by = limit_named(reason.sentence) if limited else None
    if item.certificate is not None:
        certificate_failed(item.certificate, reason, now, failure, retry_after)
        _try_elsewhere(session, item, item.certificate, now)
    why = Reason(ReasonCode.ISSUE_FAILED, f"not deployed, because it was not issued: {reason.sentence}")
    for place in items.of_job(session, job.id, Subject.DEPLOYMENT):
        if place.certificate_id == item.certificate_id and is_open(place):
            end(place, ItemState.SKIPPED, why, now)


def _try_elsewhere(session: Session, item: ItemRow, row: CertificateRow, now: datetime) -> None:
    """Do not wait for one CA when another one may be asked before."""
    accounts = [row.account_id, *(other.account_id for other in row.alternatives)]
    if row.current is None or row.next_attempt_at is None or item.account_id not in accounts:
        return
    session.flush()  # the failure that is being put down counts as well
    found = items.setbacks(session, row.id, ITS_CAS)
    setbacks = [found.get(account or 0, 0) for account in accounts]
    at = elsewhere_at(versions.facts(row.current), setbacks, accounts.index(item.account_id), now)
    if at is not None:
        row.next_attempt_at = min(row.next_attempt_at, at)
