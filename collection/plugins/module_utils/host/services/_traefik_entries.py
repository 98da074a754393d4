# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Traefik listens, and where it means to speak TLS.

Whoever begins a TLS handshake at any TCP entry point gets an answer, from one store of certificates
that all of them share; only an entry point that hands every connection on as it comes does not. Named
are those that are meant for TLS, where that can be told.
"""

import re
from typing import Any, Dict, List, NamedTuple, Set

from ._traefik_tree import Node, at, entries, is_set, text, texts

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]*\]|[^:/\[\]]*):([0-9]{1,5})(?:/(tcp|udp))?", re.IGNORECASE)
_PLAIN_PORT = ":80"
INTERNAL = "traefik"


class Entry(NamedTuple):
    """An entry point: its listener, whether it is meant for TLS, and whether only to lead elsewhere."""

    listener: str
    tls: bool
    leads_away: bool
    default: bool


class Entries:
    """The entry points of one Traefik and what routers make of them."""

    def __init__(self, root: Node, report: Any, service: str, file: str) -> None:
        self.report = report
        self.file = file
        self.found: Dict[str, Entry] = {}
        self._plain: Set[str] = set()
        self._meant: Set[str] = set()
        told = [(name.lower(), one) for name, one in entries(at(root, "entryPoints"))]
        for name, one in told:
            self._add(name, one)
        if not [name for name, _one in told if name != INTERNAL]:
            self.found["http"] = Entry("*:80", False, False, False)
        report.listens(service, [one.listener for one in self.found.values()])
        self.others = other_providers(root)

    def _add(self, name: str, one: Node) -> None:
        address = text(at(one, "address"))
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match.group(2)) > 65535:
            message = "the address %r of the entry point %s is none that is known here" % (
                address[:100],
                name,
            )
            self.report.warning(message, self.file or None, one.line or None)
            return
        if (match.group(3) or "tcp").lower() == "udp":
            return
        host = match.group(1).lower()
        if host.strip("[]") in ("", "0.0.0.0", "::"):  # noqa: S104 - to Go all of them are every address
            host = "*"
        secure = is_set(at(one, "http", "tls")) or at(one, "tls") is not None  # the latter of version 1
        away = at(one, "http", "redirections", "entryPoint") is not None
        listener = "%s:%d" % (host, int(match.group(2)))
        self.found[name] = Entry(listener, secure, away, is_set(at(one, "asDefault")))

    def routers(self, root: Node) -> None:
        """Notes at which entry points the routers of a dynamic configuration speak TLS, and where plainly."""
        for _name, one in entries(at(root, "http", "routers")):
            if is_set(at(one, "tls")):
                self._meant.update(self._of(one))
        for _name, one in entries(at(root, "tcp", "routers")):
            if not is_set(at(one, "tls")):
                self._plain.update(self._of(one))
            elif not is_set(at(one, "tls", "passthrough")):
                self._meant.update(self._of(one))

    def _of(self, router: Node) -> List[str]:
        told = [name.lower() for name in texts(at(router, "entryPoints"))]
        marked = [name for name, one in self.found.items() if one.default]
        return told or marked or [name for name in self.found if name != INTERNAL]

    def secure(self) -> List[str]:
        """The listeners at which certificates are looked for: those meant for TLS, else those that may be."""
        meant = {name for name, one in self.found.items() if one.tls}
        meant |= {name for name in self._meant if name in self.found and not self.found[name].leads_away}
        may_be = [
            name
            for name, one in self.found.items()
            if name != INTERNAL and not one.leads_away and name not in self._plain
        ]
        likely = [name for name in may_be if not self.found[name].listener.endswith(_PLAIN_PORT)]
        chosen = set(likely or may_be) if not meant else meant | set(likely if self.others else ())
        return list(dict.fromkeys(one.listener for name, one in self.found.items() if name in chosen))


def other_providers(root: Node) -> List[str]:
    """The providers whose words are not seen here: Docker, Kubernetes, stores of keys and values."""
    skipped = ("file", "providersthrottleduration", "precedence")
    found = [name for name, one in entries(at(root, "providers")) if is_set(one)]
    return sorted(name for name in found if name.lower() not in skipped)
