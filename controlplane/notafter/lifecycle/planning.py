"""A job's rows → the plan that a run is given."""

from collections.abc import Sequence
from datetime import datetime

from notafter.domain.job import JobKind, Subject
from notafter.runner.plan import (
    Plain,
    Plan,
    PlannedAuthority,
    PlannedCertificate,
    PlannedDeployment,
    PlannedRevocation,
    PlannedSigning,
)
from notafter.store import certificates, deployments, items, jobs, requests, revocations, versions
from notafter.store.database import Session
from notafter.store.tables import AccountRow, CertificateRow, DeploymentRow, ItemRow, JobRow


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
        own = [item for item in rows if item.subject is Subject.CERTIFICATE and item.certificate_id == row.id]
        found.append(_certificate(session, job, row, places, now, own[0] if own else None))
    return found


def _certificate(  # noqa: PLR0913, PLR0917 -- all that a certificate of a run is made of
    session: Session,
    job: JobRow,
    row: CertificateRow,
    places: list[DeploymentRow],
    now: datetime,
    item: ItemRow | None,
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
        signing=_signing(session, row, item) if renews and item is not None else None,
        fingerprint=current.fingerprint if current is not None and places and not renews else None,
        revocation=_revocation(session, row, item)
        if job.kind is JobKind.REVOKE and item is not None
        else None,
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


def _signing(session: Session, row: CertificateRow, item: ItemRow) -> PlannedSigning | None:
    request = requests.open_of(session, row.id)
    if request is None or item.account is None:
        return None
    first = item.account_id == row.account_id  # what only one CA offers is not asked of another one
    return PlannedSigning(
        authority=_authority(item.account),
        challenge=_challenge(row),
        thumbprint=item.account.thumbprint,
        profile=row.profile if first else None,
        preferred_chain=row.preferred_chain if first else None,
        minimum_validity=row.minimum_validity_seconds,
        csr_pem=request.csr_pem,
        attempt=request.key,
        replaces_pem=replaces(row, item.account.id),
        issuer=row.issuer_host,
        check_caa=not first,
    )


def _revocation(session: Session, row: CertificateRow, item: ItemRow) -> PlannedRevocation | None:
    wish = revocations.of_item(session, item)
    if wish is None:
        return None
    return PlannedRevocation(
        authority=_authority(wish.account),
        pem=wish.version.pem,
        reason=wish.reason.value,
        by=wish.by.value,
        issuer=row.issuer_host,
    )


def _authority(row: AccountRow) -> PlannedAuthority:
    return PlannedAuthority(
        account=row.name,
        directory=row.directory,
        bundle_pem=row.bundle_pem,
        root_pem=row.root_pem,
        email=row.email,
        eab_key_id=row.eab_key_id,
    )


def _challenge(row: CertificateRow) -> dict[str, Plain]:
    """Return how the names are proved, with how long the DNS provider's records take to be seen."""
    challenge: dict[str, Plain] = dict(row.challenge or {})
    if row.credential is not None and row.credential.propagation_seconds is not None:
        challenge["dns_sleep"] = row.credential.propagation_seconds
    return challenge


def replaces(row: CertificateRow, account_id: int) -> str | None:
    """Return the certificate that the new one replaces (RFC 9773 §5).

    Only one that the same account has issued, and only if it was not replaced before.
    """
    current = row.current
    if current is None or current.account_id != account_id or current.replaced_by_id is not None:
        return None
    return current.pem if versions.facts(current).has_key else None
