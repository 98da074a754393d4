"""Where the URL of a CA may lead: the Internet, and networks that the operator has named; nowhere else.

A URL that a person gave, or a CA returned, must not make us ask what stands beside us: a cloud's metadata
service, a neighbour's console, ourselves (OWASP, server-side request forgery).
"""

import ipaddress
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx

from notafter.domain.errors import CaUnreachable, NotADirectory, OutOfReach

_HTTPS = 443
#: What carries an IPv4 address to somewhere else (RFC 6052 §2.1, RFC 3056 §2).
_CARRIERS = tuple(ipaddress.IPv6Network(one) for one in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))


@dataclass(frozen=True)
class Way:
    """How a URL is asked: at one address that was looked at, by the name that it has."""

    url: httpx.URL
    host: str
    authority: str


@dataclass(frozen=True)
class Reach:
    """Where a CA may be."""

    #: Beside the Internet: `10.0.0.0/8` for a CA of one's own.
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def ways(self, url: str) -> list[Way]:
        """Return how a URL is asked, one way for each of its addresses; refuse one that leads elsewhere.

        The name is not looked up again: another answer of its DNS would lead where nobody has looked.
        """
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise NotADirectory(f"{url} is no address") from error
        if parsed.scheme != "https" or not parsed.host:
            raise NotADirectory(f"{url} is not an https address")
        if parsed.userinfo:
            raise NotADirectory(f"{parsed.host}: the address of a CA has no user name in it")
        found = _addresses(parsed)
        for address in found:
            if not self._allows(address):
                raise OutOfReach(
                    f"{url} leads to {address}, which is not on the Internet: if a CA of your own is there,"
                    " name its network in NOTAFTER_CA_NETWORKS"
                )
        authority = parsed.netloc.decode("ascii")
        return [Way(parsed.copy_with(host=str(one)), parsed.host, authority) for one in found]

    def _allows(self, address: IPv4Address | IPv6Address) -> bool:
        if any(address in network for network in self.networks if network.version == address.version):
            return True
        carried = any(address in carrier for carrier in _CARRIERS if address.version == carrier.version)
        return address.is_global and not address.is_multicast and not carried


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a text with commas between them; raises ValueError with what is none."""
    found = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(one))
        except ValueError as error:
            raise ValueError(f"{one!r} is no address, or no network: it must end in zeros") from error
    return tuple(found)


def _addresses(url: httpx.URL) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(url.host, url.port or _HTTPS, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CaUnreachable(f"{url.host} has no address: {error}") from error
    texts = dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found)
    return [_plain(ipaddress.ip_address(text)) for text in texts]


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address only writes otherwise (RFC 4291 §2.5.5.2)."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
