"""A version was taken back by its CA, or was not."""

from datetime import datetime, timedelta

from notafter.domain.backoff import next_attempt
from notafter.domain.errors import NotFound
from notafter.domain.job import ItemState
from notafter.domain.outcome import FailureClass, IssueFailed, Revoked
from notafter.domain.reason import Reason, ReasonCode
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.record.ending import certificate_item, end, forget_lost_account, is_open
from notafter.store import certificates, revocations
from notafter.store.database import Session
from notafter.store.tables import ItemRow, JobRow


def revoked(session: Session, job: JobRow, outcome: Revoked, now: datetime) -> None:
    """Put on record that nobody is to trust a version any more; if it is the current one, it is due."""
    item = _mine(session, job, outcome.host)
    wish = revocations.of_item(session, item) if item is not None else None
    if item is None or wish is None or outcome.fingerprint != wish.version.fingerprint:
        return
    version = wish.version
    version.revoked_at = version.revoked_at or now
    wish.done_at = now
    wish.next_attempt_at = wish.last_problem = None
    item.seconds = outcome.seconds
    sentence = f"revoked before: {wish.reason}" if outcome.already else f"revoked: {wish.reason}"
    end(item, ItemState.SUCCEEDED, Reason(ReasonCode.REVOKED, sentence), now)
    certificate = wish.certificate
    if certificate.current_version_id == version.id:
        certificate.next_attempt_at = None  # what failed before does not keep back what serves no more
    session.flush()
    schedule(session, certificate)


def failed(session: Session, job: JobRow, outcome: IssueFailed, now: datetime) -> None:
    """Put on record why a version is still trusted, and when that is tried again."""
    item = _mine(session, job, outcome.host)
    if item is not None:
        item.seconds = outcome.seconds
        forget_lost_account(item, outcome)
        reason = Reason(outcome.failure, outcome.message)
        fail(session, item, reason, now, outcome.failure, outcome.retry_after)


def fail(  # noqa: PLR0913, PLR0917 -- one failure, all that is known of it
    session: Session,
    item: ItemRow,
    reason: Reason,
    now: datetime,
    failure: FailureClass,
    retry_after: float | None = None,
) -> None:
    """End an item that was to revoke a version; the wish stays."""
    limited = failure is FailureClass.RATE_LIMITED
    end(item, ItemState.DEFERRED if limited else ItemState.FAILED, reason, now)
    item.retry_after = retry_after
    wish = revocations.of_item(session, item)
    if wish is None:
        return
    wish.failures += 0 if limited else 1
    wish.last_problem = reason.sentence
    asked = timedelta(seconds=retry_after) if retry_after is not None else None
    wish.next_attempt_at = next_attempt(now, wish.failures, f"revocation-{wish.id}", None, failure, asked)


def _mine(session: Session, job: JobRow, host: str) -> ItemRow | None:
    """Return the open item that a certificate's host may speak for."""
    try:
        row = certificates.by_key(session, host)
    except NotFound:
        return None
    item = certificate_item(session, job, row.id)
    return item if item is not None and is_open(item) else None
