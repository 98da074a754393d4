"""One attempt to have a certificate signed, made as the action plugin makes it, through the fault proxy."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.action import acme_sh_certificate
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import pem_of_key
from tests.lab.proxy import Proxy

if TYPE_CHECKING:
    from tests.lab.lab import Lab

HOST_FOLDER = "/var/lib/notafter"
_PYTHON = ["/usr/bin/python3", "-I", "-S", "-B", "-"]
FIRST_NAME = "t1.lab.test"  #: what is replaced must have a name of what replaces it
_numbers = count(1)


@dataclass
class Issuer:
    """acme.sh on a host of the lab, and one ACME account that every attempt uses."""

    lab: Lab
    account_key: str = ""
    account_path: str = ""
    first: str = ""  #: the certificate that the registration brought, for orders that replace one
    first_root: str = ""  #: and the root that it leads to

    @classmethod
    def on(cls, lab: Lab) -> Issuer:
        """Installs acme.sh and registers the account, by an attempt that nothing disturbs."""
        host = lab.hosts["issuer"]
        host.write("/root/acme.deb", lab.acme_sh_package.read_bytes())
        host.run(["dpkg", "-i", "/root/acme.deb"])
        issuer = cls(lab, pem_of_key(ec.generate_private_key(ec.SECP256R1())))
        with Proxy.before(lab) as proxy:
            ended = Attempt(issuer, more={"replaces": None}).run(proxy)
            if "account" not in ended.result:
                raise AssertionError(f"the lab's own CA does not sign: {ended.result}")
            issuer.first = ended.result["certificate"]["pem"]
            issuer.first_root = lab.ca.issuing_root_pem()
            issuer.account_path = re.sub(r"^https://[^/]+", "", ended.result["account"]["url"])
        return issuer


@dataclass(frozen=True)
class Ended:
    """How one try of an attempt ended: what the module says, and all that came through the pipe."""

    result: dict[str, Any]
    said: str
    seconds: float
    at: float

    @property
    def outcome(self) -> str:
        """The class of its failure, or `signed`."""
        failure = self.result.get("failure")
        return failure["class"] if failure else "signed"

    @property
    def message(self) -> str:
        return str(self.result["failure"]["message"])


@dataclass
class Attempt:
    """A key, a CSR and a name: what can be asked for again and again."""

    issuer: Issuer
    timeout: int = 150
    more: dict[str, Any] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        self.name = f"torture-{self.number}"
        self.names = [FIRST_NAME if "replaces" in self.more else f"t{self.number}.lab.test"]
        self.key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in self.names])
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        made = request.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        self.csr = made.public_bytes(serialization.Encoding.PEM).decode()

    def run(self, proxy: Proxy) -> Ended:
        """Has the host program sign it, and judges the answer as the controller does."""
        host, start = self.issuer.lab.hosts["issuer"], time.monotonic()
        done = host.run(
            _PYTHON,
            input=carrier.payload(self._request(proxy)).decode(),
            check=False,
            timeout=self.timeout + 60,
        )
        answer = carrier.parse(done.returncode, done.stdout, done.stderr)
        arguments = {"names": self.names, "csr": self.csr, "attempt": self.name, "ca": {}, **self.more}
        result = acme_sh_certificate._judged(answer, arguments)
        return Ended(result, done.stdout + done.stderr, time.monotonic() - start, time.time())

    def _request(self, proxy: Proxy) -> dict[str, Any]:
        path = self.issuer.account_path
        return {
            "op": "sign",
            "attempt": self.name,
            "names": self.names,
            "csr": self.csr,
            "ca": {"directory": proxy.directory_url, "bundle_pem": proxy.https_root_pem},
            "challenge": {"type": "dns-01", "provider": "dns_knot", "dns_sleep": 0},
            "dns_variables": self.issuer.lab.dns.variables,
            "profile": "default",
            "account": {
                "private_key": self.issuer.account_key,
                "url": proxy.url(path) if path else None,
            },
            "timeout": self.timeout,
            "replaces": self.more.get("replaces"),
        }

    def secrets(self) -> list[str]:
        """What must be in no output: a part of each key, and the DNS secret."""
        keys = [pem_of_key(self.key), self.issuer.account_key]
        bodies = ["".join(key.splitlines()[1:-1])[40:100] for key in keys]
        return [*bodies, self.issuer.lab.dns.variables["KNOT_KEY"].split()[-1]]

    def left_on_host(self) -> list[str]:
        """The files of this attempt that still lie on the issuer, by name."""
        folder = f"{HOST_FOLDER}/attempts/{self.name}"
        found = self.issuer.lab.hosts["issuer"].run(["find", folder, "-type", "f"])
        return [line.rpartition("/")[2] for line in found.stdout.split()]
