"""An issuer of the lab and two CAs; the host makes keys and CSRs, the controller's own code judges."""

from __future__ import annotations

import json
import ssl
import urllib.request
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.action import acme_sh_certificate
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import pem_of_key
from tests.integration.hosts import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.lab import Lab

STATE = "/var/lib/notafter"
#: What the second CA wants of who registers: the key's id, and the key as CAs give it.
KEY_ID, HMAC_KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
#: What the issuer is reached by as well.
IPV6 = "fd77::5"
_UNIT = """\
[Unit]
Description=A second CA, which wants an external account binding
[Service]
Environment=PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=5 PEBBLE_AUTHZREUSE=0 PEBBLE_ALTERNATE_ROOTS=1
ExecStart=/usr/bin/pebble -config /etc/pebble/bound.json -dnsserver {address}:53 -strict=true
StandardOutput=append:/var/log/pebble-bound.log
StandardError=append:/var/log/pebble-bound.log
"""
#: Puts on record what any process of the issuer could have read of the arguments.
_OPENSSL = '#!/bin/sh\nprintf "%s\\n" "$*" >>/root/openssl-arguments\nexec /usr/bin/openssl "$@"\n'
_numbers = count(1)


@dataclass(frozen=True)
class Ca:
    """A CA as a request names it."""

    directory: str
    management: str
    trusted: str
    eab_key_id: str | None = None
    eab_hmac_key: str | None = None

    def as_request(self, **more: Any) -> dict[str, Any]:
        """The `ca` of a request to the host program."""
        return {
            "directory": self.directory,
            "bundle_pem": self.trusted,
            "eab_key_id": self.eab_key_id,
            **more,
        }


