# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy's admin endpoint: what runs, told by the running process itself and by no other."""

import http.client
import json
import os
import re
import socket
import struct
import sys
import threading
from typing import Any, List, NamedTuple, Optional, Set

from . import _reading
from ._machine import Process

DEFAULT = "localhost:2019"
_LIMIT = 64 * 1024 * 1024
_SECONDS = 10.0
_LISTENS = "0A"
_ADDRESS = re.compile(r"(?:tcp[46]?/)?(\[[0-9a-fA-F:.]+\]|[^:/\[\]]*):([0-9]{1,5})")
# Loads what runs once more; "must-revalidate" makes Caddy do so though nothing has changed.
_AGAIN = """
import http.client, socket, sys
host, port, path = sys.argv[1:]
def ask(method, target, body=None, headers={}):
    asked = http.client.HTTPConnection(host, int(port), timeout=50)
    if path:
        headers = dict(headers, Host="")
        asked.sock = socket.socket(socket.AF_UNIX)
        asked.sock.settimeout(50)
        asked.sock.connect(path)
    asked.request(method, target, body, headers)
    answer = asked.getresponse()
    said = answer.read()
    if answer.status != 200:
        sys.exit(said.decode("utf-8", "replace")[:2000] or "Caddy answers %d" % answer.status)
    return said
running = ask("GET", "/config/")
ask("POST", "/load", running, {"Content-Type": "application/json", "Cache-Control": "must-revalidate"})
"""


class Endpoint(NamedTuple):
    """Where the admin endpoint listens: a host and port, or the path of a socket."""

    host: str
    port: int
    path: str

    def again(self) -> List[str]:
        """The command that makes Caddy load its configuration, and all certificates, once more."""
        python = sys.executable or "/usr/bin/python3"
        return [python, "-I", "-S", "-c", _AGAIN, self.host, str(self.port), self.path]


def endpoint(text: str) -> Optional[Endpoint]:
    """The endpoint that a configuration names; None where it is none that can be asked."""
    if text.startswith("unix/"):
        return Endpoint("localhost", 80, text[len("unix/") :].partition("|")[0])
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match.group(2)) > 65535:
        return None
    host = match.group(1).strip("[]")
    return Endpoint(host if host not in ("", "0.0.0.0", "::") else "localhost", int(match.group(2)), "")  # noqa: S104


def running(machine: Any, process: Process, asked: Endpoint) -> Optional[Any]:
    """The configuration that a process runs; None where it does not tell, or another one would."""
    connection = http.client.HTTPConnection(asked.host, asked.port, timeout=_SECONDS)
    ending: Optional[threading.Timer] = None
    try:
        if asked.path:
            connection.sock = _unix(asked.path, process)
        elif os.geteuid() == 0 and not _holds(machine, process, asked.port):
            return None
        else:
            connection.connect()
        # The timeout is one for each read; who says a byte a second is not waited for either.
        ending = threading.Timer(_SECONDS, _end, (connection.sock,))
        ending.daemon = True
        ending.start()
        # A socket has no name, and Caddy wants to be asked for none there (RFC 2616 section 14.26).
        connection.request("GET", "/config/", headers={"Host": ""} if asked.path else {})
        answer = connection.getresponse()
        body = answer.read(_LIMIT + 1)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        if ending is not None:
            ending.cancel()
        connection.close()
    return parsed(body) if answer.status == 200 and len(body) <= _LIMIT else None


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended by itself


def parsed(body: bytes) -> Optional[Any]:
    """A configuration from its JSON; None where it is none."""
    try:
        found = json.loads(_reading.text(body))
        _reading.raw(json.dumps(found, ensure_ascii=False))  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _unix(path: str, process: Process) -> socket.socket:
    """A connection to a socket that this very process listens at."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(_SECONDS)
    try:
        found.connect(_reading.raw(path))
        credentials = found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        found.close()
        raise
    if struct.unpack("3i", credentials)[0] != process.pid:
        found.close()
        raise OSError("another process listens there")
    return found


def _holds(machine: Any, process: Process, port: int) -> bool:
    """Whether a process, and none beside it, listens at a port: anybody might where it does not."""
    listening: Set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in _lines("%s/net/%s" % (machine.proc, table))[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                listening.add("socket:[%s]" % fields[9])
    return bool(listening) and listening <= _handles("%s/%d/fd" % (machine.proc, process.pid))


def _handles(folder: str) -> Set[str]:
    found = set()
    try:
        for name in os.listdir(folder):
            found.add(os.readlink("%s/%s" % (folder, name)))
    except OSError:
        pass
    return found


def _lines(path: str) -> List[str]:
    try:
        with open(path, "rb") as handle:
            return handle.read(_LIMIT).decode("ascii", "replace").splitlines()
    except OSError:
        return []
