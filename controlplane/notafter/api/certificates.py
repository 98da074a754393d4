"""Certificates: what they are, where they serve, what happens next."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from notafter.api.jobs import JobShort, short
from notafter.api.schema import V1, After, Id, Input, Limit, Output, Page
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action, Detail
from notafter.domain.certificate import Challenge, ChallengeType, Health, HttpMode, KeyType, health
from notafter.domain.deployment import Sync, sync, why_deploy
from notafter.domain.difference import Cause, difference
from notafter.domain.revocation import RevocationBy, RevocationReason
from notafter.domain.rollout import DEFAULT_WAVES, WavePolicy
from notafter.lifecycle import adopt, incident, request
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.ordering import Outlook
from notafter.lifecycle.request import RevocationWish
from notafter.store import certificates, deployments, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, RevocationRow, VersionRow

router = APIRouter(prefix=f"{V1}/certificates", tags=["certificates"])

_LONGEST_LIFE = 10 * 366 * 86400


class NextStep(Output):
    """What happens next, in words."""

    due: bool
    code: str
    sentence: str
    at: datetime | None


class CertificateShort(Output):
    """A certificate in a list."""

    id: int
    key: str
    names: list[str]
    key_type: str
    adopted: bool
    health: Health
    fingerprint: str | None
    not_after: datetime | None
    deployments: int
    failures: int
    last_problem: str | None
    next_step: NextStep


class Version(Output):
    """One certificate that was issued or found."""

    fingerprint: str
    serial: str
    issuer: str
    not_before: datetime
    not_after: datetime
    origin: str
    created_at: datetime
    revoked_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    window_explanation: str | None
    pem: str
    chain_pem: str


class Difference(Output):
    """Why what is served is not what should be, with what to do; or that it is."""

    cause: Cause
    sentence: str


class Deployment(Output):
    """One place where it serves."""

    key: str
    server: str
    service: str
    path: str
    config_file: str
    names: list[str]
    listeners: list[str]
    sync: Sync
    difference: Difference
    live_fingerprint: str | None
    file_fingerprint: str | None
    verified_at: datetime | None
    managed_by: str | None
    failures: int
    last_problem: str | None
    next_step: NextStep


class Certificate(CertificateShort):
    """A certificate with all that belongs to it."""

    account: str | None
    alternatives: list[str]
    credential: str | None
    challenge: dict[str, str | int] | None
    profile: str | None
    preferred_chain: str | None
    minimum_validity_seconds: int | None
    renew_before_seconds: int | None
    waves: list[int | str]
    max_fail_percentage: int
    versions: list[Version]
    places: list[Deployment]


class AdoptWish(Input):
    """How adopted certificates are to be renewed."""

    account: str
    #: Accounts at other CAs, for when the first does not issue in time.
    alternatives: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    challenge: ChallengeType
    mode: HttpMode | None = None
    webroot: str | None = None
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    alias: str | None = None
    domain_alias: str | None = None
    credential: str | None = None
    provider: str | None = None
    key_type: KeyType | None = None
    profile: str | None = None
    preferred_chain: str | None = None
    minimum_validity_seconds: Annotated[int | None, Field(ge=1, le=_LONGEST_LIFE)] = None
    issuer: str | None = None
    renew_before_seconds: Annotated[int | None, Field(ge=1)] = None
    waves: tuple[int | str, ...] = DEFAULT_WAVES
    max_fail_percentage: int = 0

    def terms(self) -> Terms:
        """Return the wish as the rooms below understand it."""
        before, validity = self.renew_before_seconds, self.minimum_validity_seconds
        return Terms(
            account=self.account,
            challenge=Challenge(
                self.challenge,
                self.provider,
                self.mode,
                self.webroot,
                self.port,
                self.alias,
                self.domain_alias,
            ),
            credential=self.credential,
            key_type=self.key_type,
            profile=self.profile,
            issuer_host=self.issuer,
            renew_before=timedelta(seconds=before) if before is not None else None,
            rollout=WavePolicy(self.waves, self.max_fail_percentage),
            alternatives=self.alternatives,
            preferred_chain=self.preferred_chain,
            minimum_validity=timedelta(seconds=validity) if validity is not None else None,
        )


class RevokedWish(Input):
    """What a CA says that it has revoked."""

    #: Serial numbers or SHA-256 fingerprints, in hex.
    marks: Annotated[list[Annotated[str, Field(pattern="^[0-9A-Fa-f:]{1,100}$")]], Field(max_length=20_000)]


class Incident(Output):
    """What that means here."""

    renewed: list[str]
    replaced: int
    unknown: int


class RevokeWish(Input):
    """Which version is to be taken back, and why."""

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    reason: RevocationReason
    by: RevocationBy = RevocationBy.ACCOUNT
    #: Why it is taken back though it still serves, and nothing else does.
    force_because: Annotated[str | None, Field(min_length=1, max_length=1000)] = None


class Revocation(Output):
    """A wish that a version be taken back, and how far it has come."""

    fingerprint: str
    reason: RevocationReason
    by: RevocationBy
    asked_by: str
    asked_at: datetime
    forced_because: str | None
    done_at: datetime | None
    next_attempt_at: datetime | None
    failures: int
    last_problem: str | None


@router.get("")
def page(desk: ServiceDep, after: After = 0, limit: Limit = 50) -> Page[CertificateShort]:
    """List the certificates."""
    now = desk.clock()
    with desk.database.read() as session:
        rows = certificates.page(session, after, limit + 1)
        shown = _shown(session, rows[:limit], now)
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.post("/revoked")
def revoked(desk: ServiceDep, who: VisitorDep, wish: RevokedWish) -> Incident:
    """Tell of certificates that their CA has revoked by itself: what serves of them is renewed first."""
    with desk.change(who, Action.INCIDENT_TOLD, "", {"marks": len(wish.marks)}) as session:
        found = incident.revoked(session, incident.parse("\n".join(wish.marks)), desk.clock())
    desk.wake()
    return Incident(renewed=list(found.renewed), replaced=found.replaced, unknown=found.unknown)


@router.get("/{certificate_id}")
def detail(desk: ServiceDep, certificate_id: Id) -> Certificate:
    """Show one certificate, its versions and where it serves."""
    with desk.database.read() as session:
        return _detail(session, certificates.get(session, certificate_id), desk.clock())


@router.post("/{certificate_id}/adopt")
def adopt_one(desk: ServiceDep, who: VisitorDep, certificate_id: Id, wish: AdoptWish) -> Certificate:
    """Adopt a certificate: from here on it renews by itself."""
    now = desk.clock()
    with desk.change(who, Action.ADOPTED, _key(certificate_id), {"account": wish.account}) as session:
        rows = adopt.adopt(session, [certificate_id], wish.terms(), now)
        return _detail(session, rows[0], now)


@router.post("/{certificate_id}/renew", status_code=HTTPStatus.ACCEPTED)
def renew(desk: ServiceDep, who: VisitorDep, certificate_id: Id) -> JobShort:
    """Ask for a renewal now; asking again while a job is at it gives the same job."""
    with desk.change(who, Action.RENEWAL_ASKED, _key(certificate_id)) as session:
        job = short(session, request.renew(session, [certificate_id], who.name, desk.clock()))
    desk.wake()
    return job


@router.post("/{certificate_id}/verify", status_code=HTTPStatus.ACCEPTED)
def verify(desk: ServiceDep, who: VisitorDep, certificate_id: Id) -> JobShort:
    """Ask what is really served where this certificate should be."""
    with desk.change(who, Action.VERIFICATION_ASKED, _key(certificate_id)) as session:
        job = short(session, request.verify(session, [certificate_id], who.name, desk.clock()))
    desk.wake()
    return job


@router.post("/{certificate_id}/revoke", status_code=HTTPStatus.ACCEPTED)
def revoke(desk: ServiceDep, who: VisitorDep, certificate_id: Id, wish: RevokeWish) -> Revocation:
    """Ask the CA to take one version back; its whole fingerprint is the confirmation."""
    asked = RevocationWish(certificate_id, wish.fingerprint, wish.reason, wish.by, wish.force_because)
    said: Detail = {
        "fingerprint": wish.fingerprint,
        "reason": wish.reason.value,
        "by": wish.by.value,
        "force_because": wish.force_because,
    }
    with desk.change(who, Action.REVOCATION_ASKED, _key(certificate_id), said) as session:
        shown = _revocation(request.revoke(session, asked, who.name, desk.clock()))
    desk.wake()
    return shown


def _key(certificate_id: int) -> str:
    return f"crt-{certificate_id}"


def _revocation(row: RevocationRow) -> Revocation:
    return Revocation(
        fingerprint=row.version.fingerprint,
        reason=row.reason,
        by=row.by,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        forced_because=row.forced_because,
        done_at=row.done_at,
        next_attempt_at=row.next_attempt_at,
        failures=row.failures,
        last_problem=row.last_problem,
    )


def _shown(session: Session, rows: list[CertificateRow], now: datetime) -> list[CertificateShort]:
    """Return certificates as a list shows them, with few queries for all."""
    ids = [row.id for row in rows]
    busy, places = certificates.busy_among(session, ids), deployments.counts(session, ids)
    outlook = Outlook(session, now)
    return [_short(outlook, row, now, places.get(row.id, 0), in_progress=row.id in busy) for row in rows]


def _short(
    outlook: Outlook, row: CertificateRow, now: datetime, places: int, *, in_progress: bool
) -> CertificateShort:
    facts = certificates.facts(outlook.session, row, in_progress=in_progress)
    decision = outlook.decision(row, facts)
    current = row.current
    return CertificateShort(
        id=row.id,
        key=row.key,
        names=row.names,
        key_type=row.key_type,
        adopted=facts.adopted,
        health=health(facts, now),
        fingerprint=current.fingerprint if current else None,
        not_after=current.not_after if current else None,
        deployments=places,
        failures=row.failures,
        last_problem=row.last_problem,
        next_step=NextStep(
            due=decision.due,
            code=decision.reason.code,
            sentence=decision.reason.sentence,
            at=decision.at,
        ),
    )


def _detail(session: Session, row: CertificateRow, now: datetime) -> Certificate:
    return Certificate(
        **_shown(session, [row], now)[0].model_dump(),
        account=row.account.name if row.account else None,
        alternatives=[other.account.name for other in row.alternatives],
        credential=row.credential.name if row.credential else None,
        challenge=row.challenge,
        profile=row.profile,
        preferred_chain=row.preferred_chain,
        minimum_validity_seconds=row.minimum_validity_seconds,
        renew_before_seconds=row.renew_before_seconds,
        waves=row.waves,
        max_fail_percentage=row.max_fail_percentage,
        versions=[_version(version) for version in versions.of_certificate(session, row.id)],
        places=[_deployment(session, place, now) for place in row.deployments],
    )


def _version(row: VersionRow) -> Version:
    return Version(
        fingerprint=row.fingerprint,
        serial=row.serial,
        issuer=row.issuer,
        not_before=row.not_before,
        not_after=row.not_after,
        origin=row.origin.value,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        window_start=row.ari_start,
        window_end=row.ari_end,
        window_explanation=row.ari_explanation,
        pem=row.pem,
        chain_pem=row.chain_pem,
    )


def _deployment(session: Session, row: DeploymentRow, now: datetime) -> Deployment:
    facts = deployments.facts(session, row)
    decision = why_deploy(facts, now)
    differs = difference(deployments.view(session, row))
    return Deployment(
        key=row.key,
        server=row.server.name,
        service=row.service,
        path=row.path,
        config_file=row.config_file,
        names=row.names,
        listeners=row.listeners,
        sync=sync(facts),
        difference=Difference(cause=differs.cause, sentence=differs.sentence),
        live_fingerprint=row.live_fingerprint,
        file_fingerprint=row.file_fingerprint,
        verified_at=row.verified_at,
        managed_by=row.managed_by,
        failures=row.failures,
        last_problem=row.last_problem,
        next_step=NextStep(
            due=decision.due,
            code=decision.reason.code,
            sentence=decision.reason.sentence,
            at=decision.at,
        ),
    )
