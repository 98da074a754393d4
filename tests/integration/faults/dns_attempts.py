"""Attempts that are proved by DNS, each with its own names, provider and patience."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from typing_extensions import override

from tests.torture.attempt import HOST_FOLDER, Attempt

if TYPE_CHECKING:
    from tests.lab.provider import Provider
    from tests.lab.proxy import Proxy


@dataclass
class DnsAttempt(Attempt):
    """One attempt; without a provider it is the lab's own DNS server that is told."""

    provider: Provider | None = None
    dns_sleep: int | None = 0
    wanted: tuple[str, ...] = ()  #: other names than its own
    variables: dict[str, str] = field(default_factory=dict)
    check_caa: bool = False

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wanted:
            self.names = list(self.wanted)
            names = x509.SubjectAlternativeName([x509.DNSName(name) for name in self.names])
            request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
            made = request.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
            self.csr = made.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def txt_name(self) -> str:
        """Where the first name is proved."""
        return f"_acme-challenge.{self.names[0].removeprefix('*.')}"

    @override
    def _request(self, proxy: Proxy) -> dict[str, Any]:
        request = super()._request(proxy)
        request["challenge"] = {"type": "dns-01", "provider": "dns_knot", "dns_sleep": self.dns_sleep}
        request["check_caa"] = self.check_caa
        if self.provider is not None:
            request["challenge"]["provider"] = self.provider.hook
            request["dns_variables"] = self.provider.variables
        request["dns_variables"] = {**request["dns_variables"], **self.variables}
        return request

    def kill(self) -> None:
        """`kill -9` of acme.sh and of who started it, as a power loss would."""
        host = self.issuer.lab.hosts["issuer"]
        leader = host.read(f"{HOST_FOLDER}/attempts/{self.name}/process").strip()
        parent = host.run(["ps", "-o", "ppid=", "-p", leader]).stdout.strip()
        host.run(["kill", "-KILL", parent])
        host.run(["kill", "-KILL", "--", f"-{leader}"])
