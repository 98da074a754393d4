"""From the description of a fleet to everything that a keeper needs to boot it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import authority, inventory, layers, zone
from tests.lab.fleet import CA, ZONE, Fleet, Host
from tests.lab.handshake import fingerprint
from tests.lab.initial import Bundle, OldAuthority, lay_out
from tests.lab.seed import SeedFile, link
from tests.lab.servers import UNITS, configuration
from tests.lab.state import ProcessId, State

if TYPE_CHECKING:
    from tests.lab.image import Image

GATEWAY = "10.77.0.1"
_CA_ADDRESS = "10.77.0.2"
_HOSTS_IN_BLOCK = 250


@dataclass(frozen=True)
class Wishes:
    """What the caller of `up` may choose beside the fleet; validities are in seconds."""

    initial_validity: int
    minutes_validity: int


def addresses_of(fleet: Fleet) -> dict[str, str]:
    """Every host's address, the CA's first."""
    addresses = {CA: _CA_ADDRESS}
    for index, host in enumerate(fleet.hosts):
        block, number = divmod(index, _HOSTS_IN_BLOCK)
        addresses[host.name] = f"10.77.{block + 1}.{number + 1}"
    return addresses


def interfaces_of(fleet: Fleet) -> dict[str, str]:
    return {name: f"lab{index}" for index, name in enumerate(addresses_of(fleet))}


def prepare(state: State, fleet: Fleet, wishes: Wishes, image: Image) -> None:
    """Fill the state folder: the plan for the keeper, and what clients of the lab need."""
    folder = state.folder
    # Its own name for each try: a program of one that was killed may still be writing.
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=folder))
    (folder / "cp").mkdir(mode=0o700)
    addresses = addresses_of(fleet)
    for name in addresses:
        (folder / "hosts" / name).mkdir(mode=0o700, parents=True)
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    keys = _ssh_keys(scratch, addresses)
    _write_controller_files(folder, scratch, addresses)
    old = OldAuthority(scratch / "old")
    _write(folder / "old-root.pem", old.root_pem)
    bundles = old.issue(fleet.sites, wishes.initial_validity)
    seeds = {host.name: _server_seed(fleet, host, bundles) for host in fleet.hosts}
    seeds[CA] = _ca_seed(fleet, addresses, secret, wishes, scratch)
    shutil.move(scratch / "https-root.pem", folder / "https-root.pem")
    hosts = [
        {
            "name": name,
            "address": addresses[name],
            "interface": interface,
            "layers": [str(layer) for layer in _layers(name, fleet, image)],
            "files": [file.as_json() for file in [*_identity(name, addresses, keys), *seeds[name]]],
        }
        for name, interface in interfaces_of(fleet).items()
    ]
    starter = ProcessId.of(os.getpid())
    plan = {
        "gateway": GATEWAY,
        "starter": {"pid": starter.pid, "started": starter.started},
        "hosts": hosts,
    }
    _write(folder / "plan.json", json.dumps(plan))
    _write(folder / "inventory.yml", inventory.render(fleet, addresses, folder))
    facts = {
        "fleet": fleet.as_json(),
        "dns_secret": secret,
        "first_fingerprints": {key: fingerprint(bundle.leaf) for key, bundle in bundles.items()},
    }
    _write(folder / "lab.json", json.dumps(facts))
    shutil.rmtree(scratch)


def _layers(name: str, fleet: Fleet, image: Image) -> list[Path]:
    wished = next((host.layer for host in fleet.hosts if host.name == name), None)
    if wished in layers.WHOLE:
        return [layers.ready(image, wished)]
    above = [image.pebble] if name == CA else [layers.ready(image, wished)] if wished else []
    return [*above, image.root]


def _server_seed(fleet: Fleet, host: Host, bundles: dict[str, Bundle]) -> list[SeedFile]:
    files = configuration(fleet, host)
    for service in host.services:
        files += [_enabled(UNITS[service])]
        for site in fleet.sites_of(host.name, service):
            files += lay_out(site, bundles[site.key])
    return files


def _ca_seed(
    fleet: Fleet, addresses: dict[str, str], secret: str, wishes: Wishes, scratch: Path
) -> list[SeedFile]:
    return [
        *authority.seed(addresses[CA], wishes.minutes_validity, scratch),
        *zone.seed(fleet, addresses, secret),
        _enabled("pebble", "/etc/systemd/system"),
        _enabled("knot"),
    ]


def _enabled(unit: str, folder: str = "/lib/systemd/system") -> SeedFile:
    place = f"/etc/systemd/system/multi-user.target.wants/{unit}.service"
    return link(place, f"{folder}/{unit}.service")


def _identity(name: str, addresses: dict[str, str], keys: dict[str, str]) -> list[SeedFile]:
    """What makes a host itself: its names, its host key, and who may log in."""
    local = f"127.0.0.1 localhost\n{addresses[name]} {name}.{ZONE} {name}\n"
    return [
        SeedFile("/etc/hostname", f"{name}\n"),
        SeedFile("/etc/hosts", local),
        SeedFile("/etc/resolv.conf", f"nameserver {addresses[CA]}\noptions timeout:2\n"),
        SeedFile("/etc/machine-id", f"{secrets.token_hex(16)}\n", 0o444),
        SeedFile("/etc/ssh/ssh_host_ed25519_key", keys[name], 0o600),
        SeedFile("/root/.ssh/authorized_keys", keys["controller"], 0o600),
        _enabled("ssh"),
    ]


def _ssh_keys(scratch: Path, addresses: dict[str, str]) -> dict[str, str]:
    """A private key for each host, and the public one of the controller."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: _make_ssh_key(scratch / name), [*addresses, "controller"]))
    keys = {name: (scratch / name).read_text(encoding="utf-8") for name in addresses}
    keys["controller"] = (scratch / "controller.pub").read_text(encoding="utf-8")
    return keys


def _make_ssh_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def _write_controller_files(folder: Path, scratch: Path, addresses: dict[str, str]) -> None:
    shutil.move(scratch / "controller", folder / "id")
    shutil.move(scratch / "controller.pub", folder / "id.pub")
    lines = []
    for name, address in addresses.items():
        kind, key, _ = (scratch / f"{name}.pub").read_text(encoding="utf-8").split()
        lines.append(f"{address},{name},{name}.{ZONE} {kind} {key}\n")
    _write(folder / "known_hosts", "".join(lines))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
