"""Hands a running job the secrets of its own items, and nothing else."""

from dataclasses import dataclass, field

from notafter.custody.custodian import Custodian, Place
from notafter.domain.errors import NotAuthenticated, NotFound
from notafter.domain.job import JobKind, JobState, Subject
from notafter.lifecycle import account
from notafter.store import certificates, items, tokens, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, JobRow


@dataclass(frozen=True)
class Credentials:
    """What the signing task needs."""

    private_key: str = field(repr=False)
    account_url: str | None
    variables: dict[str, str] = field(repr=False)


@dataclass(frozen=True)
class Bundle:
    """One version of a certificate, with its key."""

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
    """Return the ACME account and the DNS variables of a certificate that the job signs."""
    row = _item(session, job, key, Subject.CERTIFICATE)
    if job.kind is not JobKind.RENEW or row.account is None:
        raise NotFound(f"job {job.id} signs no {key}")
    return Credentials(
        private_key=account.account_key(custodian, row.account),
        account_url=row.account.url,
        variables=account.variables(session, custodian, row.credential_id),
    )


def bundle(session: Session, custodian: Custodian, job: JobRow, key: str, fingerprint: str | None) -> Bundle:
    """Return a version of a certificate that the job deploys."""
    row = _item(session, job, key, Subject.DEPLOYMENT)
    if job.kind not in {JobKind.RENEW, JobKind.DEPLOY}:
        raise NotFound(f"job {job.id} deploys nothing")
    version = versions.by_fingerprint(session, fingerprint) if fingerprint else row.current
    if version is None or version.certificate_id != row.id or version.sealed_key is None:
        raise NotFound(f"{key} has no such version on record")
    private = custodian.open(version.sealed_key, Place("version", version.id, "sealed_key"))
    return Bundle(version.fingerprint, version.pem, version.chain_pem, private.decode("ascii"))


def _item(session: Session, job: JobRow, key: str, subject: Subject) -> CertificateRow:
    row = certificates.by_key(session, key)
    if all(item.certificate_id != row.id for item in items.of_job(session, job.id, subject)):
        raise NotFound(f"job {job.id} has nothing to do with {key}")
    return row