@dataclass
class Issuer:
    """acme.sh on a host of the lab; `first` takes everybody, `bound` wants a binding and has two roots."""

    lab: Lab
    first: Ca = field(init=False)
    bound: Ca = field(init=False)

    def __post_init__(self) -> None:
        self.host = self.lab.hosts["issuer"]
        self.host.write("/root/acme.deb", self.lab.acme_sh_package.read_bytes())
        self.host.run(["dpkg", "-i", "/root/acme.deb"])
        self.host.write("/usr/local/sbin/openssl", _OPENSSL, 0o755)
        trusted = self.lab.ca.https_root.read_text(encoding="ascii")
        address = self.lab.hosts["ca"].address
        self.first = Ca(self.lab.ca.directory_url, f"https://{address}:15000", trusted)
        second = (f"https://{address}:14001/dir", f"https://{address}:15001", trusted)
        self.bound = Ca(*second, KEY_ID, HMAC_KEY)
        self._start_second(address)
        for host, second_address in (("issuer", IPV6), ("ca", "fd77::2")):
            add = ["ip", "-6", "address", "add", f"{second_address}/64", "dev", "eth0", "nodad"]
            self.lab.hosts[host].run(add)

    def _start_second(self, address: str) -> None:
        host = self.lab.hosts["ca"]
        config = json.loads(host.read("/etc/pebble/pebble.json"))
        config["pebble"] |= {
            "listenAddress": f"{address}:14001",
            "managementListenAddress": f"{address}:15001",
            "externalAccountBindingRequired": True,
            "externalAccountMACKeys": {KEY_ID: HMAC_KEY},
        }
        host.write("/etc/pebble/bound.json", json.dumps(config))
        host.write("/etc/systemd/system/pebble-bound.service", _UNIT.format(address=address))
        host.run(["systemctl", "daemon-reload"])
        host.run(["systemctl", "start", "pebble-bound"])
        host.wait_until(lambda: self._answers(self.bound), "the second CA does not answer")

    def _answers(self, ca: Ca) -> bool:
        try:
            self.asked(ca.directory)
        except OSError:
            return False
        return True

    def asked(self, url: str) -> bytes:
        """What lies at a URL of a CA."""
        context = ssl.create_default_context(cafile=str(self.lab.ca.https_root))
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

        def fetch() -> bytes:
            with urllib.request.build_opener(*handlers).open(url, timeout=10) as answer:
                content: bytes = answer.read()
            return content

        return self.lab.call(fetch)

    def root(self, ca: Ca, number: int) -> x509.Certificate:
        """One of the roots that a CA signs under."""
        return x509.load_pem_x509_certificate(self.asked(f"{ca.management}/roots/{number}"))

    def status(self, ca: Ca, certificate: str) -> dict[str, Any]:
        """What a CA says of a certificate: whether it is revoked, and why."""
        serial = x509.load_pem_x509_certificate(certificate.encode()).serial_number
        found: dict[str, Any] = json.loads(self.asked(f"{ca.management}/cert-status-by-serial/{serial:x}"))
        return found

    def name(self) -> str:
        """A name that leads to the issuer, and that no test has used."""
        made = f"own{next(_numbers)}.lab.test"
        self.lab.dns.add_a(made, self.host.address)
        return made

    def sign(self, ca: Ca, names: list[str], challenge: dict[str, Any], /, **more: Any) -> Signed:
        """Has the host make a key of its own, sign it, and keep what was signed, as a run by hand does."""
        key = more.pop("as_key", None) or f"crt-{next(_numbers)}"
        wish = {"op": "request", "name": key, "names": names, "key_type": more.pop("key_type", "ec-256")}
        made = send(self.host, wish)
        account = {"name": "default", "eab_hmac_key": ca.eab_hmac_key, **more.pop("account", {})}
        request = {
            "op": "sign",
            "names": names,
            "csr": made["csr"],
            "attempt": made["attempt"],
            "ca": ca.as_request(),
            "account": account,
            "challenge": challenge,
            "timeout": 150,
            **({"dns_variables": self.lab.dns.variables} if challenge["type"] == "dns-01" else {}),
            **more,
        }
        answer = send(self.host, request)
        arguments = {"names": names, "csr": made["csr"], "attempt": made["attempt"], "ca": {}, **more}
        judged = acme_sh_certificate._judged(answer, arguments)
        if "certificate" in judged:
            send(self.host, acme_sh_certificate._keep(judged, {"name": key, "attempt": made["attempt"]}))
        return Signed(key, made["csr"], judged)

    def account(self, ca: Ca, state: str = "present", /, **more: Any) -> dict[str, Any]:
        """Asks for a state of an account."""
        account = {"name": "default", "eab_hmac_key": ca.eab_hmac_key, **more.pop("account", {})}
        email = {"email": more.pop("email")} if "email" in more else {}
        request = {"op": "acme_account", "state": state, "ca": ca.as_request(**email), "account": account}
        return send(self.host, {**request, **more})

    def revoke(self, ca: Ca, certificate: str, /, **more: Any) -> dict[str, Any]:
        """Asks for a certificate to be revoked."""
        request = {"op": "revoke", "certificate": certificate, "ca": ca.as_request()}
        return send(self.host, {**request, **more})

    def kill_at(self, point: str, work: Callable[[], object]) -> None:
        """Has the host program killed where it comes to a point."""
        self.host.write("/run/notafter-failpoint", f"{point}:kill")
        with pytest.raises(HostProgramError):
            work()
        assert not self.host.exists("/run/notafter-failpoint"), f"nobody came to {point}"

    def files(self, folder: str = "") -> list[str]:
        """The files that lie below our folder of the issuer."""
        return self.host.run(["find", f"{STATE}/{folder}", "-type", "f"]).stdout.split()

    def holding(self, text: str) -> list[str]:
        """The files of the issuer with a text in them; what a secret must never be found in."""
        found = self.host.run(["grep", "-rlF", "--", text, STATE, "/root", "/tmp"], check=False)
        return found.stdout.split()


@dataclass(frozen=True)
class Signed:
    """What became of one order."""

    key: str  #: the name under which the issuer keeps it
    csr: str
    result: dict[str, Any]

    @property
    def pem(self) -> str:
        """The certificate."""
        assert "certificate" in self.result, self.result
        return str(self.result["certificate"]["pem"])

    @property
    def failure(self) -> dict[str, Any]:
        """Why there is none."""
        found: dict[str, Any] = self.result["failure"]
        return found


def new_key(curve: ec.EllipticCurve | None = None) -> str:
    """A private key from elsewhere."""
    return pem_of_key(ec.generate_private_key(curve or ec.SECP256R1()))


def public_key(text: str) -> bytes:
    """The public half of a key or a certificate, as bytes that compare."""
    if "CERTIFICATE" in text:
        key = x509.load_pem_x509_certificate(text.encode()).public_key()
    else:
        key = serialization.load_pem_private_key(text.encode(), None).public_key()  # type: ignore[assignment]
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(encoding, form)
