"""The CA of the lab: pebble on a host of its own, and what tests ask and tell it."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.lab.errors import LabError
from tests.lab.fleet import CA, ZONE
from tests.lab.initial import openssl, self_signed
from tests.lab.seed import SeedFile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.host import LabHost

_DAY = 86400
#: A name that the CA's policy forbids.
BLOCKED = f"blocked.{ZONE}"
_LOG = "/var/log/pebble.log"

_UNIT = f"""\
[Unit]
Description=ACME certificate authority of the lab
After=knot.service

[Service]
Environment=PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 PEBBLE_AUTHZREUSE=0
ExecStart=/usr/bin/pebble -config /etc/pebble/pebble.json -dnsserver {{address}}:53 -strict=false
StandardOutput=append:{_LOG}
StandardError=append:{_LOG}
"""

InNetwork = Callable[[Callable[[], bytes]], bytes]


def seed(address: str, minutes_validity: int, scratch: Path) -> list[SeedFile]:
    """Pebble's files; its HTTPS root is left in `scratch` as https-root.pem."""
    _https_certificate(address, scratch)
    config = {
        "listenAddress": f"{address}:14000",
        "managementListenAddress": f"{address}:15000",
        "certificate": "/etc/pebble/https.pem",
        "privateKey": "/etc/pebble/https.key",
        "httpPort": 80,
        "tlsPort": 443,
        "retryAfter": {"authz": 1, "order": 1},  # 0 would mean the default of 3 and 5 seconds
        "keyAlgorithm": "ecdsa",
        "domainBlocklist": [BLOCKED],
        "profiles": {
            "default": {"description": "90 days", "validityPeriod": 90 * _DAY},
            "short": {"description": "6 days", "validityPeriod": 6 * _DAY},
            "minutes": {"description": "for a demo", "validityPeriod": minutes_validity},
        },
    }
    return [
        SeedFile("/etc/pebble/pebble.json", json.dumps({"pebble": config}, indent=2)),
        SeedFile("/etc/pebble/https.pem", (scratch / "https.pem").read_text(encoding="utf-8")),
        SeedFile("/etc/pebble/https.key", (scratch / "https.key").read_text(encoding="utf-8"), 0o600),
        SeedFile("/etc/systemd/system/pebble.service", _UNIT.format(address=address)),
    ]


def _https_certificate(address: str, scratch: Path) -> None:
    self_signed(scratch, "https-root", "Lab HTTPS Root")
    extensions = f"subjectAltName=IP:{address},DNS:{CA}.{ZONE}\nextendedKeyUsage=serverAuth\n"
    (scratch / "https.ext").write_text(extensions, encoding="utf-8")
    openssl(
        scratch,
        *("req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt"),
        *("ec_paramgen_curve:P-256", "-subj", f"/CN={CA}.{ZONE}"),
        *("-keyout", "https.key", "-out", "https.csr"),
    )
    openssl(
        scratch,
        *("x509", "-req", "-in", "https.csr", "-CA", "https-root.pem"),
        *("-CAkey", "https-root.key", "-days", "3650", "-extfile", "https.ext"),
        *("-out", "https.pem"),
    )


class Authority:
    """The running CA. Pebble keeps nothing: stopping it forgets accounts, orders and its root."""

    def __init__(self, host: LabHost, https_root: Path, in_network: InNetwork) -> None:
        self._host = host
        self._in_network = in_network
        #: PEM file on the controller that the CA's own HTTPS is checked with.
        self.https_root = https_root

    @property
    def directory_url(self) -> str:
        return f"https://{self._host.address}:14000/dir"

    def directory(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._fetch(self.directory_url))
        return found

    def issuing_root_pem(self) -> str:
        """The root that certificates issued from now on lead to."""
        return self._fetch(f"{self._management}/roots/0").decode()

    def set_renewal_info(
        self, certificate_pem: str, start: datetime, end: datetime, explanation: str | None = None
    ) -> None:
        """Say when a certificate should be renewed, as ARI will answer from now on."""
        window = {"start": _rfc3339(start), "end": _rfc3339(end)}
        response: dict[str, object] = {"suggestedWindow": window}
        if explanation is not None:
            response["explanationURL"] = explanation
        body = {"certificate": certificate_pem, "ariResponse": json.dumps(response)}
        self._fetch(f"{self._management}/set-renewal-info/", json.dumps(body).encode())

    def renewal_info(self, certificate_pem: str) -> dict[str, object]:
        """What a client that asks for a certificate's renewal information is told now."""
        url = f"{self.directory()['renewalInfo']}/{_renewal_id(certificate_pem)}"
        answer: dict[str, object] = json.loads(self._fetch(url))
        return answer

    def status(self, serial: str) -> dict[str, object]:
        """What the CA knows of a certificate that it has signed: whether it is revoked, and why."""
        answer: dict[str, object] = json.loads(
            self._fetch(f"{self._management}/cert-status-by-serial/{serial}")
        )
        return answer

    def orders(self) -> int:
        """How many orders the CA has made since the lab came up; one that it refused is none."""
        return self._log().count(" Added order ")

    def told(self) -> str:
        """The last that the CA has logged, for a test that wants to say what happened."""
        return "\n".join(self._log().splitlines()[-100:])

    def _log(self) -> str:
        return self._host.read(_LOG)

    def stop(self) -> None:
        self._host.run(["systemctl", "stop", "pebble"])

    def start(self) -> None:
        """Start the CA anew, and return when it answers."""
        self._host.run(["systemctl", "start", "pebble"])
        self._host.wait_until(self.answers, "the CA does not answer")

    def answers(self) -> bool:
        try:
            self.directory()
        except LabError:
            return False
        return True

    @property
    def _management(self) -> str:
        return f"https://{self._host.address}:15000"

    def _fetch(self, url: str, body: bytes | None = None) -> bytes:
        context = ssl.create_default_context(cafile=str(self.https_root))
        # The lab is reached directly, whatever proxy the environment names.
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        opener = urllib.request.build_opener(*handlers)

        def fetch() -> bytes:
            try:
                with opener.open(url, body, timeout=10) as answer:
                    content: bytes = answer.read()
            except OSError as error:
                raise LabError(f"{url}: {error}") from error
            return content

        return self._in_network(fetch)


def _renewal_id(certificate_pem: str) -> str:
    """The name by which pebble finds a certificate: its issuer's key and its serial.

    That is the name of RFC 9773 section 4.1 but for one serial in 256, which as DER has it
    begins with a zero byte: pebble leaves the byte out, and so does not know what clients ask
    for, nor what they say an order `replaces`. Such an order it refuses.
    """
    command = ["openssl", "x509", "-noout", "-serial", "-ext", "authorityKeyIdentifier"]
    said = subprocess.run(
        command, input=certificate_pem, check=True, capture_output=True, text=True, timeout=30
    ).stdout
    serial = bytes.fromhex(said.partition("serial=")[2].split()[0])
    key = bytes.fromhex(said.rpartition("Identifier:")[2].split()[0].replace("keyid", "").replace(":", ""))
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in (key, serial))


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
