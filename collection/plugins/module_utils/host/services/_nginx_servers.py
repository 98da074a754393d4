# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the servers of an nginx configuration show to whom: listeners, names, certificates."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set

from . import _reach, _reading
from ._nginx_files import Tree
from ._nginx_syntax import Block, Directive

_PORTS_LIMIT = 256
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SNI = "ssl_server_name"
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

    def __init__(self, block: Block, around: Block, tree: Tree) -> None:
        self.block = block
        self.kind = around.name
        self.file = block.opened_by.file
        self.line = block.opened_by.line
        self.tree = tree
        certificates = block.all("ssl_certificate") or around.all("ssl_certificate")
        keys = block.all("ssl_certificate_key") or around.all("ssl_certificate_key")
        self.pairs = _pairs(certificates, keys)
        refuses = (block.all("ssl_reject_handshake") or around.all("ssl_reject_handshake"))[-1:]
        self.refuses = bool(refuses) and refuses[0].arguments == ["on"]
        self.listens: List[Listen] = []
        self.names: List[str] = []
        self.unnamed: List[str] = []

    def setting(self, name: str) -> Optional[Directive]:
        found = self.block.all(name)
        return found[-1] if found else None


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
            servers = [Server(block, around, self.tree) for block in around.blocks]
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
            for listener in self._addresses(directive):
                words = directive.arguments[1:]
                server.listens.append(
                    Listen(
                        listener,
                        always or "ssl" in words,
                        "default_server" in words or "default" in words,
                        "quic" in words,
                    )
                )
        if not directives and server.kind == "http":
            server.listens.append(Listen("*:80" if os.geteuid() == 0 else "*:8000", always, False, False))

    def _addresses(self, directive: Directive) -> List[str]:
        value = directive.arguments[0] if directive.arguments else ""
        if value.startswith("unix:"):
            if "ssl" in directive.arguments:
                self._warn("%s is a local socket: no certificate is looked for there" % value, directive)
            return []
        found = addresses(value)
        if not found:
            self._warn("listen %s is not understood" % value, directive)
        return found

    def _names(self, server: Server) -> None:
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
        tls_here = any(listen.listener in tls or listen.quic for listen in server.listens)
        upgrades = server.setting("starttls")
        if upgrades is not None and upgrades.arguments != ["off"] and not tls_here:
            self._warn("STARTTLS: no handshake at once, nothing is looked for there", upgrades)
        elif not tls_here or server.refuses:
            return
        if not server.pairs:
            self._warn("a TLS server without a certificate", server.block.opened_by)
            return
        if not faces:
            if tls_here:
                self._warn("no handshake reaches this server: others have its names", server.block.opened_by)
            faces = [_reach.Face(server.names, [])]
        for directive in server.block.directives:
            if directive.name.startswith("ssl_certificate_by_lua"):
                self._warn("a script may show another certificate than the files named here", directive)
        for pair in server.pairs:
            for face in faces:
                self._pair(server, pair, face)

    def _pair(self, server: Server, pair: Pair, face: _reach.Face) -> None:
        values = [pair.certificate] + ([pair.key] if pair.key is not None else [])
        unresolved = [why for why in (_unresolved(value) for value in values) if why]
        if unresolved:
            self._write(server, pair, face, None, unresolved)
        elif any(_VARIABLE.search(value) for value in values):
            self._by_name(server, pair, face)
        else:
            self._write(server, pair, face, "", [])

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
            self._write(server, pair, _reach.Face([name], face.listeners), name, [])

    def _write(
        self, server: Server, pair: Pair, face: _reach.Face, asked: Optional[str], unresolved: List[str]
    ) -> None:
        """One binding; `asked` is the name in the paths, None where the paths are not known."""
        acme = server.setting("acme_certificate") is not None or "$acme_cert" in pair.certificate
        key = pair.certificate if pair.key is None else pair.key
        problems = [("unresolved", reason) for reason in unresolved]
        if pair.key is None:
            problems.append(("missing", "no ssl_certificate_key belongs to this certificate"))
        self.report.binding(
            self.service,
            pair.directive.file,
            pair.directive.line,
            None if asked is None else self.tree.path(_filled(pair.certificate, asked)),
            key=None if asked is None else self.tree.path(_filled(key, asked)),
            names=face.names,
            listeners=face.listeners,
            problems=problems,
            managed_by="nginx" if acme else None,
            proven=self.tree.proven and not asked,
        )

    def _warn(self, message: str, directive: Directive) -> None:
        self.report.warning(message, directive.file, directive.line)


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
    unknown = sorted({"$" + (a or b) for a, b in _VARIABLE.findall(value)} - {"$" + _SNI})
    if unknown:
        return "%s: the value of %s is known to nginx alone" % (value, ", ".join(unknown))
    return None if value else "an empty path"


def _filled(value: str, name: str) -> str:
    return _VARIABLE.sub(lambda _match: name, value)


def _names_on_disk(tree: Tree, value: str) -> List[str]:
    """The names for which a path with the name asked for in it leads to a file."""
    path = tree.path(value)
    parts = path.split("/")
    place = next((number for number, part in enumerate(parts) if _VARIABLE.search(part)), len(parts) - 1)
    before, after = _VARIABLE.split(parts[place])[0], _VARIABLE.split(parts[place])[-1]
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
