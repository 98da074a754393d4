# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and ports as the places to look at, within bounds."""

from __future__ import annotations

import ipaddress
import itertools
import re
import typing as t

from ..module_utils.host import starttls
from ..module_utils.host.errors import Refused
from ..module_utils.host.handshake import HOST_NAME

#: A /20 with one port, or a /24 with all of DEFAULT_PORTS.
PLACES_LIMIT = 8192
#: What is spoken at a port that is given as a number alone; None is TLS from the first byte.
DEFAULT_PORTS: dict[int, str | None] = {
    21: "ftp",
    25: "smtp",
    110: "pop3",
    143: "imap",
    389: "ldap",
    443: None,
    465: None,
    587: "smtp",
    636: None,
    853: None,
    990: None,
    993: None,
    995: None,
    3306: "mysql",
    4190: "sieve",
    5222: "xmpp",
    5269: "xmpp-server",
    5432: "postgres",
    6443: None,
    8443: None,
    9443: None,
}
_PORT = re.compile(r"(?P<port>[0-9]{1,5})(/(?P<protocol>[a-z0-9-]+))?")


class Port(t.NamedTuple):
    """A port, and what is spoken there before TLS."""

    number: int
    starttls: str | None


def places(networks: t.Iterable[str], ports: t.Iterable[str] | None = None) -> list[dict[str, t.Any]]:
    """Every address of the networks with every port; raises Refused where these are too many."""
    wanted = list(dict.fromkeys(map(port, map(str, ports or DEFAULT_PORTS))))
    blocks = [_block(str(text).strip()) for text in networks]
    count = sum(size for size, _addresses in blocks) * len(wanted)
    if count > PLACES_LIMIT:
        told = f"{count} places are too many for one call, which looks at {PLACES_LIMIT}"
        raise Refused("too_many", f"{told}: name smaller networks or fewer ports")
    addresses = dict.fromkeys(itertools.chain.from_iterable(addresses for _size, addresses in blocks))
    return [
        {"address": address, "port": number, "starttls": protocol}
        for address in addresses
        for number, protocol in wanted
    ]


def port(text: str) -> Port:
    """A port such as `443`, `25` (SMTP, as is usual there), `2525/smtp` or `25/tls` (TLS at once)."""
    match = _PORT.fullmatch(text.strip())
    number = int(match["port"]) if match else 0
    if match is None or not 0 < number < 65536:
        raise Refused("bad_port", f"{text!r} is no port; write 443 or 25/smtp")
    protocol = match["protocol"]
    if protocol is None:
        return Port(number, DEFAULT_PORTS.get(number))
    if protocol != "tls" and protocol not in starttls.PROTOCOLS:
        raise Refused("bad_port", f"{text!r}: {protocol!r} is none of tls, {', '.join(starttls.PROTOCOLS)}")
    return Port(number, None if protocol == "tls" else protocol)


def _block(text: str) -> tuple[int, t.Iterable[str]]:
    """How many addresses a network has, and these, made one by one as they are asked for."""
    try:
        network = ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        if HOST_NAME.match(text) and not text.replace(".", "").isdigit():
            return 1, [text]
        raise Refused("bad_network", f"{text!r} is no network, address or host name") from None
    whole = network.num_addresses
    hosts = whole if whole <= 2 or network.version == 6 else whole - 2
    return hosts, map(str, network if hosts == whole else network.hosts())
