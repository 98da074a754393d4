"""From here on a found certificate is ours to renew: by this CA account, proved this way.

Adopted are the certificate and the places where it serves at that moment. A server that shows the
same public certificate later is not given its key: somebody adopts the certificate again first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from notafter.domain.certificate import Challenge, ChallengeType, KeyType
from notafter.domain.errors import Conflict, InvalidInput
from notafter.domain.names import certificate_names, chain_name, inventory_name, is_address, profile_name
from notafter.domain.renewal import first_renewal_at, next_renewal
from notafter.domain.rollout import DEFAULT_POLICY, WavePolicy
from notafter.store import accounts, certificates, versions
from notafter.store.database import Session
from notafter.store.tables import AccountRow, AlternativeRow, CertificateRow, CredentialRow


@dataclass(frozen=True)
class Terms:
    """How adopted certificates are to be renewed."""

    account: str
    challenge: Challenge
    credential: str | None = None
    key_type: KeyType | None = None
    profile: str | None = None
    issuer_host: str | None = None
    renew_before: timedelta | None = None
    rollout: WavePolicy = DEFAULT_POLICY
    #: Accounts at other CAs, for when the first one's does not issue in time: the preferred one first.
    alternatives: tuple[str, ...] = ()
    preferred_chain: str | None = None
    minimum_validity: timedelta | None = None


@dataclass(frozen=True)
class Refusal:
    """Why one certificate could not be adopted."""

    certificate_id: int
    sentence: str


def adopt(session: Session, ids: Sequence[int], terms: Terms, now: datetime) -> list[CertificateRow]:
    """Adopt these certificates, all or none."""
    rows = [certificates.get(session, certificate_id) for certificate_id in dict.fromkeys(ids)]
    for row in rows:
        _adopt(session, row, terms, now)
    return rows


def adopt_all(session: Session, terms: Terms, now: datetime) -> tuple[list[CertificateRow], list[Refusal]]:
    """Adopt every found certificate that fits the terms; say why the others do not."""
    _means(session, terms)
    adopted: list[CertificateRow] = []
    refused: list[Refusal] = []
    for row in certificates.unadopted(session):
        try:
            _adopt(session, row, terms, now)
        except (InvalidInput, Conflict) as error:
            refused.append(Refusal(row.id, str(error)))
        else:
            adopted.append(row)
    return adopted, refused


def schedule(session: Session, row: CertificateRow) -> None:
    """Put on record when a certificate renews next; called whenever a fact behind it changes."""
    row.renew_at = next_renewal(certificates.facts(session, row))


def _adopt(session: Session, row: CertificateRow, terms: Terms, now: datetime) -> None:
    names = _provable(row, terms)
    key_type = _key_type(row, terms)
    account, credential = _means(session, terms)
    row.names = list(names)
    row.key_type = key_type.value
    row.account_id = account.id
    row.credential_id = credential.id if credential else None
    row.challenge = terms.challenge.as_plan()
    row.profile = profile_name(terms.profile) if terms.profile else None
    row.issuer_host = inventory_name(terms.issuer_host) if terms.issuer_host else None
    row.waves = list(terms.rollout.waves)
    row.max_fail_percentage = terms.rollout.max_fail_percentage
    row.renew_before_seconds = int(terms.renew_before.total_seconds()) if terms.renew_before else None
    row.preferred_chain = chain_name(terms.preferred_chain) if terms.preferred_chain else None
    row.minimum_validity_seconds = (
        int(terms.minimum_validity.total_seconds()) if terms.minimum_validity else None
    )
    _choose_alternatives(session, row, account, terms)
    row.next_attempt_at = None  # what failed on other terms is tried on these at once
    if row.adopted_at is None:
        row.adopted_at = now
        _spread(row, terms, now)
    for place in row.deployments:  # the ones that are known now: whoever comes later is looked at first
        if place.files:
            place.adopted_at = place.adopted_at or now
    session.flush()
    schedule(session, row)


def _spread(row: CertificateRow, terms: Terms, now: datetime) -> None:
    if row.current is not None:
        facts = versions.facts(row.current)
        row.first_renewal_at = first_renewal_at(facts, terms.renew_before, row.key, now)


def _provable(row: CertificateRow, terms: Terms) -> tuple[str, ...]:
    names = certificate_names([str(name) for name in row.names])
    short = next((name for name in names if "." not in name and not is_address(name)), None)
    if short is not None:
        raise InvalidInput(f"{row.key}: {short} has no domain: no CA can be asked for it")
    why_not = terms.challenge.why_not(names)
    if why_not is not None:
        raise InvalidInput(f"{row.key}: {why_not}")
    if terms.challenge.at_issuer and terms.issuer_host is None:
        raise InvalidInput(
            f"with {terms.challenge} the issuer itself answers the CA: name the issuer host that"
            f" {names[0]} leads to",
        )
    present = [place for place in row.deployments if place.absent_since is None]
    if not present:
        raise Conflict(f"{row.key} serves nowhere")
    if not any(place.files for place in present):
        owner = present[0].managed_by or present[0].service
        raise Conflict(f"{row.key} lies in no file but in a store of {owner}'s own, which renews it itself")
    return names


def _choose_alternatives(session: Session, row: CertificateRow, account: AccountRow, terms: Terms) -> None:
    """Put the other accounts on record; each is at a CA of its own, else it would fail with the first."""
    chosen = {account.directory: account.name}
    others = []
    for name in terms.alternatives:
        other = accounts.by_name(session, name)
        if other.directory in chosen:
            raise InvalidInput(
                f"{name!r} is at the same CA as {chosen[other.directory]!r}: it is no alternative"
            )
        chosen[other.directory] = name
        others.append(other)
    row.alternatives.clear()
    session.flush()
    row.alternatives.extend(
        AlternativeRow(position=position, account_id=other.id) for position, other in enumerate(others, 1)
    )


def _key_type(row: CertificateRow, terms: Terms) -> KeyType:
    if terms.key_type is not None:
        return terms.key_type
    try:
        return KeyType(row.key_type)
    except ValueError as error:
        known = ", ".join(KeyType)
        raise InvalidInput(f"{row.key} has a key of type {row.key_type}: choose one of {known}") from error


def _means(session: Session, terms: Terms) -> tuple[AccountRow, CredentialRow | None]:
    account = accounts.by_name(session, terms.account)
    if terms.challenge.type is not ChallengeType.DNS_01:
        return account, None
    if terms.credential is None:
        raise InvalidInput("a dns-01 challenge needs a DNS credential")
    credential = accounts.credential_by_name(session, terms.credential)
    if credential.provider != terms.challenge.provider:
        raise InvalidInput(
            f"the DNS credential {credential.name!r} is one of {credential.provider},"
            f" not of {terms.challenge.provider}",
        )
    return account, credential
