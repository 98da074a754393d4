"""A certificate: the wish that these names be covered, by this CA, proved this way."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from notafter.domain.errors import InvalidInput
from notafter.domain.names import dns_provider
from notafter.domain.version import Version


class KeyType(StrEnum):
    """Which keys can be made."""

    EC_256 = "ec-256"
    EC_384 = "ec-384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


class ChallengeType(StrEnum):
    """How control of a name is proved (RFC 8555 §8)."""

    DNS_01 = "dns-01"
    HTTP_01 = "http-01"


class HttpMode(StrEnum):
    """Who answers an http-01 challenge."""

    #: The target's own server answers with the account's thumbprint.
    STATELESS = "stateless"
    #: A file below a directory of the issuer host.
    WEBROOT = "webroot"


class Health(StrEnum):
    """What the facts of a certificate amount to; derived, never stored."""

    NONE = "none"
    VALID = "valid"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    RENEWING = "renewing"
    FAILED = "failed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Challenge:
    """How the names of one certificate are proved."""

    type: ChallengeType
    provider: str | None = None
    mode: HttpMode | None = None
    webroot: str | None = None

    def __post_init__(self) -> None:
        """Refuse a challenge that lacks what its type needs."""
        if self.type is ChallengeType.DNS_01:
            if self.provider is None:
                raise InvalidInput("a dns-01 challenge needs a DNS provider")
            dns_provider(self.provider)
        elif self.mode is None:
            raise InvalidInput("an http-01 challenge needs a mode: stateless or webroot")
        elif self.mode is HttpMode.WEBROOT and not (self.webroot or "").startswith("/"):
            raise InvalidInput("the http-01 mode webroot needs an absolute path")

    def can_prove(self, names: tuple[str, ...]) -> bool:
        """Tell whether all names can be proved so: a wildcard needs dns-01 (RFC 8555 §7.1.3)."""
        wildcard = any(name.startswith("*.") for name in names)
        return self.type is ChallengeType.DNS_01 or not wildcard

    def as_plan(self) -> dict[str, str]:
        """Return the shape of the contract with the playbooks."""
        pairs = {
            "type": self.type.value,
            "provider": self.provider,
            "mode": self.mode.value if self.mode else None,
            "webroot": self.webroot,
        }
        return {key: value for key, value in pairs.items() if value is not None}


@dataclass(frozen=True)
class RenewalFacts:
    """What the renewal policy knows about one certificate."""

    id: int
    adopted: bool
    auto_renew: bool
    in_progress: bool
    version: Version | None
    renew_before: timedelta | None = None
    first_renewal_at: datetime | None = None
    wanted_at: datetime | None = None
    wanted_by: str | None = None
    next_attempt_at: datetime | None = None
    failures: int = 0
    last_problem: str | None = None


def health(facts: RenewalFacts, now: datetime) -> Health:  # noqa: PLR0911 -- a ladder: the first rung that holds
    """Sum a certificate up in one word."""
    version = facts.version
    if facts.in_progress:
        return Health.RENEWING
    if version is None:
        return Health.FAILED if facts.failures else Health.NONE
    if version.revoked_at is not None:
        return Health.REVOKED
    if version.not_after <= now:
        return Health.EXPIRED
    if facts.failures:
        return Health.FAILED
    if version.not_after - now <= version.life / 5:
        return Health.EXPIRING
    return Health.VALID
