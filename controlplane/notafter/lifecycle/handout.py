"""Hands a running job the secrets of its own items, and nothing else."""

from dataclasses import dataclass, field

from notafter.custody.custodian import Custodian, Place
from notafter.domain.errors import NotAuthenticated, NotFound
from notafter.domain.job import JobKind, JobState, Subject
from notafter.domain.revocation import RevocationBy
from notafter.failpoint import failpoint
from notafter.lifecycle import account
from notafter.store import certificates, items, revocations, tokens, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, ItemRow, JobRow


@dataclass(frozen=True)
class Credentials:
    """What the signing task needs."""

    key: str
    private_key: str = field(repr=False)
    account_url: str | None
    variables: dict[str, str] = field(repr=False)
    eab_hmac_key: str | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Bundle:
    """One version of a certificate, with its key."""

    key: str
    fingerprint: str
    certificate: str
    chain: str
    private_key: str = field(repr=False)


def opened_by(session: Session, job_id: int, token: str) -> JobRow:
    """Return the job that a token opens: while it runs, and no other job."""
    row = session.get(JobRow, job_id)
    right = tokens.same(token, row.token_hash if row else None)
    if row is None or not right or row.state is not JobState.RUNNING:
        raise NotAuthenticated("this token opens no running job")
    return row


def credentials(session: Session, custodian: Custodian, job: JobRow, key: str) -> Credentials:
    """Return the ACME account of a certificate that the job signs or revokes, and what proves its names."""
    row, item = _item(session, job, key, Subject.CERTIFICATE)
    if job.kind not in {JobKind.RENEW, JobKind.REVOKE} or item.account is None:
        raise NotFound(f"job {job.id} signs no {key}")
    failpoint("handout.credentials")
    return Credentials(
        key=row.key,
        private_key=account.account_key(custodian, item.account),
        account_url=item.account.url,
        variables=account.variables(
            session, custodian, row.credential_id if job.kind is JobKind.RENEW else None
        ),
        eab_hmac_key=account.eab_hmac_key(custodian, item.account),
    )


def bundle(session: Session, custodian: Custodian, job: JobRow, key: str, fingerprint: str | None) -> Bundle:
    """Return a version of a certificate that the job deploys, or that it revokes by its own key."""
    if job.kind is JobKind.REVOKE:
        row, item = _item(session, job, key, Subject.CERTIFICATE)
        wish = revocations.of_item(session, item)
        if wish is None or wish.by is not RevocationBy.KEY:
            raise NotFound(f"job {job.id} revokes no {key} by its key")
        fingerprint = wish.version.fingerprint  # that one and no other
    else:
        row, _ = _item(session, job, key, Subject.DEPLOYMENT)
    if job.kind not in {JobKind.RENEW, JobKind.DEPLOY, JobKind.REVOKE}:
        raise NotFound(f"job {job.id} deploys nothing")
    version = versions.by_fingerprint(session, fingerprint) if fingerprint else row.current
    if version is None or version.certificate_id != row.id or version.sealed_key is None:
        raise NotFound(f"{key} has no such version on record")
    failpoint("handout.bundle")
    private = custodian.open(version.sealed_key, Place("version", version.id, "sealed_key"))
    return Bundle(row.key, version.fingerprint, version.pem, version.chain_pem, private.decode("ascii"))


def _item(session: Session, job: JobRow, key: str, subject: Subject) -> tuple[CertificateRow, ItemRow]:
    row = certificates.by_key(session, key)
    for item in items.of_job(session, job.id, subject):
        if item.certificate_id == row.id:
            return row, item
    raise NotFound(f"job {job.id} has nothing to do with {key}")
