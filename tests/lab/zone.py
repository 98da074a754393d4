"""The DNS of the lab: Knot with one zone that dynamic updates may change."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.lab.fleet import CA, ZONE, Fleet
from tests.lab.seed import SeedFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.lab.host import LabHost

_KEY_NAME = "acme"
_KEY_FILE = "/etc/knot/update.key"

_CONFIG = """\
server:
    listen: {address}@53
    user: knot:knot
    rundir: /run/knot
log:
  - target: syslog
    any: info
database:
    storage: /var/lib/knot
    journal-db-max-size: 32M
    kasp-db-max-size: 8M
    timer-db-max-size: 4M
key:
  - id: {key_name}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: update
    key: {key_name}
    action: [update, transfer]
zone:
  - domain: {zone}
    storage: /var/lib/knot
    file: {zone}.zone
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: changes
    acl: update
"""

_START = """\
@ 60 SOA {ca}.{zone}. hostmaster.{zone}. 1 3600 600 86400 1
@ 60 NS {ca}.{zone}.
"""


def seed(fleet: Fleet, addresses: dict[str, str], secret: str) -> list[SeedFile]:
    """Knot's files: an address for every host and for every name of every site."""
    config = _CONFIG.format(address=addresses[CA], key_name=_KEY_NAME, secret=secret, zone=ZONE)
    owners = [(f"{host}.{ZONE}", address) for host, address in addresses.items()]
    owners += [(name, addresses[host]) for site in fleet.sites for name in site.names for host in site.hosts]
    records = [f"{name}. 60 A {address}\n" for name, address in dict.fromkeys(owners)]
    zone = _START.format(ca=CA, zone=ZONE) + "".join(records)
    return [
        SeedFile("/etc/knot/knot.conf", config, 0o640, "knot"),
        SeedFile(_KEY_FILE, f"hmac-sha256:{_KEY_NAME}:{secret}\n", 0o600),
        SeedFile(f"/var/lib/knot/{ZONE}.zone", zone, 0o644, "knot"),
    ]


class Zone:
    """The running DNS server: records can be set, taken away and looked up."""

    #: acme.sh's hook for it.
    provider = "dns_knot"

    def __init__(self, host: LabHost, secret: str) -> None:
        self._host = host
        self._secret = secret

    @property
    def address(self) -> str:
        return self._host.address

    @property
    def variables(self) -> dict[str, str]:
        """What acme.sh's hook asks for; the second one is a secret."""
        key = f"hmac-sha256:{_KEY_NAME} {self._secret}"
        return {"KNOT_SERVER": self.address, "KNOT_KEY": key}

    def set_txt(self, name: str, value: str) -> None:
        """Add a TXT record; others of the same name stay."""
        self._update(f'update add {name}. 1 TXT "{value}"')

    def replace_txt(self, name: str, values: Iterable[str]) -> None:
        """Let a name have these TXT records and no others, in one step."""
        added = [f'update add {name}. 1 TXT "{value}"' for value in values]
        self._update("\n".join([f"update del {name}. TXT", *added]))

    def add_a(self, name: str, address: str) -> None:
        self._update(f"update add {name}. 1 A {address}")

    def add_ns(self, server: str) -> None:
        """Name another server of the whole zone."""
        self._update(f"update add {ZONE}. 1 NS {server}.")

    def remove_ns(self, server: str) -> None:
        self._update(f"update del {ZONE}. NS {server}.")

    def set_cname(self, name: str, target: str) -> None:
        self._update(f"update add {name}. 1 CNAME {target}.")

    def set_caa(self, name: str, issuer: str) -> None:
        """Let this CA issue for a name and what is below it, besides those that are named there already."""
        self._update(f'update add {name}. 1 CAA 0 issue "{issuer}"')

    def clear(self, name: str, kind: str = "TXT") -> None:
        self._update(f"update del {name}. {kind}")

    def lookup(self, name: str, kind: str = "TXT") -> list[str]:
        """The answers that the CA gets, without the quotes of a TXT record."""
        command = ["kdig", "+short", "+timeout=2", f"@{self.address}", f"{name}.", kind]
        lines = self._host.run(command).stdout.splitlines()
        return ["".join(shlex.split(line)) for line in lines]

    def answers(self) -> bool:
        command = ["kdig", "+short", "+timeout=1", "+retry=0", f"@{self.address}", ZONE, "SOA"]
        return self._host.run(command, check=False).stdout.startswith(CA)

    def _update(self, statement: str) -> None:
        script = f"server {self.address}\nzone {ZONE}.\n{statement}\nsend\nquit\n"
        self._host.run(["knsupdate", "-k", _KEY_FILE], input=script)
