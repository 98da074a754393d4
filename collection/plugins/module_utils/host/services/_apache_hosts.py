# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the virtual hosts of an Apache show to whom: listeners, names, certificates."""

import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _reach
from ._apache_syntax import Directive, Host, Reading

_ADDRESS = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}|\*))?")
_UNRESOLVED = re.compile(r"\$\{([^}]*)\}")
_HTTPS = 443
_EVERY = ("*", "_default_", "0.0.0.0")  # noqa: S104 - spellings of "every address"


class Address(NamedTuple):
    """An address (or `*`) and a port; a port of 0 is any."""

    host: str
    port: int


class Pair(NamedTuple):
    """A certificate with its key (None: in the same file), and the directive that names it."""

    certificate: str
    key: Optional[str]
    directive: Directive


class Hosts:
    """The main server and all virtual hosts; `report_bindings` writes what handshakes reach."""

    def __init__(self, reading: Reading, report: Any, service: str) -> None:
        self.reading = reading
        self.report = report
        self.service = service
        self.protocols: Dict[Address, str] = {}
        self.listens = [one for one in map(self._listen, reading.main.all("listen")) if one is not None]
        self.managed = self._managed()

    def report_bindings(self) -> None:
        chains: Dict[Address, List[Host]] = {}
        addresses: Dict[int, List[Address]] = {}
        for host in self.reading.hosts:
            found = _unique(one for one in map(self._address, host.addresses) if one is not None)
            addresses[id(host)] = found
            for address in found:
                chains.setdefault(address, []).append(host)
        reached_by = _chain_of_each_listener(self.listens, list(chains))
        self.report.listens(self.service, reached_by)
        listeners: Dict[Optional[Address], List[str]] = {}
        for listener, chain in reached_by.items():
            listeners.setdefault(chain, []).append(listener)
        claims = {chain: _reach.Claims(True) for chain in chains}
        for host in [self.reading.main] + self.reading.hosts:
            self._name_other_modules(host)
        for host in self.reading.hosts:
            names = self._names(host)
            reached: List[Tuple[str, List[str]]] = []
            for address in addresses[id(host)]:
                owned = claims[address].claim(host, names)
                default = chains[address][0]
                if (owned or default is host) and self._tls(default):
                    reached.extend((listener, owned) for listener in listeners.get(address, ()))
            if self._tls(host):
                self._report(host, names, _reach.grouped(reached))
        if None in listeners and self._tls(self.reading.main):
            self._report(self.reading.main, [], [_reach.Face([], listeners[None])])

    def _name_other_modules(self, host: Host) -> None:
        for directive in host.directives:
            if directive.name in ("gnutlscertificatefile", "nssnickname", "tlscertificate"):
                self._warn("certificates of this module are not read: %s" % directive.name, directive)

    def _listen(self, directive: Directive) -> Optional[Address]:
        value = directive.arguments[0] if directive.arguments else ""
        address = Address("*", int(value)) if re.fullmatch("[0-9]{1,5}", value) else _address(value)
        if address is None or address.port == 0:
            self._warn("Listen %s is not understood" % value, directive)
            return None
        usual = "https" if address.port == _HTTPS else "http"
        self.protocols.setdefault(address, (directive.arguments[1:2] or [usual])[0].lower())
        return address

    def _address(self, value: str) -> Optional[Address]:
        address = _address(value)
        if address is None:
            self.report.warning("the address %s of a virtual host is not understood" % value)
        return address

    def _tls(self, host: Host) -> bool:
        engine = host.last("sslengine") or self.reading.main.last("sslengine")
        if engine is None:
            return self._protocol(host) == "https"
        value = engine.arguments[0].lower() if engine.arguments else "off"
        if value == "optional":
            self._warn("SSLEngine optional: no handshake at once, nothing is looked for there", engine)
        return value == "on"

    def _protocol(self, host: Host) -> str:
        """What a virtual host speaks that does not say whether it has TLS: what its listener speaks.

        A listener on its very address comes before one that only has its port (listen.c).
        """
        said = host.last("protocol") or self.reading.main.last("protocol")
        if said is not None and said.arguments:
            return said.arguments[0].lower()
        own = [one for one in map(_address, host.addresses) if one is not None]
        exact = [self.protocols[address] for address in own if address in self.protocols]
        near = [
            protocol
            for address in own
            for listen, protocol in self.protocols.items()
            if listen.port == address.port
        ]
        return (exact + near + ["http"])[0]

    def _names(self, host: Host) -> List[str]:
        name = host.last("servername")
        values = (
            [re.sub(r"^[a-z]+://", "", name.arguments[0]).split(":")[0]] if name and name.arguments else []
        )
        for directive in host.all("serveralias"):
            values.extend(directive.arguments)
        found: List[str] = []
        for value in values:
            spelled = self._spelled(value, host)
            if spelled is not None and spelled not in found:
                found.append(spelled)
        return found

    def _spelled(self, value: str, host: Host) -> Optional[str]:
        plain = _reach.plain(value)
        if plain is None and ("*" in value or "?" in value):
            return _reach.pattern(value)
        if plain is None:
            self.report.warning(
                "the server name %s cannot be asked for" % value[:100], host.place.file, host.place.number
            )
        return plain

    def _report(self, host: Host, names: List[str], faces: List[_reach.Face]) -> None:
        if not faces:
            self.report.warning(
                "no handshake reaches this virtual host: others have its names, or nothing listens there",
                host.place.file,
                host.place.number,
            )
            faces = [_reach.Face(names, [])]
        managed = next((self.managed[name] for name in names if name in self.managed), None)
        if managed is not None:
            for face in faces:
                self._managed_binding(managed, face)
            return
        pairs = self._pairs(host)
        if not pairs:
            message = "a TLS virtual host without a certificate"
            self.report.warning(message, host.place.file, host.place.number)
        chain = host.last("sslcertificatechainfile") or self.reading.main.last("sslcertificatechainfile")
        for pair in pairs:
            for face in faces:
                self._binding(pair, chain, face)

    def _pairs(self, host: Host) -> List[Pair]:
        certificates = host.all("sslcertificatefile") or self.reading.main.all("sslcertificatefile")
        keys = host.all("sslcertificatekeyfile") or self.reading.main.all("sslcertificatekeyfile")
        values = [directive.arguments[0] for directive in keys if directive.arguments]
        return [
            Pair(one.arguments[0], values[position] if position < len(values) else None, one)
            for position, one in enumerate(certificates)
            if one.arguments
        ]

    def _binding(self, pair: Pair, chain: Optional[Directive], face: _reach.Face) -> None:
        issuers = chain.arguments[0] if chain is not None and chain.arguments else None
        reasons = [why for why in map(_unresolved, (pair.certificate, pair.key, issuers)) if why]
        self.report.binding(
            self.service,
            pair.directive.file,
            pair.directive.line,
            None if reasons else self.reading.path(pair.certificate),
            key=None if pair.key is None else self.reading.path(pair.key),
            chain=None if issuers is None else self.reading.path(issuers),
            names=face.names,
            listeners=face.listeners,
            problems=[("unresolved", why) for why in reasons],
        )

    def _managed(self) -> Dict[str, Directive]:
        """The names that mod_md gets certificates for, by the directive that says so."""
        found: Dict[str, Directive] = {}
        for host in [self.reading.main] + self.reading.hosts:
            for directive in host.all("mdomain"):
                for name in directive.arguments:
                    if name.lower() not in ("auto", "manual"):
                        found.setdefault(name.lower(), directive)
        return found

    def _managed_binding(self, directive: Directive, face: _reach.Face) -> None:
        store = self.reading.main.last("mdstoredir")
        folder = self.reading.path(store.arguments[0] if store is not None and store.arguments else "md")
        folder = os.path.join(folder, "domains", directive.arguments[0])
        self.report.binding(
            self.service,
            directive.file,
            directive.line,
            os.path.join(folder, "pubcert.pem"),
            key=os.path.join(folder, "privkey.pem"),
            names=face.names,
            listeners=face.listeners,
            managed_by="mod_md",
        )

    def _warn(self, message: str, directive: Directive) -> None:
        self.report.warning(message, directive.file, directive.line)


