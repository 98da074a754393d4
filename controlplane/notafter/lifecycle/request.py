"""A person's or a client's wish becomes the same jobs that the scheduler makes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from notafter.domain.errors import Conflict, NotFound
from notafter.domain.job import JobKind
from notafter.domain.names import inventory_name
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.revocation import (
    RevocationBy,
    RevocationFacts,
    RevocationReason,
    why_never,
    why_not_yet,
)
from notafter.lifecycle import ordering
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.due import renew_items
from notafter.store import certificates, deployments, items, jobs, revocations, servers, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, JobRow, RevocationRow, VersionRow


def scan(session: Session, names: Sequence[str], by: str, now: datetime) -> JobRow:
    """Ask for a look at these servers, or without names at the whole fleet of the inventory.

    Asking again while the scan waits or runs is the same wish.
    """
    if not names:
        return jobs.fleet_scan_open(session) or _fleet_scan(session, by, now)
    rows = servers.enrol(session, [inventory_name(name) for name in names], now)
    idle = [row for row in rows if items.open_server(session, row.id) is None]
    if not idle:
        busy = items.open_server(session, rows[0].id)
        if busy is not None:
            return busy.job
    job = jobs.add(session, JobKind.SCAN, ReasonCode.REQUESTED, by, now)
    for row in idle:
        items.add_server(session, job, row, f"asked for by {by}")
    return job


def renew(session: Session, ids: Sequence[int], by: str, now: datetime) -> JobRow:
    """Ask for these certificates to be renewed now; one that a job is at is not taken twice.

    The wish stays on record until there is a new version, whatever becomes of this job.
    """
    rows = [_adopted(session, certificate_id) for certificate_id in dict.fromkeys(ids)]
    if not rows:
        raise Conflict("no certificate was named")
    idle = [row for row in rows if not certificates.busy(session, row)]
    if not idle:
        busy = items.open_certificate(session, rows[0].id)
        if busy is not None and busy.job.kind is JobKind.RENEW:
            return busy.job
        raise Conflict(f"a version of {rows[0].key} is being revoked: ask again when that job has ended")
    job = jobs.add(session, JobKind.RENEW, ReasonCode.REQUESTED, by, now)
    for row in idle:
        renew_one(session, job, row, f"asked for by {by}", by, now)
    return job


def renew_one(  # noqa: PLR0913, PLR0917 -- one renewal, and who wants it why
    session: Session, job: JobRow, row: CertificateRow, why: str, by: str, now: datetime
) -> None:
    """Make a renewal that a person wants part of a job."""
    row.wanted_at, row.wanted_by = now, by
    schedule(session, row)
    account, reason = ordering.account_for(session, row, Reason(ReasonCode.REQUESTED, why), now)
    renew_items(session, job, row, reason, account)


def verify(session: Session, ids: Sequence[int], by: str, now: datetime) -> JobRow:
    """Ask what is really served where these certificates should be."""
    rows = [_adopted(session, certificate_id) for certificate_id in dict.fromkeys(ids)]
    places = [
        place
        for row in rows
        for place in row.deployments
        if row.current
        and place.adopted_at
        and place.absent_since is None
        and not deployments.busy(session, place)
    ]
    if not places:
        raise Conflict("there is no place to look at, or a job is at each of them")
    job = jobs.add(session, JobKind.VERIFY, ReasonCode.REQUESTED, by, now)
    for place in places:
        items.add_deployment(session, job, place, f"asked for by {by}")
    return job


@dataclass(frozen=True)
class RevocationWish:
    """Which version is to be taken back, and why; the fingerprint is the confirmation."""

    certificate_id: int
    fingerprint: str
    reason: RevocationReason
    by: RevocationBy = RevocationBy.ACCOUNT
    force_because: str | None = None


def revoke(session: Session, wish: RevocationWish, who: str, now: datetime) -> RevocationRow:
    """Ask the CA to take a version back; a job does it as soon as no other is at the certificate.

    Refused while it is what serves, unless a person says why it must be. Asking again is the same wish: what
    has failed is tried at once, by the account or by the key as it is said now.
    """
    row = certificates.get(session, wish.certificate_id)
    version = versions.by_fingerprint(session, wish.fingerprint)
    if version is None or version.certificate_id != row.id:
        raise NotFound(f"{row.key} has no version {wish.fingerprint}: look at `notafter versions {row.id}`")
    asked = revocations.of_version(session, version.id)
    if asked is not None:
        if asked.done_at is not None or _is_under_way(session, asked, wish):
            return asked
        wish = replace(wish, force_because=wish.force_because or asked.forced_because)
    account_id = version.account_id or row.account_id
    _check_revocation(session, row, version, wish, account_id, now)
    if asked is None:
        asked = revocations.add(
            session,
            RevocationRow(
                version_id=version.id,
                certificate_id=row.id,
                account_id=account_id,
                reason=wish.reason,
                by=wish.by,
                forced_because=wish.force_because,
                asked_by=who,
                asked_at=now,
            ),
        )
    asked.account_id, asked.reason, asked.by = account_id or asked.account_id, wish.reason, wish.by
    asked.forced_because, asked.next_attempt_at = wish.force_because, None
    session.flush()
    if not certificates.busy(session, row):
        job = jobs.add(session, JobKind.REVOKE, ReasonCode.REQUESTED, who, now)
        items.add_revocation(session, job, asked)
    return asked


def _is_under_way(session: Session, asked: RevocationRow, wish: RevocationWish) -> bool:
    """Tell whether a job is at this very wish; what it was told cannot be changed meanwhile."""
    item = items.open_certificate(session, asked.certificate_id)
    at_it = item is not None and revocations.of_item(session, item) is asked
    if at_it and (asked.reason, asked.by) != (wish.reason, wish.by):
        told = f"{asked.reason}, by {asked.by}"
        raise Conflict(f"a job is revoking {wish.fingerprint[:16]} ({told}): ask again when it has ended")
    return at_it


def _check_revocation(  # noqa: PLR0913, PLR0917 -- all that the rule looks at
    session: Session,
    row: CertificateRow,
    version: VersionRow,
    wish: RevocationWish,
    account_id: int | None,
    now: datetime,
) -> None:
    facts = RevocationFacts(
        key=row.key,
        fingerprint=version.fingerprint,
        by=wish.by,
        serves_at=tuple(deployments.serving(session, version.fingerprint)),
        wanted=row.current_version_id == version.id
        and any(place.adopted_at and place.absent_since is None for place in row.deployments),
        revoked=version.revoked_at is not None,
        expired=version.not_after <= now,
        has_key=version.sealed_key is not None,
        account=str(account_id) if account_id is not None else None,
    )
    never = why_never(facts)
    if never is not None:
        raise Conflict(never)
    not_yet = why_not_yet(facts)
    if not_yet is not None and not wish.force_because:
        raise Conflict(not_yet)


def _fleet_scan(session: Session, by: str, now: datetime) -> JobRow:
    job = jobs.add(session, JobKind.SCAN, ReasonCode.REQUESTED, by, now)
    job.whole_fleet = True
    return job


def _adopted(session: Session, certificate_id: int) -> CertificateRow:
    row = certificates.get(session, certificate_id)
    if row.adopted_at is None:
        raise Conflict(f"nobody has adopted {row.key}: `notafter adopt {row.id}` comes first")
    return row
