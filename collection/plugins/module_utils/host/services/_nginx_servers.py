# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the servers of an nginx configuration show to whom: listeners, names, certificates."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set

from . import _reach, _reading
from ._nginx_chosen import SNI, VARIABLE, Maps, variables_of
from ._nginx_files import Tree
from ._nginx_syntax import Block, Directive

_PORTS_LIMIT = 256
#: The protocol of a mail server that names none, by its port, as ngx_mail_core_module knows them.
_MAIL = {"25": "smtp", "587": "smtp", "110": "pop3", "143": "imap"}
_HOST_CHARACTERS = re.compile(r"[a-z0-9_.-]+")


class Listen(NamedTuple):
    """One address and port, and what is said of it there."""

    listener: str
    tls: bool
    default: bool
    quic: bool


class Pair(NamedTuple):
    """A certificate, its key, and the directive that names the certificate."""

    certificate: str
    key: Optional[str]
    directive: Directive


class Server:
    """One server block with what it takes from the block around it."""

    def __init__(self, block: Block, around: Block, maps: Maps) -> None:
        self.block = block
        self.around = around
        self.maps = maps
        self.kind = around.name
        self.file = block.opened_by.file
        self.line = block.opened_by.line
        certificates = block.all("ssl_certificate") or around.all("ssl_certificate")
        keys = block.all("ssl_certificate_key") or around.all("ssl_certificate_key")
        self.pairs = _pairs(certificates, keys)
        refuses = (block.all("ssl_reject_handshake") or around.all("ssl_reject_handshake"))[-1:]
        self.refuses = bool(refuses) and refuses[0].arguments == ["on"]
        self.listens: List[Listen] = []
        self.on_socket = False  # whether TLS is spoken on a local socket
        self.names: List[str] = []
        self.unnamed: List[str] = []

    def setting(self, name: str) -> Optional[Directive]:
        """What the block says last, or the block around it."""
        found = self.block.all(name) or self.around.all(name)
        return found[-1] if found else None

    def is_tls(self, tls: Set[str]) -> bool:
        """Whether TLS comes first on one of its listeners, over TCP or not."""
        return self.on_socket or any(listen.listener in tls or listen.tls for listen in self.listens)

    def upgrades(self) -> Optional[Directive]:
        """What makes a mail server offer STARTTLS, if anything does."""
        starttls = self.setting("starttls") if self.kind == "mail" else None
        return None if starttls is None or starttls.arguments == ["off"] else starttls

    def protocol(self, listener: str) -> Optional[str]:
        """The protocol that a mail server speaks before TLS."""
        said = self.setting("protocol")
        if said is not None and said.arguments:
            return said.arguments[0]
        return _MAIL.get(listener.rpartition(":")[2])


def _pairs(certificates: List[Directive], keys: List[Directive]) -> List[Pair]:
    values = [directive.arguments[0] if directive.arguments else "" for directive in keys]
    return [
        Pair(one.arguments[0], values[position] if position < len(values) else None, one)
        for position, one in enumerate(certificates)
        if one.arguments
    ]


