"""A bad line between a host of the lab and the others: late, lossy, with a hole for large packets.

    with Link(lab, "web1", delay=1.0, loss=0.05):
        ...  # one second each way, one packet in twenty lost

It carries the frames itself: not every kernel has the netem queueing discipline.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import random
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.lab.lab import Lab

_EVERY_PROTOCOL = 0x0003
_SIOCETHTOOL = 0x8946
_SET_CHECKSUMS = 0x17  #: ETHTOOL_STXCSUM
_PACKET_OUTGOING = 4
_LARGEST_FRAME = 65535
_ETHERNET_HEADER = 14

#: The same inside of a host: what it sends is to be whole and no larger than a frame.
_WHOLE_FRAMES = """
import array, fcntl, socket, struct
value = array.array("B", struct.pack("II", 0x17, 0))
fcntl.ioctl(
    socket.socket(), 0x8946, struct.pack("16sP", b"eth0", value.buffer_info()[0])
)
"""


@dataclass
class Link:
    """The line of one host while the `with` block runs."""

    lab: Lab
    host: str
    delay: float = 0  #: seconds each way
    loss: float = 0  #: the share of packets that get lost
    largest: int | None = None  #: what is larger disappears, and nobody is told
    seed: int = 1
    carried: int = 0
    dropped: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._end = self.lab.hosts[self.host].interface
        self._near, self._far = f"{self._end}-n", f"{self._end}-f"
        self._ip("link", "add", self._near, "type", "veth", "peer", "name", self._far)
        self.lab.hosts[self.host].run(["python3", "-c", _WHOLE_FRAMES])
        self.lab.call(lambda: _whole_frames(self._near))
        self._ip("link", "set", self._end, "nomaster")
        self._ip("link", "set", self._near, "master", "br0", "up")
        self._ip("link", "set", self._far, "up")
        self._sockets = self.lab.call(self._open)
        self._thread = threading.Thread(target=self._carry, name=f"link-{self.host}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(20)
        for one in self._sockets:
            one.close()
        self._ip("link", "del", self._near)
        self._ip("link", "set", self._end, "master", "br0")

    def _ip(self, *words: str) -> None:
        self.lab.run(["ip", *words])

    def _open(self) -> tuple[socket.socket, socket.socket]:
        ends = []
        for name in (self._end, self._far):
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
            one.bind((name, _EVERY_PROTOCOL))
            ends.append(one)
        return ends[0], ends[1]

    def _carry(self) -> None:
        """Takes each frame from one end to the other, when its time has come."""
        chance, order = random.Random(self.seed), count()  # noqa: S311 -- repeatable, not secret
        other = dict(zip(self._sockets, reversed(self._sockets), strict=True))
        waiting: list[tuple[float, int, socket.socket, bytes]] = []
        while not self._stop.is_set():
            left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.2
            for one in select.select(self._sockets, [], [], min(left, 0.2))[0]:
                frame, address = one.recvfrom(_LARGEST_FRAME)
                if address[2] == _PACKET_OUTGOING:
                    continue
                if chance.random() < self.loss or self._too_large(frame):
                    self.dropped += 1
                    continue
                heapq.heappush(waiting, (time.monotonic() + self.delay, next(order), other[one], frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _due, _number, end, frame = heapq.heappop(waiting)
                end.send(frame)
                self.carried += 1

    def _too_large(self, frame: bytes) -> bool:
        return self.largest is not None and len(frame) - _ETHERNET_HEADER > self.largest


def _whole_frames(interface: str) -> None:
    """Has the kernel finish what it sends there: checksums, and packets that fit into a frame."""
    value = bytearray(struct.pack("II", _SET_CHECKSUMS, 0))
    buffer = (ctypes.c_char * len(value)).from_buffer(value)
    with socket.socket() as any_socket:
        fcntl.ioctl(
            any_socket, _SIOCETHTOOL, struct.pack("16sP", interface.encode(), ctypes.addressof(buffer))
        )
