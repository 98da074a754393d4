# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of ProFTPD's servers answers where, for which names, with which certificates."""

import functools
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import _reach, _reading
from ._proftpd_syntax import Directive, Reading, Server

_KINDS = ("rsa", "ec", "dsa")
_SNI_SINCE = [1, 3, 7, 0]
_HOSTS = "/etc/hosts"


#: By server: each listener with what to ask for there.
Reached = Dict[int, List[Tuple[str, List[str]]]]


#: Where that is the same for several doors, the lists are the very same ones.
Leads = Dict[int, List[str]]
#: How many names all doors together may be asked for.
_NAMES_LIMIT = 500000


class Door(NamedTuple):
    """One address and port: the server that has it, and those that are chosen there by name."""

    owner: Server
    named: List[Tuple[Server, List[str]]]

    def inside(self) -> Tuple[int, ...]:
        """Who is behind it; doors with the same servers lead to the same."""
        return (id(self.owner),) + tuple(id(server) for server, _names in self.named)


class Servers:
    """All servers of one configuration, and the doors between them and the network."""

    def __init__(self, reading: Reading, report: Any, service: str) -> None:
        self.reading = reading
        self.report = report
        self.service = service
        self.tight = reading.main.on("socketbindtight")
        self.doors: Dict[Tuple[str, str], Door] = {}
        self._known: Optional[Dict[str, str]] = None
        self._reached: Optional[Reached] = None
        self._reached_all = True

    def report_bindings(self) -> None:
        main = self.reading.main
        if main.value("servertype").lower() == "inetd":
            self._warn("inetd starts it for each session: it has no listener of its own", main)
        else:
            self._open_doors()
        self.report.listens(self.service, [self._listener(place) for place in self.doors])
        for server in [main] + self.reading.servers:
            if "mod_tls" in self.reading.modules and server.on("tlsengine"):
                self._report(server)

    def _open_doors(self) -> None:
        """ProFTPD 1.3.8 src/bindings.c: who comes first has an address; a later one needs an alias."""
        main = self.reading.main
        main.addresses = main.every("defaultaddress") or [os.uname().nodename]
        seen = {self._first(main)}
        for server in self.reading.servers:
            if self._first(server) in seen and not self._names_of(server):
                server.addresses = []  # dropped when it is read, whatever else it says
            seen.add(self._first(server))
        if main.on("defaultserver") and not self.tight:
            main.addresses = ["0.0.0.0"]  # noqa: S104 - read, not bound
        self._open(main, [])
        for server in self.reading.servers:
            self._open(server, self._names_of(server))
        self._widen(main)

    def _first(self, server: Server) -> Tuple[str, str]:
        address = self._address(server.addresses[0], server) if server.addresses else ""
        return address, server.value("port", "21")

    @staticmethod
    def _names_of(server: Server) -> List[str]:
        return [one for one in server.addresses if not _is_address(one)] + server.every("serveralias")

    def _open(self, server: Server, names: List[str]) -> None:
        port = server.value("port", "21")
        if not re.fullmatch(r"[0-9]{1,5}", port) or port == "0":
            return
        lower = [name.lower() for name in names]
        for address in server.addresses:
            self.report.reader.tick()
            place = (self._address(address, server), port)
            if place not in self.doors:
                self.doors[place] = Door(server, [])
            elif self.doors[place].owner is not server and not names:
                self._warn("%s:%s is another server's" % place, server)
                continue
            if lower:
                self.doors[place].named.append((server, lower))

    def _widen(self, main: Server) -> None:
        """The only server of a port is reached at every address of the host."""
        port = main.value("port", "21")
        place = (self._address(os.uname().nodename, main), port)
        alone = [one for one in self.doors if one[1] == port] == [place]
        if alone and not main.every("defaultaddress") and not self.tight:
            self.doors["*", port] = self.doors.pop(place)

    def _address(self, text: str, server: Server) -> str:
        """An address as a listener has it; a name is looked up in this host's own table alone."""
        if text in ("0.0.0.0", "*"):  # noqa: S104 - read, not bound
            return "*"
        if os.path.isdir("/sys/class/net/%s" % text.replace("/", "")) and not _is_address(text):
            self._warn("the addresses of the interface %s are not looked up" % text, server)
        text = text.strip("[]")
        found = text if _is_address(text) else self._table().get(text.lower(), text)
        return "[%s]" % found if ":" in found else found

    def _table(self) -> Dict[str, str]:
        if self._known is None:
            self._known = {}
            try:
                lines = self.report.reader.config(_HOSTS).splitlines()
            except _reading.Unreadable:
                lines = []
            for line in lines:
                words = line.partition("#")[0].split()
                for name in words[1:]:
                    self._known.setdefault(name.lower(), words[0])
        return self._known

    def _report(self, server: Server) -> None:
        faces = self._faces(server)
        uses = [one for one in (server.first("tls%scertificatefile" % kind) for kind in _KINDS) if one]
        bundle = server.first("tlspkcs12file")
        if not uses and bundle is None:
            self._warn("TLS without a certificate", server)
        if not faces and self.doors and self._reached_all:
            self._warn("no handshake reaches this server", server)
        for face in faces or [_reach.Face([], [])]:
            for use in uses:
                self._binding(server, use, face)
            if bundle is not None:
                self._bundle(bundle, face)

    def _faces(self, server: Server) -> List[_reach.Face]:
        if self._reached is None:
            self._reached = {}
            self._reached_all = self.report.partly(functools.partial(self._walk_all, self._reached))
        return _reach.grouped(self._reached.get(id(server), []))

    def _walk_all(self, reached: Reached) -> None:
        walked: Dict[Tuple[int, ...], Leads] = {}
        left = _NAMES_LIMIT
        for place, door in self.doors.items():
            if not door.owner.on("tlsengine"):
                continue
            if door.inside() not in walked:
                left -= sum(len(names) for _server, names in door.named)
                if left < 0:
                    raise _reading.Exhausted("its servers have too many names at too many addresses")
                walked[door.inside()] = self._walk(door)
            for server, names in walked[door.inside()].items():
                reached.setdefault(server, []).append((self._listener(place), names))

    def _walk(self, door: Door) -> Leads:
        """For each server that a door leads to, what to ask for there."""
        found: Dict[int, Dict[str, None]] = {id(door.owner): {}}
        claims = _reach.Claims(stars_take_names=True)
        chooses = not self.reading.version or self.reading.version >= _SNI_SINCE
        for server, names in door.named if chooses else ():
            own = found.setdefault(id(server), {})
            for name in names:
                self.report.reader.tick()
                own.update(dict.fromkeys(claims.claim(server, [_reach.plain(name) or _reach.pattern(name)])))
        return {server: list(own) for server, own in found.items() if own or server == id(door.owner)}

    def _listener(self, place: Tuple[str, str]) -> str:
        implicit = "UseImplicitSSL" in self.doors[place].owner.every("tlsoptions")
        return "%s:%s%s" % (place[0], place[1], "" if implicit else "/ftp")

    def _binding(self, server: Server, use: Directive, face: _reach.Face) -> None:
        path = use.values[0] if use.values else ""
        key = server.value(use.name.replace("certificatefile", "certificatekeyfile")) or path
        chain = server.value("tlscertificatechainfile") or None
        self.report.binding(
            self.service,
            use.file,
            use.line,
            path,
            key=key,
            chain=chain,
            names=face.names,
            listeners=face.listeners,
        )
        if chain is None and len(self.report.materials.look(_reading.tidy(path)).certificates) > 1:
            message = "only the first certificate of %s is sent: TLSCertificateChainFile names none" % path
            self.report.warning(message, use.file, use.line)

    def _bundle(self, use: Directive, face: _reach.Face) -> None:
        problem = ("unresolved", "%s is a PKCS#12 bundle: not read" % " ".join(use.values))
        self.report.binding(
            self.service,
            use.file,
            use.line,
            None,
            names=face.names,
            listeners=face.listeners,
            problems=[problem],
        )

    def _warn(self, message: str, server: Server) -> None:
        self.report.warning(message, server.file, server.line or None)


def _is_address(text: str) -> bool:
    return ":" in text or re.fullmatch(r"[0-9.]+", text) is not None
