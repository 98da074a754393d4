# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a listening socket: asked only where a handshake did not show what it should."""

import os
import re
import socket
import sys
import time
from typing import Dict, List, Optional, Sequence, Set, Tuple

_SECONDS = 2.0
_TABLE_LIMIT = 16 * 1024 * 1024
_LISTENS = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_ANY = ("0" * 8, "0" * 32)


class Holders:
    """The processes behind the listening sockets of this host, as far as we may see them."""

    def __init__(self, proc: str = "/proc") -> None:
        self.proc = proc
        self._sockets: Optional[Dict[Tuple[str, int], Set[str]]] = None
        self._names: Dict[str, Set[str]] = {}

    def other_than(self, own: Sequence[str], address: str, port: int) -> Optional[str]:
        """The name of a process that listens there; None where one of ours does, or nobody can tell."""
        holders = self.of(address, port)
        if not own or not holders or holders & set(own):
            return None
        return sorted(holders)[0]

    def of(self, address: str, port: int) -> Set[str]:
        """The names of the processes that listen at an address, or else at every address."""
        sockets = self._read()
        exact = [_kernel(address)] + ([_kernel("::ffff:" + address)] if ":" not in address else [])
        for places in (exact, _ANY):
            inodes = [inode for place in places for inode in sockets.get((place, port), ())]
            if inodes:
                return {name for inode in inodes for name in self._names.get(inode, ())}
        return set()

    def _read(self) -> Dict[Tuple[str, int], Set[str]]:
        if self._sockets is None:
            self._sockets = {}
            for table in ("tcp", "tcp6"):
                for line in self._lines("net/" + table)[1:]:
                    fields = line.split()
                    if len(fields) > 9 and fields[3] == _LISTENS:
                        address, _colon, port = fields[1].rpartition(":")
                        self._sockets.setdefault((address, int(port, 16)), set()).add(fields[9])
            self._find_processes()
        return self._sockets

    def _find_processes(self) -> None:
        deadline = time.monotonic() + _SECONDS
        for pid in self._listed(""):
            for handle in self._listed(pid + "/fd") if pid.isdigit() else ():
                self._note(pid, handle)
                if time.monotonic() > deadline:
                    return

    def _note(self, pid: str, handle: str) -> None:
        try:
            match = _SOCKET.match(os.readlink("%s/%s/fd/%s" % (self.proc, pid, handle)))
        except OSError:
            return
        if match:
            name = "".join(self._lines(pid + "/comm")[:1])
            self._names.setdefault(match.group(1), set()).add(name)

    def _listed(self, folder: str) -> List[str]:
        try:
            return os.listdir("%s/%s" % (self.proc, folder))
        except OSError:
            return []

    def _lines(self, name: str) -> List[str]:
        try:
            with open("%s/%s" % (self.proc, name), "rb") as handle:
                return handle.read(_TABLE_LIMIT).decode("utf-8", "replace").splitlines()
        except OSError:
            return []


def _kernel(address: str) -> str:
    """An address as /proc/net writes it: each 32 bits in the machine's own order of bytes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        packed = socket.inet_pton(family, address)
    except (OSError, ValueError):
        return ""
    turn = -1 if sys.byteorder == "little" else 1
    words = [packed[at : at + 4][::turn] for at in range(0, len(packed), 4)]
    return "".join(word.hex() for word in words).upper()
