# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until the servers that are authoritative for a TXT record show it, before the CA looks for it.

No resolver is asked for the record: what a resolver was told too early it remembers, and the CA may
use the same. Nothing is asked of anybody outside. acme.sh sleeps meanwhile; a `sleep` of ours ends
that when the records are there.
"""

import os
import re
import shlex
import shutil
import socket
import time
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import commands, dns, txt_records

#: Seconds that records have to spread; then the CA is asked all the same.
LONGEST = 120
#: What is waited where no authoritative server can be found or asked.
BLIND = 20
_PAUSE = 1.0
_STEPS = 16
_MOST_SERVERS = 13
_RESOLVERS = "/etc/resolv.conf"
_SLEEPS = b" to wait for the the TXT records"

_SCRIPT = """#!/bin/sh
if [ "$*" != %(longest)d ]; then
  exec %(sleep)s "$@"
fi
left=$1
while [ "$left" -gt 0 ] && [ ! -e %(seen)s ]; do
  %(sleep)s 1
  left=$((left - 1))
done
exit 0
"""


class Circle(Exception):
    """CNAME records lead back to where they began."""


class Unknown(Exception):
    """No server that would know can be found or asked."""


class Server(NamedTuple):
    """One address of a name server."""

    name: str
    address: str


def longest(timeout: float) -> int:
    """How many seconds records have within an attempt of so many."""
    return max(1, min(LONGEST, int(timeout / 2)))


class Propagation:
    """Looks on while acme.sh waits for its TXT records to spread."""

    def __init__(self, folder: str) -> None:
        self._seen = os.path.join(folder, "seen")
        self._since: Optional[float] = None
        self._next = 0.0
        self._done = False
        #: What was not there when it was looked for last, in words.
        self.missing = ""

    def put_before_sleep(self, folder: str, seconds: Optional[int]) -> None:
        """Puts a `sleep` into the attempt's search path that ends when the records are seen."""
        sleep = shutil.which("sleep", path=commands.SEARCH_PATH)
        if seconds is None or sleep is None:
            self._done = True
            return
        values = {"longest": seconds, "sleep": shlex.quote(sleep), "seen": shlex.quote(self._seen)}
        handle = os.open(
            os.path.join(folder, "sleep"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700
        )
        with os.fdopen(handle, "w") as stream:
            stream.write(_SCRIPT % values)

    def look(self, said: bytes) -> None:
        """Asks the authoritative servers, now and then, once acme.sh has begun to wait."""
        if self._done or _SLEEPS not in said or time.monotonic() < self._next:
            return
        if self._since is None:
            self._since = time.monotonic()
        blind = False
        try:
            self.missing = "; ".join(missing(txt_records.added(said)))
        except Circle as error:
            self.missing, blind = str(error), True
        except Unknown as error:
            self.missing, blind = str(error), time.monotonic() - self._since > BLIND
        if blind or not self.missing:
            self._done = True
            with open(self._seen, "w"):
                pass
        self._next = time.monotonic() + _PAUSE


def missing(records: List[Tuple[str, str]]) -> List[str]:
    """Which servers do not show which record; a sentence each."""
    values: Dict[str, List[str]] = {}
    for name, value in records:
        values.setdefault(name, []).append(value)
    found = []
    for name, wanted in values.items():
        for server, shown in shown_by(name):
            if not set(wanted) <= set(shown):
                told = (name, server.name, server.address)
                found.append("the TXT record of %s is not yet to be seen at %s (%s)" % told)
    return found


def shown_by(name: str) -> List[Tuple[Server, List[str]]]:
    """Each authoritative server of a name, or of what it is an alias of, with the TXT records it shows."""
    name, servers = name.lower(), _above(name.lower())
    passed = [name]
    for _step in range(_STEPS):
        answer = _first_answer(servers, name)
        alias = answer.values(name, dns.CNAME)
        below = [] if answer.answers or answer.authoritative else _referred(answer, servers)
        if alias:
            name = alias[0]
            if name in passed:
                raise Circle("CNAME records lead in a circle: %s" % " -> ".join([*passed, name]))
            passed.append(name)
            servers = _above(name)
        elif below:
            servers = below
        else:
            return _texts(servers, name)
    raise Unknown("%s leads through more than %d CNAME records and zones" % (passed[0], _STEPS))


def _texts(servers: List[Server], name: str) -> List[Tuple[Server, List[str]]]:
    found = []
    for server in servers:
        answer = _asked(server, name)
        if answer is not None:
            found.append((server, answer.values(name, dns.TXT)))
    if not found:
        raise Unknown("no authoritative server of %s answers" % name)
    return found


def _asked(server: Server, name: str) -> Optional[dns.Answer]:
    try:
        answer = dns.ask(server.address, name, dns.TXT)
    except OSError:
        return None
    return answer if answer.code in (dns.NO_ERROR, dns.NO_SUCH_NAME) else None


def _first_answer(servers: List[Server], name: str) -> dns.Answer:
    for server in servers:
        answer = _asked(server, name)
        if answer is not None:
            return answer
    raise Unknown("no authoritative server of %s answers" % name)


def _above(name: str) -> List[Server]:
    """The servers of the highest zone above a name that has some and is no top-level domain.

    Deeper ones are found from there. The resolver is asked for nothing near the record: what it is
    told not to exist it remembers with all that is below (RFC 8020).
    """
    labels = name.split(".")
    for size in range(2, len(labels)):
        zone = ".".join(labels[-size:])
        for resolver in _resolvers():
            try:
                answer = dns.ask(resolver, zone, dns.NS, recursive=True)
            except OSError:
                continue
            names = answer.values(zone, dns.NS)
            if names:
                return _with_addresses(names, answer.additional)
            break
    raise Unknown("no name server is known for %s" % name)


def _referred(answer: dns.Answer, asked: List[Server]) -> List[Server]:
    """The servers of the zone below that an answer refers to."""
    names = [one.value for one in answer.authority if one.kind == dns.NS]
    found = _with_addresses(names, answer.additional) if names else []
    return [] if set(found) == set(asked) else found


def _with_addresses(names: List[str], additional: List[dns.Record]) -> List[Server]:
    found = []  # type: List[Server]
    for name in names[:_MOST_SERVERS]:
        given = [one.value for one in additional if one.name == name and one.kind in (dns.A, dns.AAAA)]
        found += [Server(name, address) for address in given or _addresses(name) if address]
    return found[:_MOST_SERVERS]


def _addresses(name: str) -> List[str]:
    try:
        known = socket.getaddrinfo(name, dns.PORT, 0, socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(one[4][0]) for one in known})


def _resolvers() -> List[str]:
    try:
        with open(_RESOLVERS, encoding="latin-1") as stream:
            return re.findall(r"^nameserver\s+([0-9A-Fa-f.:]+)", stream.read(), re.MULTILINE)[:3]
    except OSError:
        return []
