"""Makes the things that tests talk about: certificates, facts, a certificate authority on paper."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
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


class PaperCa:
    """A certificate authority without a network; its key can be kept in a folder."""

    def __init__(self, name: str = "Paper CA", key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - 3650 * DAY)
            .not_valid_after(NOW + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        """The root."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        """The root's key."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def certificate_for(
        self,
        *names: str,
        not_before: datetime = NOW - DAY,
        life: timedelta = 90 * DAY,
        rsa_key: bool = False,
        csr_pem: str | None = None,
    ) -> str:
        """A certificate for the names, for a new key or for the key of a request."""
        if csr_pem is not None:
            public = x509.load_pem_x509_csr(csr_pem.encode()).public_key()
        elif rsa_key:
            public = rsa.generate_private_key(65537, 2048).public_key()
        else:
            public = ec.generate_private_key(ec.SECP256R1()).public_key()
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_before + life)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
            .add_extension(authority, critical=False)
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
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
            fingerprint(pem): {"pem": pem, "chain_pem": "", "error": None}
            for pem, _ in pems_and_bindings
            if pem
        },
        "warnings": [],
    }


def write_json(path: Path, value: object) -> None:
    """Write a value where another process may be reading."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value))
    draft.replace(path)
