# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the listeners of an Exim show to whom."""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import _reading
from ._exim_files import Options, Value, items
from ._exim_strings import Expansion, Unresolved
from ._netbase import Netbase, listener

_PORTED = re.compile(
    r"(?:\[([^\]]+)\]:(\w+)|(\d+\.\d+\.\d+\.\d+)\.(\d+)|([0-9a-fA-F:]+:[0-9a-fA-F:]*)\.(\d+))$"
)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: str
    key: Optional[str]


class Listeners:
    """All listeners of one daemon, and the certificates that they share."""

    def __init__(self, options: Options, arguments: List[str], report: Any, service: str) -> None:
        self.options = options
        self.arguments = arguments
        self.report = report
        self.service = service
        self.net = Netbase(report.reader)

    def report_bindings(self) -> None:
        listeners = self._listeners()
        certificate = self.options.value("tls_certificate")
        if not certificate.text:
            if listeners:
                message = "tls_certificate is not set: Exim signs certificates of its own making"
                self.report.warning(message, certificate.file, certificate.line)
            return
        try:
            usual, by_name = self._pairs(certificate, self.options.value("tls_privatekey"))
        except Unresolved as error:
            self._unresolved(certificate, str(error), listeners)
            return
        gone = [one for one in usual if _reading.status(one.certificate) is None]
        for pair in usual:
            self._bind(certificate, pair, [], listeners)
        if gone and by_name:
            self.report.warning(
                "without %s Exim begins no TLS, whatever name is asked for" % gone[0].certificate,
                certificate.file,
                certificate.line,
            )
            listeners = []
        for pairs, names in by_name.items():
            for pair in pairs:
                self._bind(certificate, pair, names, listeners)

    def _bind(self, place: Value, pair: Pair, names: List[str], listeners: List[str]) -> None:
        if not pair.certificate.startswith("/"):
            self._unresolved(place, "%s is no absolute path" % pair.certificate, listeners)
            return
        problems = []
        if pair.key is None:
            problems.append(("unresolved", "the private key of %s is not found out" % pair.certificate))
        self.report.binding(
            self.service,
            place.file,
            place.line,
            pair.certificate,
            key=pair.key,
            names=names,
            listeners=listeners,
            problems=problems,
            keyless=pair.key is None,
        )

    def _unresolved(self, place: Value, reason: str, listeners: List[str]) -> None:
        message = "tls_certificate = %s: %s" % (place.text, reason)
        self.report.binding(
            self.service,
            place.file,
            place.line,
            None,
            listeners=listeners,
            problems=[("unresolved", message)],
        )

    def _pairs(
        self, certificate: Value, private: Value
    ) -> Tuple[List[Pair], Dict[Tuple[Pair, ...], List[str]]]:
        """What is shown without a name, and by name what differs from it."""
        known = {"primary_hostname": self.options.value("primary_hostname").text}
        shown = Expansion(certificate.text, known, self.report.reader)
        try:
            key: Optional[Expansion] = Expansion(private.text, known, self.report.reader)
        except Unresolved as error:
            key = None
            self.report.warning("tls_privatekey: %s" % error, private.file, private.line)
        usual = _together(shown, key, "")
        by_name: Dict[Tuple[Pair, ...], List[str]] = {}

        def look() -> None:
            for name in shown.candidates() if shown.asks_for_name else ():
                try:
                    found = _together(shown, key, name.replace("*", "notafter-probe", 1))
                except Unresolved as error:
                    self.report.warning("for %s: %s" % (name, error), certificate.file, certificate.line)
                    continue
                if found and found != usual:
                    by_name.setdefault(tuple(found), []).append(name)

        self.report.partly(look)
        return usual, by_name

    def _listeners(self) -> List[str]:
        """Every address and port with TLS; those without TLS are noted."""
        secure = {self.net.port(one) for one in items(self.options.value("tls_on_connect_ports").text)}
        advertised = self._advertises()
        found = []
        for address, port in self._places():
            first = port in secure or "-tls-on-connect" in self.arguments
            where = listener(address, port, None if first else "smtp")
            self.report.listens(self.service, [where])
            if first or advertised:
                found.append(where)
        return list(dict.fromkeys(found))

    def _advertises(self) -> bool:
        hosts = self.options.value("tls_advertise_hosts")
        listed = items(hosts.text)
        if listed and "*" not in listed:
            self.report.warning(
                "STARTTLS is offered to some clients alone: no handshake is made", hosts.file, hosts.line
            )
        return "*" in listed

    def _places(self) -> List[Tuple[str, int]]:
        """The addresses and ports, of which -oX on the command line overrides either kind."""
        given = items(self._argument("-oX"))
        interfaces = [one for one in given if "." in one or ":" in one] or items(
            self.options.value("local_interfaces").text
        )
        names = [one for one in given if "." not in one and ":" not in one] or items(
            self.options.value("daemon_smtp_ports").text
        )
        ports = [port for port in map(self._port, names) if port is not None]
        found: List[Tuple[str, int]] = []
        for item in interfaces or ["0.0.0.0", "::0"]:  # noqa: S104 - read, not bound
            ported = _PORTED.match(item)
            parts = [part for part in ported.groups() if part] if ported else []
            own = [self._port(parts[1])] if parts else ports
            address = (parts[0] if parts else item).strip("[]")
            found.extend((address, port) for port in own if port is not None)
        return [(_wild(address), port) for address, port in found if self._has_family(address)]

    def _argument(self, name: str) -> str:
        words = self.arguments
        return words[words.index(name) + 1] if name in words[:-1] else ""

    def _port(self, name: str) -> Optional[int]:
        port = self.net.port(name)
        if port is None:
            self.report.warning("%s is in no list of services: its port is not known" % name)
        return port

    def _has_family(self, address: str) -> bool:
        disabled = self.options.value("disable_ipv6").text == "true"
        return ":" not in address or (self.net.has_ipv6() and not disabled)


def _wild(address: str) -> str:
    return "::" if address in ("::0", "::") else address


def _together(shown: Expansion, key: Optional[Expansion], name: str) -> List[Pair]:
    """The certificates and keys of two lists; without keys they lie in the certificates' files."""
    certificates = items(shown.of(name))
    try:
        keys: List[Optional[str]] = [] if key is None else list(items(key.of(name)))
    except Unresolved:
        key, keys = None, []
    if key is not None and not keys:
        keys = list(certificates)
    keys += [None] * (len(certificates) - len(keys))
    return [Pair(certificate, private) for certificate, private in zip(certificates, keys)]
