"""Clients that never stop asking: every endpoint, each handshake verified as a browser would."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.lab.lab import Lab

PAUSE = 0.05
_TIMEOUT = 10


@dataclass(frozen=True)
class Endpoint:
    """Where a client goes, and the name that it asks for and expects."""

    host: str
    address: str
    port: int
    name: str


@dataclass
class Watch:
    """Handshakes with the given endpoints while its `with` block runs; what fails is kept with its time.

    A handshake counts as made when the chain leads to one of the roots, now and for this name: it
    fails on an expired, a mismatched or a foreign certificate as well as on a server that is away.
    """

    lab: Lab
    endpoints: list[Endpoint]
    roots: str  #: PEM of what the clients trust
    made: int = 0
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def of(cls, lab: Lab, *more_roots: str) -> Self:
        """Every site of a lab on each of its hosts."""
        endpoints = [
            Endpoint(host, lab.hosts[host].address, site.port, site.probe_name)
            for site in lab.sites
            for host in site.hosts
        ]
        return cls(lab, endpoints, "\n".join([lab.old_root.read_text("ascii"), *more_roots]))

    def __enter__(self) -> Self:
        self.lab.call(self._start)  # threads that are started in the lab's network stay there
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_TIMEOUT * 2)

    def count(self) -> tuple[int, int]:
        """How many were made so far, and how many failed."""
        with self._lock:
            return self.made, len(self.failed)

    def failures_since(self, number: int) -> list[str]:
        """What failed after the first so many failures."""
        with self._lock:
            return self.failed[number:]

    def _start(self) -> None:
        for endpoint in self.endpoints:
            context = ssl.create_default_context(cadata=self.roots)
            thread = threading.Thread(target=self._ask_on, args=(endpoint, context), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _ask_on(self, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        while not self._over.wait(PAUSE):
            told = _failure(endpoint, context)
            with self._lock:
                if told is None:
                    self.made += 1
                else:
                    self.failed.append(f"{datetime.now(UTC):%H:%M:%S.%f} {endpoint.name}: {told}")


def _failure(endpoint: Endpoint, context: ssl.SSLContext) -> str | None:
    """What is wrong with one handshake; None when nothing is."""
    try:
        with (
            socket.create_connection((endpoint.address, endpoint.port), _TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.name),
        ):
            return None
    except OSError as error:
        return repr(error)
