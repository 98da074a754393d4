"""A certificate was signed, or was not."""

from datetime import datetime

from notafter.custody.custodian import Custodian, Place
from notafter.domain.certificate import KeyType
from notafter.domain.errors import NotFound, UnreadableCertificate
from notafter.domain.job import ItemState, Subject
from notafter.domain.outcome import FailureClass, Issued, IssueFailed
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.version import Origin
from notafter.domain.x509 import Leaf, csr_public_key, read_leaf
from notafter.failpoint import failpoint
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.record.ending import (
    certificate_item,
    end,
    fail_certificate_item,
    forget_lost_account,
    is_open,
)
from notafter.store import certificates, items, requests, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, ItemRow, JobRow, RequestRow, VersionRow

#: After these the attempt itself is spoilt: the next one begins afresh, with a new key.
_SPOILT = frozenset({FailureClass.WRONG_CERTIFICATE, FailureClass.INVALID_REQUEST})


def issued(session: Session, custodian: Custodian, job: JobRow, outcome: Issued, now: datetime) -> None:
    """Put a new version on record, with its key: before anything deploys it."""
    found = _mine(session, job, outcome.host)
    request = requests.by_key(session, outcome.attempt)
    if found is None or request is None:
        return
    item, row = found
    if request.certificate_id != row.id or request.sealed_key is None:
        return
    try:
        leaf = _checked(outcome, request)
    except UnreadableCertificate as error:
        _fail(session, job, item, FailureClass.WRONG_CERTIFICATE, str(error), now)
        return
    version = _version(session, custodian, row, request, leaf, outcome.chain_pem, now)
    _take_over(session, row, version)
    if outcome.account_url and item.account is not None and item.account.id == request.account_id:
        item.account.url = item.account.url or outcome.account_url
    for place in items.of_job(session, job.id, Subject.DEPLOYMENT):
        if place.certificate_id == row.id:
            place.wanted_fingerprint = leaf.fingerprint
    item.after_fingerprint = leaf.fingerprint
    item.seconds = outcome.seconds
    sentence = f"valid until {leaf.not_after:%Y-%m-%d %H:%M:%S} UTC"
    end(item, ItemState.SUCCEEDED, Reason(ReasonCode.ISSUED, sentence), now)


def failed(session: Session, job: JobRow, outcome: IssueFailed, now: datetime) -> None:
    """Put on record why no certificate came, and when to try again."""
    found = _mine(session, job, outcome.host)
    if found is None:
        return
    item, _ = found
    item.seconds = outcome.seconds
    forget_lost_account(item, outcome)
    _fail(session, job, item, outcome.failure, outcome.message, now, outcome.retry_after)


def _mine(session: Session, job: JobRow, host: str) -> tuple[ItemRow, CertificateRow] | None:
    """Return the open item that a certificate's host may speak for."""
    try:
        row = certificates.by_key(session, host)
    except NotFound:
        return None
    item = certificate_item(session, job, row.id)
    return (item, row) if item is not None and is_open(item) else None


def _fail(  # noqa: PLR0913, PLR0917 -- one failure, all that is known of it
    session: Session,
    job: JobRow,
    item: ItemRow,
    failure: FailureClass,
    message: str,
    now: datetime,
    retry_after: float | None = None,
) -> None:
    if failure in _SPOILT and item.certificate_id is not None:
        request = requests.open_of(session, item.certificate_id)
        if request is not None:
            requests.abandon(request, now)
    reason = Reason(failure, message)
    fail_certificate_item(session, job, item, reason, now, failure, retry_after)


def _checked(outcome: Issued, request: RequestRow) -> Leaf:
    """Return the certificate if it is the one that was asked for; a host's word is not enough."""
    leaf = read_leaf(outcome.pem)
    if leaf.public_key != csr_public_key(request.csr_pem):
        raise UnreadableCertificate("the certificate that came is for another key")
    missing = set(request.names) - set(leaf.names)
    if missing:
        raise UnreadableCertificate(f"the certificate that came lacks {', '.join(sorted(missing))}")
    return leaf


def _version(  # noqa: PLR0913, PLR0917 -- all that a version is made of
    session: Session,
    custodian: Custodian,
    row: CertificateRow,
    request: RequestRow,
    leaf: Leaf,
    chain_pem: str,
    now: datetime,
) -> VersionRow:
    version = versions.by_fingerprint(session, leaf.fingerprint)
    if version is None:
        version = versions.add(session, row.id, leaf, chain_pem, Origin.ISSUED, now)
    version.account_id = request.account_id
    version.origin = Origin.ISSUED
    version.key_type = KeyType(request.key_type).value
    if version.sealed_key is None and request.sealed_key is not None:
        key = custodian.open(request.sealed_key, Place("request", request.id, "sealed_key"))
        version.sealed_key = custodian.seal(key, Place("version", version.id, "sealed_key"))
    request.version_id = version.id
    request.sealed_key = None
    failpoint("issue.sealed")
    return version


def _take_over(session: Session, row: CertificateRow, version: VersionRow) -> None:
    """Make a version the one that is to serve, and the certificate healthy again."""
    before = row.current
    if before is not None and before.id != version.id:
        before.replaced_by_id = version.id
    row.current_version_id = version.id
    row.first_renewal_at = None
    row.wanted_at = row.wanted_by = None
    row.next_attempt_at = None
    row.failures = 0
    row.last_problem = None
    session.flush()
    session.expire(row, ["current"])
    schedule(session, row)
