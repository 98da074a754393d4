"""A certificate: the wish that these names be covered, by this CA, proved this way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from typing_extensions import override

from notafter.domain.errors import InvalidInput
from notafter.domain.names import dns_name, dns_provider, folder, is_address
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
    #: By a certificate of its own in a handshake (RFC 8737).
    TLS_ALPN_01 = "tls-alpn-01"


class HttpMode(StrEnum):
    """Who answers an http-01 challenge."""

    #: The target's own server answers with the account's thumbprint.
    STATELESS = "stateless"
    #: A file below a directory of the issuer host.
    WEBROOT = "webroot"
    #: acme.sh itself, on the issuer host: the names must lead there.
    STANDALONE = "standalone"


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
    #: Where the issuer listens, if something before it sends the CA's connections there.
    port: int | None = None
    #: The name below which the records are set instead: every name's CNAME leads to
    #: `_acme-challenge.` before it, or to the domain alias itself.
    alias: str | None = None
    domain_alias: str | None = None

    def __post_init__(self) -> None:
        """Refuse a challenge that lacks what its type needs, or has what belongs to another."""
        if self.type is ChallengeType.DNS_01:
            self._check_dns()
        elif self.type is ChallengeType.HTTP_01:
            self._check_http()
        for option, fits in _FITS.items():
            if getattr(self, option) is not None and not fits(self):
                raise InvalidInput(f"the challenge {self} has no {option.replace('_', ' ')}")

    @override
    def __str__(self) -> str:
        """Name it as people do."""
        return f"{self.type} {self.mode}" if self.mode else str(self.type)

    @property
    def at_issuer(self) -> bool:
        """Tell whether the issuer itself answers the CA, so that the names must lead to it."""
        return self.type is ChallengeType.TLS_ALPN_01 or self.mode is HttpMode.STANDALONE

    def why_not(self, names: tuple[str, ...]) -> str | None:
        """Say which of the names cannot be proved so, and by what it can; none if all can."""
        for name in names:
            if name.startswith("*.") and self.type is not ChallengeType.DNS_01:  # RFC 8555 §7.1.3
                return f"{name} is a wildcard, which only dns-01 can prove"
            if is_address(name) and self.type is ChallengeType.DNS_01:  # RFC 8738 §7
                return f"{name} is an address, which dns-01 cannot prove: http-01 and tls-alpn-01 can"
        return None

    def as_plan(self) -> dict[str, str | int]:
        """Return the shape of the contract with the playbooks."""
        pairs = {
            "type": self.type.value,
            "provider": self.provider,
            "mode": self.mode.value if self.mode else None,
            "webroot": self.webroot,
            "port": self.port,
            "alias": self.alias,
            "domain_alias": self.domain_alias,
        }
        return {key: value for key, value in pairs.items() if value is not None}

    def _check_dns(self) -> None:
        if self.provider is None:
            raise InvalidInput("a dns-01 challenge needs a DNS provider")
        dns_provider(self.provider)
        if self.alias is not None and self.domain_alias is not None:
            raise InvalidInput("a dns-01 challenge has an alias or a domain alias, not both")
        for alias in (self.alias, self.domain_alias):
            # A record's name may begin with an underscore, as no host's may.
            if alias is not None and (
                "*" in alias or "." not in alias or dns_name(_as_host(alias)) != _as_host(alias)
            ):
                raise InvalidInput(f"{alias!r} is no alias: it is a name in lower case, without a final dot")

    def _check_http(self) -> None:
        if self.mode is None:
            raise InvalidInput(f"an http-01 challenge needs a mode: one of {', '.join(HttpMode)}")
        if self.mode is HttpMode.WEBROOT:
            if self.webroot is None:
                raise InvalidInput("the http-01 mode webroot needs an absolute path")
            folder(self.webroot)


def _as_host(alias: str) -> str:
    """Return a record's name as a host's: no label of it ends with an underscore."""
    return re.sub(r"_(?!\.|$)", "x", alias)


#: Which challenges an option belongs to.
_FITS: Mapping[str, Callable[[Challenge], bool]] = {
    "provider": lambda one: one.type is ChallengeType.DNS_01,
    "mode": lambda one: one.type is ChallengeType.HTTP_01,
    "webroot": lambda one: one.mode is HttpMode.WEBROOT,
    "port": lambda one: one.at_issuer,
    "alias": lambda one: one.type is ChallengeType.DNS_01,
    "domain_alias": lambda one: one.type is ChallengeType.DNS_01,
}


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
