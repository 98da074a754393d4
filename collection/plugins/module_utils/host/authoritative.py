# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the servers that are authoritative for a name, and what they say of it.

No resolver is asked for the name itself: what a resolver was told too early it remembers, and the CA
may use the same. Nothing is asked of anybody outside.
"""

import re
import socket
from typing import List, NamedTuple, Optional

from . import dns

_STEPS = 16
_MOST_SERVERS = 13
_RESOLVERS = "/etc/resolv.conf"


class Circle(Exception):
    """CNAME records lead back to where they began."""


class Unknown(Exception):
    """No server that would know can be found or asked."""


class Server(NamedTuple):
    """One address of a name server."""

    name: str
    address: str


class Found(NamedTuple):
    """Who knows about a name: the name that its aliases lead to, its servers, and what the first one said."""

    name: str
    servers: List[Server]
    answer: dns.Answer


def find(name: str, kind: int) -> Found:
    """Who knows these records of a name, or of what it is an alias of; raises Unknown or Circle."""
    name, servers = name.lower(), _above(name.lower())
    passed = [name]
    for _step in range(_STEPS):
        answer = _first_answer(servers, name, kind)
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
            return Found(name, servers, answer)
    raise Unknown("%s leads through more than %d CNAME records and zones" % (passed[0], _STEPS))


def asked(server: Server, name: str, kind: int) -> Optional[dns.Answer]:
    """What one server says of a name; None where it says nothing that counts."""
    try:
        answer = dns.ask(server.address, name, kind)
    except OSError:
        return None
    return answer if answer.code in (dns.NO_ERROR, dns.NO_SUCH_NAME) else None


def _first_answer(servers: List[Server], name: str, kind: int) -> dns.Answer:
    for server in servers:
        answer = asked(server, name, kind)
        if answer is not None:
            return answer
    raise Unknown("no authoritative server of %s answers" % name)


def _above(name: str) -> List[Server]:
    """The servers of the highest zone above a name that has some and is no top-level domain.

    Deeper ones are found from there. The resolver is asked for nothing near the record: what it is
    told not to exist it remembers with all that is below (RFC 8020). Only of a name directly in a
    top-level domain it is asked for its own servers.
    """
    labels = name.split(".")
    for size in range(2, max(3, len(labels))):
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
