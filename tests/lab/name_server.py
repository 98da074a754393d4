"""A second name server of the lab's zone: it repeats what the first one says, and lags behind on request.

with SecondServer(lab) as second:
second.behind.add("_acme-challenge.shop.lab.test")  # as if the name had no records
second.behind.clear()
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.lab.fleet import ZONE
from tests.lab.plan import GATEWAY

if TYPE_CHECKING:
    from types import TracebackType

    from tests.lab.lab import Lab

_NAME = f"ns2.{ZONE}"
_HEADER = 12
#: An authoritative answer without records (RFC 1035 section 4.1.1).
_NOTHING = b"\x84\x00" + b"\x00\x01" + b"\x00\x00" * 3


@dataclass
class SecondServer:
    """Answers by UDP at the lab's gateway while its `with` block runs."""

    lab: Lab
    behind: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._socket, self._first = self.lab.call(self._open)
        self._thread = threading.Thread(target=self._answer, name="second-name-server", daemon=True)
        self._thread.start()
        self.lab.dns.add_a(_NAME, GATEWAY)
        self.lab.dns.add_ns(_NAME)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.lab.dns.remove_ns(_NAME)
        self._stop.set()
        self._thread.join(20)
        self._socket.close()
        self._first.close()

    def _open(self) -> tuple[socket.socket, socket.socket]:
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.bind((GATEWAY, 53))
        own.settimeout(0.2)
        first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        first.connect((self.lab.dns.address, 53))
        first.settimeout(2)
        return own, first

    def _answer(self) -> None:
        while not self._stop.is_set():
            try:
                query, client = self._socket.recvfrom(4096)
                if _asked_name(query) in self.behind:
                    answer = query[:2] + _NOTHING + query[_HEADER:]
                else:
                    self._first.send(query)
                    answer = self._first.recv(65535)
            except TimeoutError:
                continue
            self._socket.sendto(answer, client)


def _asked_name(query: bytes) -> str:
    labels, place = [], _HEADER
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii").lower())
        place += 1 + query[place]
    return ".".join(labels)
