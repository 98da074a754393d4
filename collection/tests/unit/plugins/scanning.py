# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and machines of files, for the tests of the scan."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.notafter.tls.plugins.module_utils.host.commands import Result
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.timezone.utc)  # noqa: UP017 - Python 3.10 too
_DAY = datetime.timedelta(days=1)


def _key(kind: str) -> t.Any:
    family, _sign, size = kind.partition("-")
    if family == "rsa":
        return rsa.generate_private_key(65537, int(size))
    if family == "dsa":
        return dsa.generate_private_key(int(size))
    if family == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, t.Any] = {"192": ec.SECP192R1, "256": ec.SECP256R1, "384": ec.SECP384R1}
    return ec.generate_private_key(curves[size]())


@dataclass(frozen=True)
class Made:
    """A certificate with its key, and the chain above it."""

    certificate: x509.Certificate
    key: t.Any
    chain: str = ""

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fullchain(self) -> str:
        return self.pem + self.chain

    @property
    def key_pem(self) -> str:
        return self.encrypted(None)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def encrypted(self, phrase: bytes | None) -> str:
        """The private key, under a pass phrase when one is given."""
        how: t.Any = serialization.NoEncryption()
        if phrase is not None:
            how = serialization.BestAvailableEncryption(phrase)
        form = serialization.PrivateFormat.PKCS8
        return t.cast("bytes", self.key.private_bytes(serialization.Encoding.PEM, form, how)).decode()

    def csr(self) -> str:
        """A request for this key."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def save(self, folder: Path, name: str = "shop") -> tuple[Path, Path]:
        """`name.crt` (with the chain) and `name.key` (0600) in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_text(self.fullchain)
        key.write_text(self.key_pem)
        key.chmod(0o600)
        return certificate, key


class Issue(t.Protocol):
    """Makes a certificate for names."""

    def __call__(  # noqa: PLR0913 - what a certificate may be like, each with a default
        self,
        *names: str,
        key: str = "ec-256",
        by: Made | None = None,
        begins: datetime.timedelta = -_DAY,
        ends: datetime.timedelta = 90 * _DAY,
        common_name: str | None = None,
        extensions: t.Sequence[x509.ExtensionType] = (),
    ) -> Made: ...


def issue(  # noqa: PLR0913
    *names: str,
    key: str = "ec-256",
    by: Made | None = None,
    begins: datetime.timedelta = -_DAY,
    ends: datetime.timedelta = 90 * _DAY,
    common_name: str | None = None,
    extensions: t.Sequence[x509.ExtensionType] = (),
) -> Made:
    own = _key(key)
    attributes = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
    for extension in extensions:
        builder = builder.add_extension(extension, False)
    signer = by.key if by else own
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, digest), own, by.fullchain if by else "")


Answers = dict[tuple[str, ...], Result]


class FakeMachine(_machine.Machine):
    """A machine of files: its /proc, its programs, and what they answer."""

    def __init__(self, root: Path, answers: Answers | None = None) -> None:
        self.root = root
        self.asked: list[list[str]] = []
        self.answers = answers or {}
        (root / "proc" / "self").mkdir(parents=True, exist_ok=True)
        (root / "proc" / "self" / "status").write_text("NSpid:\t1\n")
        (root / "bin").mkdir(exist_ok=True)
        super().__init__(
            proc=str(root / "proc"), search=(str(root / "bin"),), systemd=str(root / "systemd"), run=self.run
        )

    def run(self, argv: list[str], timeout: float = 30.0, env: dict[str, str] | None = None) -> Result:  # noqa: ARG002
        """The answer that was prepared for a command, by its program's name and first arguments."""
        self.asked.append(argv)
        words = (Path(argv[0]).name, *argv[1:])
        for size in range(len(words), 0, -1):
            if words[:size] in self.answers:
                return self.answers[words[:size]]
        return Result(1, b"", b"no answer was prepared", timed_out=False)

    def program(self, name: str) -> str:
        """A program that can be found."""
        path = self.root / "bin" / name
        path.write_text("#!/bin/false\n")
        path.chmod(0o755)
        return str(path)

    def process(  # noqa: PLR0913 - what a process may be like
        self,
        pid: int,
        name: str,
        *arguments: str,
        parent: int = 1,
        uid: int = 0,
        unit: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        """A process as /proc shows it."""
        folder = self.root / "proc" / str(pid)
        folder.mkdir()
        (folder / "comm").write_text(name + "\n")
        (folder / "cmdline").write_text("\0".join(arguments) + "\0")
        ids = f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
        (folder / "status").write_text(f"State:\tS (sleeping)\nPPid:\t{parent}\n{ids}NSpid:\t{pid}\n")
        place = f"/system.slice/{unit}" if unit else "/user.slice/user-0.slice/session-1.scope"
        (folder / "cgroup").write_text(f"0::{place}\n")
        entries = [f"{key}={value}" for key, value in (environment or {}).items()]
        (folder / "environ").write_text("\0".join(entries) + "\0")
        (folder / "exe").symlink_to(self.program(name))
        (folder / "cwd").symlink_to("/")
        (folder / "root").symlink_to("/")

    def with_systemd(self) -> None:
        """From now on systemd runs this machine."""
        (self.root / "systemd").mkdir()


def said(stdout: str = "", stderr: str = "", returncode: int = 0) -> Result:
    """What a program answered."""
    return Result(returncode, stdout.encode("utf-8", "surrogateescape"), stderr.encode(), timed_out=False)
