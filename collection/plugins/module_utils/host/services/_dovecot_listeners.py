# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the listeners of a Dovecot show to whom."""

import ipaddress
import os
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .. import facts
from ._dovecot_filters import Filters, sample
from ._dovecot_syntax import Section, Value
from ._netbase import Netbase, listener

# What is built in: service, its protocol, its listeners with their ports, and whether TLS comes first.
_SERVICES: Tuple[Tuple[str, str, Tuple[Tuple[str, str, bool], ...]], ...] = (
    ("imap-login", "imap", (("imap", "143", False), ("imaps", "993", True))),
    ("pop3-login", "pop3", (("pop3", "110", False), ("pop3s", "995", True))),
    ("submission-login", "submission", (("submission", "587", False), ("submissions", "465", True))),
    ("managesieve-login", "sieve", (("sieve", "4190", False),)),
    ("lmtp", "lmtp", ()),
)
_STARTTLS = {"imap": "imap", "pop3": "pop3", "submission": "smtp", "sieve": "sieve", "lmtp": "lmtp"}
_Pair = Tuple[Value, Optional[Value]]


class Endpoint(NamedTuple):
    """An address and port where a service listens."""

    address: str
    port: int
    protocol: str
    first: bool  #: whether TLS is first

    def listener(self) -> str:
        """As the contract writes it."""
        return listener(self.address, self.port, None if self.first else _STARTTLS[self.protocol])