def _address(value: str) -> Optional[Address]:
    match = _ADDRESS.fullmatch(value.lower())
    if match is None or not match.group(1):
        return None
    port = match.group(2)
    return Address(
        "*" if match.group(1) in _EVERY else match.group(1), int(port) if port and port != "*" else 0
    )


def _text(address: Address) -> str:
    return "%s:%d" % (address.host, address.port)


def _unique(addresses: Iterable[Address]) -> List[Address]:
    return list(dict.fromkeys(addresses))


def _chain_of_each_listener(listens: List[Address], chains: List[Address]) -> Dict[str, Optional[Address]]:
    """Which virtual hosts a connection to each listener meets: those of one address of <VirtualHost>.

    Apache looks for the address itself first, then for `*`; of several that fit (a port may be
    any) the first in the configuration has it. Where none fits, the main server answers: None.
    """
    found: Dict[str, Optional[Address]] = {}
    by_host: Dict[str, List[Address]] = {}
    by_port: Dict[int, List[Address]] = {}
    for chain in chains:
        by_host.setdefault(chain.host, []).append(chain)
        by_port.setdefault(chain.port, []).append(chain)
    for listen in listens:
        hosts = [listen.host]
        if listen.host in ("*", "[::]"):
            near = by_port.get(listen.port, []) + by_port.get(0, [])
            hosts += [chain.host for chain in near if listen.host == "*" or chain.host.startswith("[")]
        for host in hosts:
            fitting = (
                chain
                for known in ((host, "*") if host != "*" else ("*",))
                for chain in by_host.get(known, ())
                if chain.port in (0, listen.port)
            )
            found.setdefault(_text(Address(host, listen.port)), next(fitting, None))
    return found


def _unresolved(value: Optional[str]) -> Optional[str]:
    if value is None:
        return None
    if value.startswith("pkcs11:"):
        return "pkcs11: lies in a token, not in a file"
    match = _UNRESOLVED.search(value)
    if match:
        return "%s: ${%s} is not defined" % (value, match.group(1))
    return None if value else "an empty path"
