"""A lab that is up: its hosts, its CA, its DNS, and a way into its network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from tests.lab import handshake
from tests.lab.authority import Authority
from tests.lab.errors import HandshakeError, LabError, NotReadyError
from tests.lab.fleet import CA, Fleet, Host, Site
from tests.lab.fleets import DEMO
from tests.lab.host import LabHost
from tests.lab.image import Image, ready_image
from tests.lab.network import LabNetwork
from tests.lab.plan import Wishes, addresses_of, interfaces_of, prepare
from tests.lab.state import State, raise_inotify
from tests.lab.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

T = TypeVar("T")

_TREE = Path(__file__).parents[2]
_SSH_PORT = 22


class Lab:
    """A fleet of hosts with a CA and a DNS server, in a network of its own.

    `with Lab.up("name") as lab:` takes the lab down at the end, and the lab also
    ends when the process that raised it does.
    """

    def __init__(self, state: State, image: Image) -> None:
        self._state = state
        self._image = image
        self._doors: list[subprocess.Popen[str]] = []
        facts = cast("dict[str, Any]", state.facts())
        self.name = state.name
        self.fleet = Fleet.from_json(facts["fleet"])
        #: The certificate that each site started with, by the site's key.
        self.first_fingerprints: dict[str, str] = facts["first_fingerprints"]
        processes = state.processes()
        if not state.alive:
            raise LabError(f"lab {state.name} has ended; `down` takes its remains away")
        self._network = LabNetwork(processes["keeper"])
        interfaces = interfaces_of(self.fleet)
        described = {host.name: host for host in (*self.fleet.hosts, Host(CA))}
        self.hosts = {
            name: LabHost(
                name,
                address,
                described[name].services,
                interfaces[name],
                processes[f"host-{name}"],
                self.folder / "hosts" / name / "console.log",
            )
            for name, address in addresses_of(self.fleet).items()
        }
        self.ca = Authority(self.hosts[CA], self.folder / "https-root.pem", self._network.call)
        self.dns = Zone(self.hosts[CA], facts["dns_secret"])

    @classmethod
    def up(
        cls,
        name: str,
        fleet: Fleet = DEMO,
        *,
        initial_validity: int = 300,
        minutes_validity: int = 240,
        patience: float = 60,
        detached: bool = False,
    ) -> Self:
        """Raise a lab and wait until all of it answers.

        `initial_validity` is how many seconds the first certificates live,
        `minutes_validity` how many those of the CA's profile `minutes` do. Each
        server has `patience` seconds to answer. A detached lab outlives the process
        that raised it.
        """
        image = ready_image()
        state = State(name)
        with ExitStack() as undo:
            if state.abandoned:
                state.remove()
            state.create()
            undo.callback(state.remove)
            raise_inotify(len(fleet.hosts) + 1)
            prepare(state, fleet, Wishes(initial_validity, minutes_validity), image)
            _start_keeper(state)
            lab = cls(state, image)
            undo.callback(lab._network.close)
            lab._await_answers(patience)
            if detached:
                (state.folder / "detached").touch()
            undo.pop_all()
        return lab

    @classmethod
    def attach(cls, name: str) -> Self:
        """A lab that is up already."""
        return cls(State(name), ready_image())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()

    def down(self) -> None:
        """Take the lab down, and leave nothing of it on the machine."""
        self.close()
        self._state.remove()
        for door in self._doors:
            door.wait(timeout=20)
        self._doors.clear()

    def close(self) -> None:
        """Let go of a lab that stays up."""
        self._network.close()

    @property
    def folder(self) -> Path:
        return self._state.folder

    @property
    def inventory(self) -> Path:
        """An Ansible inventory of the lab, with all that a connection needs."""
        return self.folder / "inventory.yml"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The certificates of the fleet: names, hosts, service, files, intended challenge."""
        return self.fleet.sites

    @property
    def acme_sh_package(self) -> Path:
        """The Debian package of acme.sh for an issuer; no host has it from the start."""
        return self._image.acme_sh_package

    @property
    def old_root(self) -> Path:
        """PEM of the root that the first certificates lead to."""
        return self.folder / "old-root.pem"

    def site(self, key: str) -> Site:
        return next(site for site in self.sites if site.key == key)

    def enter(self) -> None:
        """Move the calling thread into the lab's network; threads started later follow it."""
        self._network.enter()

    def exec_prefix(self) -> list[str]:
        """The start of a command line that runs the rest in the lab's network."""
        return self._network.exec_prefix()

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 -- the name that subprocess.run has
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the machine in the lab's network; `env` adds to the caller's own."""
        return self._network.run(command, check=check, input=input, env=env, timeout=timeout)

    def ssh_command(self, host: str) -> list[str]:
        """The ssh command line, inside the lab's network, that logs in to a host."""
        options = (f"UserKnownHostsFile={self.folder}/known_hosts", "StrictHostKeyChecking=yes")
        flags = [flag for option in options for flag in ("-o", option)]
        identity = ["-i", str(self.folder / "id"), "-o", "IdentitiesOnly=yes"]
        return ["ssh", "-F", "none", *flags, *identity, f"root@{self.hosts[host].address}"]

    def call(self, work: Callable[[], T]) -> T:
        """Run a function in a thread that is in the lab's network."""
        return self._network.call(work)

    def served(
        self,
        host: str | LabHost,
        port: int = 443,
        name: str | None = None,
        key_type: handshake.KeyKind | None = None,
    ) -> str:
        """The fingerprint of the certificate that a new client of a host gets now."""
        return handshake.fingerprint(self.served_certificate(host, port, name, key_type))

    def served_certificate(
        self,
        host: str | LabHost,
        port: int = 443,
        name: str | None = None,
        key_type: handshake.KeyKind | None = None,
    ) -> bytes:
        """The certificate itself, as DER. `host` is a name, an address or a host."""
        address = host.address if isinstance(host, LabHost) else self._address(host)
        return self._network.call(lambda: handshake.leaf(address, port, name, key_type))

    def served_site(self, site: Site, host: str | None = None) -> str:
        """The fingerprint that a site's clients get, on its first host or on the given one."""
        pair = [other for other in self.sites if _same_virtual_host(site, other)]
        kind: handshake.KeyKind | None = None
        if len(pair) > 1:
            kind = "rsa" if site.key_type.startswith("rsa") else "ecdsa"
        return self.served(host or site.hosts[0], site.port, site.probe_name, kind)

    def cut(self, host: str) -> None:
        """Take a host off the network: nothing reaches it until `heal`."""
        self.run(["ip", "link", "set", self.hosts[host].interface, "down"])

    def heal(self, host: str) -> None:
        """Put a host back on the network, and return when it answers."""
        self.run(["ip", "link", "set", self.hosts[host].interface, "up"])
        self.hosts[host].wait_until(
            lambda: self._connects(host, _SSH_PORT), "sshd does not answer after heal", 60
        )

    def publish(self, lab_port: int, machine_port: int) -> None:
        """Forward 127.0.0.1:machine_port of the machine to 127.0.0.1:lab_port of the lab."""
        door = subprocess.Popen(
            _python("tests.lab.publish", self.name, str(lab_port), str(machine_port)),
            env=_environment(),
            cwd="/",
            stdout=subprocess.PIPE,
            text=True,
        )
        with cast("Any", door.stdout) as said:
            answer = said.readline().strip()
        if answer != "ready":
            door.wait(timeout=20)
            raise LabError(f"cannot publish: {answer or 'the forwarder ended'}")
        self._doors.append(door)

    def _address(self, host: str) -> str:
        return self.hosts[host].address if host in self.hosts else host

    def _connects(self, host: str, port: int) -> bool:
        return self._network.call(lambda: handshake.connects(self.hosts[host].address, port))

    def _await_answers(self, patience: float) -> None:
        for name, host in self.hosts.items():
            host.wait_until(partial(self._connects, name, _SSH_PORT), "sshd does not answer", patience)
        ca = self.hosts[CA]
        ca.wait_until(self.dns.answers, "the DNS server does not answer", patience)
        ca.wait_until(self.ca.answers, "the CA does not answer", patience)
        for site in self.sites:
            complaint = f"{site.names[0]} on port {site.port} is not served"
            for name in site.hosts:
                self.hosts[name].wait_until(partial(self._serves_first, site, name), complaint, patience)

    def _serves_first(self, site: Site, host: str) -> bool:
        try:
            return self.served_site(site, host) == self.first_fingerprints[site.key]
        except HandshakeError:
            return False


def _same_virtual_host(one: Site, other: Site) -> bool:
    return (one.names, one.port, one.hosts) == (other.names, other.port, other.hosts)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_TREE)}


def _start_keeper(state: State) -> None:
    """Start the keeper, and return when its hosts have begun to boot."""
    log = state.folder / "keeper.log"
    with log.open("w", encoding="utf-8") as said:
        started = subprocess.run(
            _python("tests.lab.keeper", state.name),
            check=False,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=60,
        )
    deadline = time.monotonic() + 60
    while not (state.folder / "booted").exists():
        if started.returncode != 0 or not state.alive or time.monotonic() > deadline:
            raise NotReadyError(f"the lab's keeper did not boot the hosts:\n{log.read_text()[-4000:]}")
        time.sleep(0.02)
