"""Makes the things that tests talk about: versions, facts, what a scan returns."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from notafter.domain.certificate import RenewalFacts
from notafter.domain.version import RenewalWindow, Version

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def version(
    life: timedelta = 90 * DAY,
    age: timedelta = timedelta(0),
    *,
    now: datetime = NOW,
    serial: str = "1f",
    window: RenewalWindow | None = None,
    has_key: bool = True,
    fingerprint: str = "ab" * 32,
    revoked_at: datetime | None = None,
    issued_at: datetime | None = None,
) -> Version:
    """A version that was issued `age` ago for `life`."""
    return Version(
        serial=serial,
        fingerprint=fingerprint,
        not_before=now - age,
        not_after=now - age + life,
        has_key=has_key,
        window=window,
        revoked_at=revoked_at,
        issued_at=issued_at,
    )


def renewal_facts(
    current: Version | None,
    *,
    adopted: bool = True,
    auto_renew: bool = True,
    in_progress: bool = False,
    renew_before: timedelta | None = None,
    first_renewal_at: datetime | None = None,
    next_attempt_at: datetime | None = None,
    failures: int = 0,
) -> RenewalFacts:
    """The facts of an adopted certificate, healthy unless told otherwise."""
    return RenewalFacts(
        id=1,
        adopted=adopted,
        auto_renew=auto_renew,
        in_progress=in_progress,
        version=current,
        renew_before=renew_before,
        first_renewal_at=first_renewal_at,
        next_attempt_at=next_attempt_at,
        failures=failures,
    )


def fingerprint(pem: str) -> str:
    """The lower-case hex SHA-256 of a certificate's DER."""
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


def binding(
    pem: str | None,
    path: str = "/etc/ssl/shop.pem",
    *,
    names: tuple[str, ...] = ("shop.example",),
    listeners: tuple[str, ...] = ("*:443",),
    service: str = "nginx",
    kind: str = "fullchain",
) -> dict[str, object]:
    """A binding as the scan module returns it."""
    return {
        "service": service,
        "config_file": "/etc/nginx/sites-enabled/shop",
        "line": 7,
        "names": list(names),
        "listeners": list(listeners),
        "files": [
            {"path": path, "kind": kind, "sha256": "cd" * 32, "owner": "root", "target": None},
            {"path": path + ".key", "kind": "key", "sha256": "ef" * 32, "owner": "root", "target": None},
        ],
        "certificate": fingerprint(pem) if pem else None,
        "managed_by": None,
        "problems": [],
    }


def scan_result(*pems_and_bindings: tuple[str | None, dict[str, object]]) -> dict[str, object]:
    """A result of the scan module."""
    return {
        "server": {"hostname": "web1", "kernel": "6.1", "services": [{"name": "nginx", "version": "1.22"}]},
        "bindings": [one for _, one in pems_and_bindings],
        "certificates": {
            fingerprint(pem): {"pem": pem, "chain": None, "error": None}
            for pem, _ in pems_and_bindings
            if pem
        },
        "chains": {},
        "unresolved": [],
    }
