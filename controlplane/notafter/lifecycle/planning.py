"""A job's rows → the plan that a run is given."""

from collections.abc import Sequence
from datetime import datetime

from notafter.domain.job import JobKind, Subject
from notafter.runner.plan import Plain, Plan, PlannedCertificate, PlannedDeployment, PlannedSigning
from notafter.store import certificates, deployments, items, jobs, requests, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, ItemRow, JobRow


def plan(session: Session, job_id: int, now: datetime) -> Plan:
    """Return what a job's run is told."""
    job = jobs.get(session, job_id)
    rows = items.of_job(session, job.id)
    if job.kind is not JobKind.RENEW:
        _note_wishes(rows)
    servers = tuple(dict.fromkeys(item.server.name for item in rows if item.server is not None))
    return Plan(
        kind=job.kind,
        job_id=job.id,
        certificates=tuple(_certificates(session, job, rows, now)),
        servers=servers,
    )


def _note_wishes(rows: Sequence[ItemRow]) -> None:
    """Keep what each place is to show: a newer version may come while the run goes on."""
    for item in rows:
        if item.subject is Subject.DEPLOYMENT and item.certificate and item.certificate.current:
            item.wanted_fingerprint = item.certificate.current.fingerprint


def _certificates(
    session: Session, job: JobRow, rows: Sequence[ItemRow], now: datetime
) -> list[PlannedCertificate]:
    ids = dict.fromkeys(item.certificate_id for item in rows if item.certificate_id is not None)
    found = []
    for certificate_id in ids:
        row = certificates.get(session, certificate_id)
        places = [
            item.deployment
            for item in rows
            if item.subject is Subject.DEPLOYMENT
            and item.certificate_id == certificate_id
            and item.deployment is not None
        ]
        found.append(_certificate(session, job, row, places, now))
    return found


def _certificate(
    session: Session,
    job: JobRow,
    row: CertificateRow,
    places: list[DeploymentRow],
    now: datetime,
) -> PlannedCertificate:
    renews = job.kind is JobKind.RENEW
    urgent = deployments.urgent_at(session, places)
    current = row.current
    return PlannedCertificate(
        name=row.key,
        names=tuple(row.names),
        key_type=row.key_type,
        deployments=tuple(_deployment(place, urgent[place.id], now) for place in places),
        rollout=deployments.waves(row),
        signing=_signing(session, row) if renews else None,
        fingerprint=current.fingerprint if current is not None and not renews else None,
    )


def _deployment(row: DeploymentRow, urgent_at: datetime | None, now: datetime) -> PlannedDeployment:
    return PlannedDeployment(
        id=row.key,
        server=row.server.name,
        service=row.service,
        names=tuple(row.names),
        listeners=tuple(row.listeners),
        files=tuple(row.files),
        urgent=urgent_at is None or urgent_at <= now,
    )


def _signing(session: Session, row: CertificateRow) -> PlannedSigning | None:
    request = requests.open_of(session, row.id)
    if request is None or row.account is None:
        return None
    return PlannedSigning(
        account=row.account.name,
        directory=row.account.directory,
        bundle_pem=row.account.bundle_pem,
        email=row.account.email,
        challenge=_challenge(row),
        thumbprint=row.account.thumbprint,
        profile=row.profile,
        csr_pem=request.csr_pem,
        attempt=request.key,
        replaces_pem=replaces(row),
        issuer=row.issuer_host,
    )


def _challenge(row: CertificateRow) -> dict[str, Plain]:
    """Return how the names are proved, with how long the DNS provider's records take to be seen."""
    challenge: dict[str, Plain] = dict(row.challenge or {})
    if row.credential is not None and row.credential.propagation_seconds is not None:
        challenge["dns_sleep"] = row.credential.propagation_seconds
    return challenge


def replaces(row: CertificateRow) -> str | None:
    """Return the certificate that the new one replaces (RFC 9773 §5).

    Only one that the same account has issued, and only if it was not replaced before.
    """
    current = row.current
    if current is None or current.account_id != row.account_id or current.replaced_by_id is not None:
        return None
    return current.pem if versions.facts(current).has_key else None
