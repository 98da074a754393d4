"""Versions: each certificate that was issued or found, by its fingerprint."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import or_, select

from notafter.domain.version import Origin, RenewalWindow, Version
from notafter.domain.x509 import Leaf
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, VersionRow

#: A database takes no more values in one question.
_AT_ONCE = 400


def by_fingerprint(session: Session, fingerprint: str) -> VersionRow | None:
    """Return the version with this SHA-256, if it is on record."""
    return session.scalar(select(VersionRow).where(VersionRow.fingerprint == fingerprint))


def by_marks(session: Session, marks: Collection[str]) -> list[VersionRow]:
    """Return the versions with these serial numbers or fingerprints, in lower-case hex."""
    ordered = sorted(marks)
    found: list[VersionRow] = []
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        query = select(VersionRow).where(or_(VersionRow.serial.in_(some), VersionRow.fingerprint.in_(some)))
        found += session.scalars(query).all()
    return found


def fingerprints(session: Session, ids: Sequence[int] | None = None) -> dict[int, frozenset[str]]:
    """Return the fingerprints of all versions by certificate, of all certificates or of these."""
    query = select(VersionRow.certificate_id, VersionRow.fingerprint)
    if ids is None:
        queries = [query]
    else:
        ordered = sorted(set(ids))
        some = (ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE))
        queries = [query.where(VersionRow.certificate_id.in_(few)) for few in some]
    found: dict[int, set[str]] = {}
    for one in queries:
        for certificate_id, fingerprint in session.execute(one):
            found.setdefault(certificate_id, set()).add(fingerprint)
    return {certificate_id: frozenset(known) for certificate_id, known in found.items()}


def lives(session: Session, marks: Iterable[str | None]) -> dict[str, tuple[datetime, datetime]]:
    """Return from when to when versions are valid, by their fingerprints."""
    ordered = sorted({mark for mark in marks if mark is not None})
    found: dict[str, tuple[datetime, datetime]] = {}
    for start in range(0, len(ordered), _AT_ONCE):
        query = select(VersionRow.fingerprint, VersionRow.not_before, VersionRow.not_after).where(
            VersionRow.fingerprint.in_(ordered[start : start + _AT_ONCE])
        )
        found |= {fingerprint: (begins, ends) for fingerprint, begins, ends in session.execute(query)}
    return found


def of_certificate(session: Session, certificate_id: int) -> list[VersionRow]:
    """Return all versions of a certificate, the newest first."""
    query = select(VersionRow).where(VersionRow.certificate_id == certificate_id)
    return list(session.scalars(query.order_by(VersionRow.not_before.desc(), VersionRow.id.desc())))


def names_before(session: Session, certificate_id: int, account_id: int) -> list[str] | None:
    """Return the names of the last version of a certificate that this account has issued."""
    query = (
        select(VersionRow.names)
        .where(VersionRow.certificate_id == certificate_id, VersionRow.account_id == account_id)
        .order_by(VersionRow.not_before.desc(), VersionRow.id.desc())
    )
    return session.scalar(query.limit(1))


def to_ask(session: Session, now: datetime, limit: int) -> list[VersionRow]:
    """Return the versions whose CA is to be asked for its renewal window.

    Never an expired nor a replaced one (RFC 9773 §4.3.3).
    """
    query = (
        select(VersionRow)
        .join(CertificateRow, CertificateRow.current_version_id == VersionRow.id)
        .where(
            CertificateRow.adopted_at.is_not(None),
            VersionRow.replaced_by_id.is_(None),
            VersionRow.revoked_at.is_(None),
            VersionRow.authority_key_id.is_not(None),
            VersionRow.not_after > now,
            or_(VersionRow.ari_next_poll_at.is_(None), VersionRow.ari_next_poll_at <= now),
        )
        .order_by(VersionRow.ari_next_poll_at.nulls_first())
        .limit(limit)
    )
    return list(session.scalars(query))


def facts(row: VersionRow) -> Version:
    """Return what the rules look at."""
    window = None
    if row.ari_start is not None and row.ari_end is not None:
        window = RenewalWindow(row.ari_start, row.ari_end)
    return Version(
        serial=row.serial,
        fingerprint=row.fingerprint,
        not_before=row.not_before,
        not_after=row.not_after,
        has_key=row.sealed_key is not None,
        window=window,
        revoked_at=row.revoked_at,
        issued_at=row.created_at if row.origin is Origin.ISSUED else None,
    )


def add(  # noqa: PLR0913, PLR0917 -- all that a version is made of
    session: Session,
    certificate_id: int,
    leaf: Leaf,
    chain_pem: str,
    origin: Origin,
    now: datetime,
) -> VersionRow:
    """Put a certificate on record."""
    row = VersionRow(
        certificate_id=certificate_id,
        fingerprint=leaf.fingerprint,
        serial=leaf.serial,
        issuer=leaf.issuer,
        names=list(leaf.names),
        key_type=leaf.key_type,
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        authority_key_id=leaf.authority_key_id,
        pem=leaf.pem,
        chain_pem=chain_pem,
        origin=origin,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row