class Listeners:
    """All listeners of one instance. `told` is what doveconf prints, where it does."""

    def __init__(self, written: Section, told: Optional[Section], report: Any, service: str) -> None:
        self.root = told or written
        self.told = told
        self.report = report
        self.service = service
        self.net = Netbase(report.reader)
        self.filters = Filters(written, report)
        self.found: Dict[Tuple[_Pair, Tuple[str, ...]], List[str]] = {}

    def report_bindings(self) -> None:
        whole = self.report.partly(self._reach)
        for (pair, names), listeners in self.found.items():
            self._bind(pair, names, listeners)
        self._unreached(whole)
        self._unwritten()

    def _reach(self) -> None:
        for endpoint in self._endpoints():
            self._endpoint(endpoint)

    def _bind(self, pair: _Pair, names: Tuple[str, ...], listeners: List[str]) -> None:
        certificate, key = pair
        path, private = _file(certificate), key and _file(key)
        problems = []
        if path is None:
            problems.append(("unresolved", "the certificate stands in the configuration itself"))
        elif private is None:
            problems.append(("unresolved", "the private key of %s is in no file that is known" % path))
        self.report.binding(
            self.service,
            certificate.file,
            certificate.line,
            path,
            key=private,
            names=names,
            listeners=listeners,
            problems=problems,
            keyless=private is None,
        )

    def _endpoint(self, endpoint: Endpoint) -> None:
        address = None if endpoint.address in ("*", "::") else ipaddress.ip_address(endpoint.address)
        usual = self.filters.shown(address, None, endpoint.protocol)
        if not usual.secure:
            return
        self._note(endpoint, usual.pairs, (), usual.conflict)
        by_pairs: Dict[Tuple[_Pair, ...], List[str]] = {}
        for name in self.filters.names(address, endpoint.protocol):
            self.report.reader.tick()
            shown = self.filters.shown(address, sample(name), endpoint.protocol)
            if shown.conflict is not None:
                self._note(endpoint, (), (name,), shown.conflict)
            elif shown.pairs != usual.pairs:
                by_pairs.setdefault(shown.pairs, []).append(name)
        for pairs, names in by_pairs.items():
            self._note(endpoint, pairs, tuple(names), None)

    def _note(
        self, endpoint: Endpoint, pairs: Tuple[_Pair, ...], names: Tuple[str, ...], conflict: Optional[Value]
    ) -> None:
        if conflict is not None:
            self.report.warning(
                "settings contradict each other at %s for %s: Dovecot ends such connections"
                % (endpoint.listener(), ", ".join(names) or "no name"),
                conflict.file,
                conflict.line,
            )
            return
        if not pairs and not names:
            self.report.warning("TLS without a certificate at %s" % endpoint.listener())
        for pair in pairs:
            where = self.found.setdefault((pair, names), [])
            if endpoint.listener() not in where:
                where.append(endpoint.listener())

    def _unreached(self, whole: bool) -> None:
        """What is named in the configuration and shown to nobody here is told all the same."""
        seen = {(pair[0].file, pair[0].line) for pair, _names in self.found}
        for certificate, key, where in self.filters.certificates():
            if (certificate.file, certificate.line) not in seen:
                told = "clients of a certain address alone are" if where.remote else "no handshake is"
                if whole:
                    self.report.warning(
                        "%s shown this certificate" % told, certificate.file, certificate.line
                    )
                self._bind((certificate, key), (), [])

    def _unwritten(self) -> None:
        """A certificate that doveconf knows of and no file that we have read names."""
        if self.told is None:
            return
        known = {certificate.text for certificate, _key, _where in self.filters.certificates()}
        for certificate, _key, _where in Filters(self.told).certificates():
            if certificate.text not in known:
                message = "doveconf names %s, and no file that could be read does" % certificate.text
                self.report.binding(
                    self.service,
                    certificate.file,
                    1,
                    None,
                    problems=[("unresolved", message)],
                )

    def _endpoints(self) -> List[Endpoint]:
        """Every address and port with TLS, first or later."""
        if self.root.text("ssl", "yes") == "no":
            return []
        enabled = self._list("protocols", "imap pop3 lmtp")
        found = []
        for name, protocol, listeners in self._services():
            if protocol and protocol not in enabled:
                continue
            for one in listeners:
                found.extend(self._of_listener(name, protocol, one))
        return found

    def _list(self, name: str, default: str) -> List[str]:
        """A list: one text, or since 2.4 a section of words with `yes`."""
        section = self.root.children.get((name, ""))
        if section is not None:
            return [word for word, value in section.settings.items() if value.text == "yes"]
        return self.root.text(name, default).replace(",", " ").split()

    def _services(self) -> List[Tuple[str, str, List[Section]]]:
        """(name, protocol, inet_listeners) of each service."""
        built_in = {} if self.told else {name: (protocol, has) for name, protocol, has in _SERVICES}
        written = {name: child for (kind, name), child in self.root.children.items() if kind == "service"}
        found = []
        for name in list(dict.fromkeys([*built_in, *written])):
            section = written.get(name) or Section("service", name)
            protocol, usual = built_in.get(name, ("", ()))
            listeners = {one: Section("inet_listener", one) for one, _port, _first in usual}
            for one, port, first in usual:
                listeners[one].settings["port"] = Value(port, "", 0)
                listeners[one].settings["ssl"] = Value("yes" if first else "no", "", 0)
            for (kind, one), child in section.children.items():
                if kind == "inet_listener":
                    listeners.setdefault(one, Section(kind, one)).settings.update(child.settings)
            found.append((name, section.text("protocol", protocol), list(listeners.values())))
        return found

    def _of_listener(self, service: str, protocol: str, one: Section) -> List[Endpoint]:
        first = one.text("ssl") == "yes"
        port = self.net.port(one.text("port", "0"))
        if port is None or (not first and protocol not in _STARTTLS):
            return []
        wanted = (one.text("address") or one.text("listen")).replace(",", " ").split()
        words = wanted or self._list("listen", "*, ::")
        addresses = [known for word in words for known in self._known(word)]
        if one.text("haproxy") == "yes":
            self.report.warning("%s %s expects a proxy: no handshake is made there" % (service, one.name))
            return []
        found = [Endpoint(address, port, protocol, first) for address in addresses]
        self.report.listens(self.service, [where.listener() for where in found])
        return found

    def _known(self, word: str) -> List[str]:
        """The addresses that a word of `listen` stands for, with those that filters single out."""
        word = word.strip("[]")
        if word in ("*", "::", "0.0.0.0"):  # noqa: S104 - read, not bound
            family = 6 if word == "::" else 4
            if family == 6 and not self.net.has_ipv6():
                return []
            return ["::" if family == 6 else "*", *self._singled_out(family)]
        try:
            return [str(ipaddress.ip_address(word))]
        except ValueError:
            found = self.net.addresses(word)
            if not found:
                self.report.warning("%s is not in /etc/hosts: what listens there is not known" % word)
            return found

    def _singled_out(self, family: int) -> List[str]:
        """The host's own addresses that a `local` section has settings for."""
        found: Set[str] = set()
        own = [ipaddress.ip_address(one) for one in ["127.0.0.1", "::1", *facts.addresses()]]
        for network in self.filters.singled_out():
            if network.version == family:
                if network.num_addresses == 1:
                    found.add(str(network.network_address))
                found.update(str(one) for one in own if one in network)
        return sorted(found)


def _file(value: Value) -> Optional[str]:
    """The file that a value names; None where the value is the thing itself."""
    if not value.of_file and not value.text.startswith("/"):
        return None
    return os.path.join(os.path.dirname(value.file), value.text)
