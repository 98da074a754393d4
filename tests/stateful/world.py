"""A CA and three hosts as a control plane meets them: they sign, serve, fail, and keep what they have done.

Modelled is what happens inside them; what they say is worded as the modules word it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import pem_of
from tests.factories import fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LIFE = timedelta(days=90)


class IssueFault(StrEnum):
    """What may go wrong while a certificate is issued."""

    NONE = "none"
    CHALLENGE_FAILED = "challenge_failed"
    RATE_LIMITED = "rate_limited"
    CA_UNAVAILABLE = "ca_unavailable"
    WRONG_CERTIFICATE = "wrong_certificate"
    #: The CA has signed, and its answer is lost: the issuer's home has the attempt, we do not.
    ANSWER_LOST = "answer_lost"


class DeployFault(StrEnum):
    """What may go wrong while a host gets its certificates."""

    NONE = "none"
    ROLLED_BACK = "rolled_back"
    BROKEN = "broken"
    BLOCKED = "blocked_by_host"
    CONFLICT = "conflict"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    #: All was done, and we have lost the host before it could say so.
    ANSWER_LOST = "answer_lost"
    #: Killed after the swap and before the reload: the files are new, what is served is not.
    KILLED = "killed"


@dataclass
class Authority:
    """A CA that finds the certificate of an attempt that it has signed before, as acme.sh's home does."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signed: dict[str, str] = field(default_factory=dict)
    known: dict[str, x509.Certificate] = field(default_factory=dict)
    #: Serial numbers in their order: the same events draw the same moments.
    serials: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def certify(self, names: list[str], public_key: CertificatePublicKeyTypes, now: datetime) -> str:
        """A new certificate, as PEM."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(x509.Name([]))
            .public_key(public_key)
            .serial_number(next(self.serials))
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now - timedelta(hours=1) + LIFE)
            .add_extension(x509.SubjectAlternativeName(map(x509.DNSName, names)), critical=True)
        )
        certificate = builder.sign(self.key, hashes.SHA256())
        pem = pem_of(certificate)
        self.known[fingerprint(pem)] = certificate
        return pem

    def sign(self, attempt: str, csr_pem: str, names: list[str], now: datetime) -> str:
        """The certificate of an attempt; asked twice under one name it is the same."""
        if attempt not in self.signed:
            csr = x509.load_pem_x509_csr(csr_pem.encode())
            self.signed[attempt] = self.certify(names, csr.public_key(), now)
        return self.signed[attempt]


@dataclass
class Host:
    """One host: what lies in its files and what it serves, by the path of the certificate's file."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    #: What a killed deploy has left: the files as they were.
    journal: dict[str, str] = field(default_factory=dict)
    #: Places that the server's configuration no longer names.
    hidden: set[str] = field(default_factory=set)

    def recover(self) -> None:
        """Puts back what a killed deploy has left and reloads, as each deploy does before anything else."""
        self.files |= self.journal
        self.live |= self.journal
        self.journal = {}

    def reboot(self) -> None:
        """Comes up again with what lies in its files."""
        self.live = dict(self.files)

    def put(self, path: str, found: str, fault: DeployFault) -> None:
        """A transaction for one place: wholly, not at all, or broken off after the swap."""
        if fault is DeployFault.KILLED:
            self.journal.setdefault(path, self.files[path])
            self.files[path] = found
        elif fault in {DeployFault.NONE, DeployFault.ANSWER_LOST}:
            self.files[path] = self.live[path] = found

    def places(self) -> list[str]:
        """The places that a scan finds."""
        return [path for path in sorted(self.files) if path not in self.hidden]

    def scan(self, pems: dict[str, str], names: dict[str, list[str]]) -> dict[str, Any]:
        """What the module says that scans it."""
        bindings = [
            {
                "service": "nginx",
                "config_file": "/etc/nginx/nginx.conf",
                "line": 1,
                "names": names[path],
                "listeners": ["*:443"],
                "files": [{"path": path, "kind": "combined", "sha256": self.files[path]}],
                "certificate": self.files[path],
                "served": [
                    {"listener": "*:443", "name": names[path][0], "fingerprint": self.live[path]},
                ],
            }
            for path in self.places()
        ]
        seen = {self.files[path] for path in self.places()} | {self.live[path] for path in self.places()}
        return {
            "server": {"hostname": self.name, "services": [{"name": "nginx", "running": True}]},
            "bindings": bindings,
            "certificates": {one: {"pem": pems[one], "chain": None, "error": None} for one in sorted(seen)},
            "chains": {},
            "unresolved": [],
        }