class Servers:
    """All servers of a tree; `report_bindings` writes what handshakes reach."""

    def __init__(self, tree: Tree, report: Any, service: str) -> None:
        self.tree = tree
        self.report = report
        self.service = service
        self.hostname = os.uname().nodename.lower()

    def report_bindings(self) -> None:
        for around in self.tree.root.blocks:
            maps = Maps(around)
            servers = [Server(block, around, maps) for block in around.blocks if block.name == "server"]
            for server in servers:
                self._listens(server)
                self._names(server)
                self.report.listens(self.service, (listen.listener for listen in server.listens))
            self._report(servers)

    def _listens(self, server: Server) -> None:
        on = server.setting("ssl")
        always = on is not None and on.arguments == ["on"]
        directives = server.block.all("listen")
        for directive in directives:
            value = directive.arguments[0] if directive.arguments else ""
            if value.startswith("unix:"):
                server.on_socket = server.on_socket or always or "ssl" in directive.arguments
                continue
            for listener in self._addresses(directive, value):
                words = directive.arguments[1:]
                server.listens.append(
                    Listen(
                        listener,
                        always or "ssl" in words or "quic" in words,
                        "default_server" in words or "default" in words,
                        "quic" in words or "udp" in words,
                    )
                )
        if not directives and server.kind == "http":
            server.listens.append(Listen("*:80" if os.geteuid() == 0 else "*:8000", always, False, False))

    def _addresses(self, directive: Directive, value: str) -> List[str]:
        found = addresses(value)
        if not found:
            self._warn("listen %s is not understood" % value, directive)
        return found

    def _names(self, server: Server) -> None:
        """The names asked for in SNI; the name of a mail server is only what it calls itself."""
        if server.kind == "mail":
            return
        for directive in server.block.all("server_name"):
            for value in directive.arguments:
                for name in self._spelled(value, directive):
                    if name not in server.names:
                        server.names.append(name)

    def _spelled(self, value: str, directive: Directive) -> List[str]:
        if value.startswith("~"):
            return [value]
        if value == "$hostname":
            value = self.hostname
        if value.startswith(".") and _reach.plain(value[1:]):
            return [value[1:].lower(), "*" + value.lower()]
        name = _reach.plain(value)
        if name is not None:
            return [name]
        if value.endswith(".*") and _reach.plain(value[:-2]):
            return [_reach.pattern(value)]
        if value not in ("", "_"):
            self._warn("the server name %s cannot be asked for" % value[:100], directive)
        return []

    def _report(self, servers: List[Server]) -> None:
        """A listener is TLS when one server says so; its names belong to the first that has them."""
        tls = {
            listen.listener
            for server in servers
            for listen in server.listens
            if listen.tls and not listen.quic
        }
        first: Dict[str, Server] = {}
        named: Dict[str, Server] = {}
        for server in servers:
            for listen in server.listens:
                first.setdefault(listen.listener, server)
                if listen.default:
                    named.setdefault(listen.listener, server)
        first.update(named)
        claims: Dict[str, _reach.Claims] = {}
        for server in servers:
            reached = []
            for listen in self._plain_listens(server):
                if listen.listener in tls:
                    owned = claims.setdefault(listen.listener, _reach.Claims(False)).claim(
                        server, server.names
                    )
                    if owned or first[listen.listener] is server:
                        reached.append((listen.listener, owned))
            self._bind(server, _reach.grouped(reached), tls)

    @staticmethod
    def _plain_listens(server: Server) -> List[Listen]:
        seen: Dict[str, Listen] = {}
        for listen in server.listens:
            if not listen.quic:
                seen.setdefault(listen.listener, listen)
        return list(seen.values())

    def _bind(self, server: Server, faces: List[_reach.Face], tls: Set[str]) -> None:
        is_tls = server.is_tls(tls)
        if server.refuses or not (is_tls or server.upgrades()):
            return
        if not server.pairs:
            self._warn("a TLS server without a certificate", server.block.opened_by)
            return
        if server.upgrades() and not faces:
            faces = self._faces_after_starttls(server)
        if not faces:
            self._warn(_why_unreached(server), server.block.opened_by)
            faces = [_reach.Face(server.names, [])]
        for directive in server.block.directives:
            if directive.name.startswith("ssl_certificate_by_lua"):
                self._warn("a script may show another certificate than the files named here", directive)
        for pair in server.pairs:
            for face in faces:
                self._pair(server, pair, face)

    @staticmethod
    def _faces_after_starttls(server: Server) -> List[_reach.Face]:
        plain = [listen.listener for listen in server.listens if not listen.tls and not listen.quic]
        asked = [(listener, server.protocol(listener)) for listener in plain]
        listeners = ["%s/%s" % one for one in asked if one[1] in ("imap", "pop3", "smtp")]
        return [_reach.Face([], listeners)] if listeners else []

    def _pair(self, server: Server, pair: Pair, face: _reach.Face) -> None:
        values = [pair.certificate, pair.certificate if pair.key is None else pair.key]
        variables = variables_of(values)
        if server.maps.know(variables):
            for choice in server.maps.choices(values, face.names):
                self._chosen(server, pair, _reach.Face(choice.names, face.listeners), choice.values)
            return
        unresolved = [why for why in map(_unresolved, dict.fromkeys(values)) if why]
        if unresolved:
            self._write(server, pair, face, None, unresolved)
        elif variables:
            self._by_name(server, pair, face)
        else:
            self._write(server, pair, face, values, [])

    def _chosen(self, server: Server, pair: Pair, face: _reach.Face, values: Optional[List[str]]) -> None:
        """What a map leads to, which may again be no file."""
        if values is None:
            why = "%s: which file it is for these names is known to nginx alone" % pair.certificate
            self._write(server, pair, face, None, [why])
            return
        unresolved = [why for why in map(_unresolved, dict.fromkeys(values)) if why]
        self._write(server, pair, face, None if unresolved else values, unresolved)

    def _by_name(self, server: Server, pair: Pair, face: _reach.Face) -> None:
        """A file for each name asked for: the folder says which names there are."""
        found = [
            name
            for name in _names_on_disk(self.tree, pair.certificate)
            if not face.names or any(_covers(one, name) for one in face.names)
        ]
        if not found:
            self._write(server, pair, face, None, ["no file fits %s" % pair.certificate])
        for name in found:
            values = [_filled(pair.certificate, name), _filled(pair.key or pair.certificate, name)]
            self._write(server, pair, _reach.Face([name], face.listeners), values, [])

    def _write(
        self,
        server: Server,
        pair: Pair,
        face: _reach.Face,
        values: Optional[List[str]],
        unresolved: List[str],
    ) -> None:
        """One binding; `values` are the paths of certificate and key, None where they are not known."""
        acme = server.setting("acme_certificate") is not None or "$acme_cert" in pair.certificate
        problems = [("unresolved", reason) for reason in unresolved]
        if pair.key is None:
            problems.append(("missing", "no ssl_certificate_key belongs to this certificate"))
        certificate, key = (None, None) if values is None else map(self.tree.path, values)
        self.report.binding(
            self.service,
            pair.directive.file,
            pair.directive.line,
            certificate,
            key=key,
            names=face.names,
            listeners=face.listeners,
            problems=problems,
            managed_by="nginx" if acme else None,
            proven=self.tree.proven and values == [pair.certificate, pair.key],
        )

    def _warn(self, message: str, directive: Directive) -> None:
        self.report.warning(message, directive.file, directive.line)


