"""What a module reported, as types: the documented return values of the collection's modules."""

from dataclasses import dataclass, field
from enum import StrEnum

from notafter.domain.deployment import DeployState, FileKind
from notafter.domain.difference import Sight


class FailureClass(StrEnum):
    """Why the CA's certificate did not come; the collection's contract names these."""

    RATE_LIMITED = "rate_limited"
    CHALLENGE_FAILED = "challenge_failed"
    CA_UNAVAILABLE = "ca_unavailable"
    ACCOUNT = "account"
    CAA = "caa"
    REJECTED_IDENTIFIER = "rejected_identifier"
    DNS_PROVIDER = "dns_provider"
    WRONG_CERTIFICATE = "wrong_certificate"
    INVALID_REQUEST = "invalid_request"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Issued:
    """A certificate was signed, or the signed one of this attempt was found."""

    host: str
    attempt: str
    pem: str
    chain_pem: str
    account_url: str | None = None
    seconds: float | None = None


#: The CA no longer knows the account by what it called it (RFC 8555 §6.7).
ACCOUNT_LOST = "urn:ietf:params:acme:error:accountDoesNotExist"


@dataclass(frozen=True)
class IssueFailed:
    """No certificate came, or none was taken back."""

    host: str
    failure: FailureClass
    message: str
    retry_after: float | None = None
    seconds: float | None = None
    #: The CA's own name for what is wrong.
    problem: str | None = None


@dataclass(frozen=True)
class Revoked:
    """The CA has taken a certificate back, now or before."""

    host: str
    fingerprint: str
    already: bool
    seconds: float | None = None


@dataclass(frozen=True)
class DeployResult:
    """How one deployment ended."""

    id: str
    state: DeployState
    reason: str
    message: str
    live_fingerprint: str | None
    seconds: float | None = None
    sights: tuple[Sight, ...] = ()


@dataclass(frozen=True)
class Deployed:
    """What one host's transaction did."""

    host: str
    results: tuple[DeployResult, ...]
    recovered: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """One file of a binding; of a keystore, the alias of the entry that the binding shows."""

    path: str
    kind: FileKind
    sha256: str | None
    alias: str | None = None


@dataclass(frozen=True)
class Binding:
    """One place where a server's configuration names a certificate."""

    service: str
    config_file: str
    line: int | None
    names: tuple[str, ...]
    listeners: tuple[str, ...]
    files: tuple[FoundFile, ...]
    fingerprint: str | None
    managed_by: str | None = None
    problems: tuple[tuple[str, str], ...] = ()
    sights: tuple[Sight, ...] = ()


@dataclass(frozen=True)
class Unresolved:
    """What a scan could not read or resolve."""

    file: str | None
    line: int | None
    message: str


@dataclass(frozen=True)
class FoundCertificate:
    """The bytes of a certificate that a scan saw."""

    pem: str
    chain_pem: str


#: No scan has more pages than these, whoever claims it.
MOST_PAGES = 200


@dataclass(frozen=True)
class Page:
    """Which part of a large scan a result is; `scan` is the name by which the parts know each other."""

    scan: str
    number: int
    of: int


@dataclass(frozen=True)
class Scanned:
    """What one host's scan found, or a page of it; a partial one says nothing about what is not in it."""

    host: str
    server: dict[str, object]
    bindings: tuple[Binding, ...]
    certificates: dict[str, FoundCertificate]
    warnings: tuple[Unresolved, ...] = ()
    partial: bool = False
    page: Page | None = None


@dataclass(frozen=True)
class Endpoint:
    """What one address served for one name."""

    id: str
    fingerprint: str | None
    served: bool
    matches: bool
    error: str | None = None
    listener: str = ""
    name: str | None = None


@dataclass(frozen=True)
class Probed:
    """What was seen from outside."""

    host: str
    endpoints: tuple[Endpoint, ...] = field(default=())


@dataclass(frozen=True)
class HostFailed:
    """A host fell out of the run at a task that is not one of ours, or could not be reached."""

    host: str
    code: str
    message: str


Outcome = Issued | IssueFailed | Revoked | Deployed | Scanned | Probed | HostFailed