def _why_unreached(server: Server) -> str:
    if server.listens and all(listen.quic for listen in server.listens):
        return "only QUIC or UDP is listened to: no handshake over TCP is possible"
    if not server.listens:
        return "only a local socket is listened to: no handshake is possible"
    return "no handshake reaches this server: others have its names"


def addresses(value: str) -> List[str]:
    """The `address:port` forms that the first word of a listen directive stands for."""
    if value.startswith("["):
        host, _sign, rest = value.partition("]")
        host, port = host + "]", rest[1:] if rest.startswith(":") else rest or "80"
    elif ":" in value:
        host, _sign, port = value.rpartition(":")
    elif re.fullmatch(r"[0-9]+(-[0-9]+)?", value):
        host, port = "*", value
    else:
        host, port = value, "80"
    low, _sign, high = port.partition("-")
    if not host or not re.fullmatch(r"[0-9]{1,5}", low) or not re.fullmatch(r"[0-9]{0,5}", high):
        return []
    host = "*" if host == "0.0.0.0" else host.lower()  # noqa: S104 - nginx knows both spellings of one address
    ports = range(int(low), min(int(high or low), int(low) + _PORTS_LIMIT, 65535) + 1)
    return ["%s:%d" % (host, number) for number in ports]


def _unresolved(value: str) -> Optional[str]:
    for scheme, what in (
        ("data:", "is no file but a value"),
        ("engine:", "lies in an engine"),
        ("store:", "lies in a store"),
    ):
        if value.startswith(scheme):
            return "%s... %s" % (scheme, what)
    unknown = sorted({"$" + (a or b) for a, b in VARIABLE.findall(value)} - {"$" + SNI})
    if unknown:
        return "%s: the value of %s is known to nginx alone" % (value, ", ".join(unknown))
    return None if value else "an empty path"


def _filled(value: str, name: str) -> str:
    return VARIABLE.sub(lambda _match: name, value)


def _names_on_disk(tree: Tree, value: str) -> List[str]:
    """The names for which a path with the name asked for in it leads to a file."""
    path = tree.path(value)
    parts = path.split("/")
    place = next((number for number, part in enumerate(parts) if VARIABLE.search(part)), len(parts) - 1)
    before, after = VARIABLE.split(parts[place])[0], VARIABLE.split(parts[place])[-1]
    found = []
    for entry in tree.report.reader.names("/".join(parts[:place]) or "/"):
        name = entry[len(before) : len(entry) - len(after)] if entry.endswith(after) else ""
        fits = entry.startswith(before) and _HOST_CHARACTERS.fullmatch(name)
        if fits and os.path.lexists(_reading.raw(_filled(path, name))):
            found.append(name)
    return found


def _covers(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return pattern == name or pattern.startswith("~")
