# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates a configuration of Caddy's loads or gets by itself, and which server shows them.

Of a server's connection policies the first that fits a handshake counts; it may ask for
certificates with certain tags. Without that, Caddy chooses by the names in the certificates.
"""

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from . import _reach, _reading
from ._caddy_places import Places

_LISTENER = re.compile(
    r"(?:(?P<net>tcp[46]?)/)?(?P<host>\[[^\]]*\]|[^:/\[\]]*)?:(?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?"
)
_PORTS_LIMIT = 256
_FOLDERS_LIMIT = 10000


class Loaded(NamedTuple):
    """A certificate from files; `tags` are what a policy may ask for."""

    certificate: str
    key: str
    tags: Tuple[str, ...]


class Sites:
    """The servers and certificates of one configuration."""

    def __init__(
        self, config: Any, places: Places, storage: Optional[str], report: Any, service: str
    ) -> None:
        self.config = config
        self.places = places
        self.report = report
        self.service = service
        self.storage = storage
        http = _at(config, "apps", "http")
        self.servers = [one for one in _dict(_at(http, "servers")).values() if isinstance(one, dict)]
        self.plain_port = _number(_at(http, "http_port"), 80)
        self.loaded: List[Loaded] = []
        self._tagged: Dict[str, List[int]] = {}
        self._issuers: Optional[List[str]] = None

    def report_bindings(self) -> None:
        self.report.partly(self._load)
        for number, one in enumerate(self.loaded):
            for tag in one.tags:
                self._tagged.setdefault(tag, []).append(number)
        tied = {tag for server in self.servers for _names, tags in _policies(server) for tag in tags}
        shown: Set[int] = set()
        for server in self.servers:
            secure = self._listeners(server)
            if secure:
                shown.update(self._explicit(server, secure))
                self._managed(server, secure)
                shown.update(self._by_own_names(server, secure, tied))
        for number, one in enumerate(self.loaded):
            if number not in shown:
                self._warn("no server shows %s" % one.certificate, one.certificate)
                self._binding(one, [], [])
        self._others()

    def _load(self) -> None:
        """The certificates of load_files and load_folders."""
        loaders = _dict(_at(self.config, "apps", "tls", "certificates"))
        for entry in _list(loaders.get("load_files")):
            certificate, key = _text(_at(entry, "certificate")), _text(_at(entry, "key"))
            if certificate:
                tags = tuple(_texts(_at(entry, "tags")))
                self.loaded.append(Loaded(certificate, key or certificate, tags))
        for folder in _texts(loaders.get("load_folders")):
            for path in self._pem_files(folder, [0]):
                self.loaded.append(Loaded(path, path, ()))

    def _pem_files(self, folder: str, seen: List[int]) -> Iterator[str]:
        """The files that end in .pem, in a folder and all below it."""
        pending = [folder]
        while pending:
            at = pending.pop(0)
            seen[0] += 1
            if seen[0] > _FOLDERS_LIMIT:
                raise _reading.Exhausted("too many folders below %s" % folder)
            for name in self.report.reader.names(at):
                path = at.rstrip("/") + "/" + name
                if os.path.isdir(_reading.raw(path)) and not os.path.islink(_reading.raw(path)):
                    pending.append(path)
                elif name.lower().endswith(".pem"):
                    yield path

    def _listeners(self, server: Any) -> List[str]:
        """Where a server speaks TLS: at all its listeners but the one for plain http."""
        found: List[str] = []
        for text in _texts(_at(server, "listen")):
            places = listeners(text)
            if not places:
                self._warn("a listener that is not looked at: %s" % text, text)
            found.extend(place for place in places if place not in found)
        self.report.listens(self.service, found)
        if not _list(_at(server, "tls_connection_policies")) and not self._wants_https(server):
            return []
        plain = ":%d" % self.plain_port
        return [place for place in found if not place.endswith(plain)]

    def _wants_https(self, server: Any) -> bool:
        automatic = _dict(_at(server, "automatic_https"))
        return not automatic.get("disable") and bool(self._sites(server))

    def _sites(self, server: Any) -> List[str]:
        """The names that routes match and that are not left out."""
        skipped = set(_texts(_at(server, "automatic_https", "skip")))
        found: Dict[str, None] = {}
        for route in _list(_at(server, "routes")):
            for matcher in _list(_at(route, "match")):
                for name in _texts(_at(matcher, "host")):
                    if name not in skipped:
                        found[name] = None
        return list(found)

    def _explicit(self, server: Any, secure: List[str]) -> Set[int]:
        """The certificates that a policy asks for by their tags."""
        shown: Set[int] = set()
        for names, tags in _policies(server):
            asked = {number for tag in tags for number in self._tagged.get(tag, ())}
            for number in sorted(asked):
                self._binding(self.loaded[number], [name for name in names if _is_name(name)], secure)
            shown |= asked
        return shown

    def _by_own_names(self, server: Any, secure: List[str], tied: Set[str]) -> Set[int]:
        """Those that no policy of any server asks for: whoever asks for a name of theirs sees them."""
        policies = _policies(server)
        if policies and all(tags for _names, tags in policies):
            return set()
        shown: Set[int] = set()
        for number, one in enumerate(self.loaded):
            if not tied & set(one.tags):
                shown.add(number)
                self._binding(one, [], secure)
        return shown

    def _managed(self, server: Any, secure: List[str]) -> None:
        """The certificates that Caddy gets for a server's names by itself."""
        automatic = _dict(_at(server, "automatic_https"))
        if automatic.get("disable") or automatic.get("disable_certificates"):
            return
        left_out = set(_texts(automatic.get("skip_certificates")))
        named = {name for names, tags in _policies(server) if tags for name in names}
        untied = [one for one in self.loaded if not one.tags]
        for name in self._sites(server):
            if name not in named and name not in left_out:
                self._one_managed(name, secure, bool(untied))

    def _one_managed(self, name: str, secure: List[str], maybe_loaded: bool) -> None:
        paths = self._stored(name)
        names = [name] if _is_name(name) else []
        file, line = self.places.of(name)
        for certificate, key in paths[:1]:
            self.report.binding(
                self.service,
                file,
                line,
                certificate,
                key=key,
                names=names,
                listeners=secure,
                managed_by="caddy",
                own_names=True,
            )
        if not paths and not maybe_loaded:
            problem = ("missing", "Caddy gets a certificate for %s by itself, and has none yet" % name)
            if self.storage is None:
                problem = (
                    "unresolved",
                    "Caddy keeps its own certificate for %s where it is not looked for" % name,
                )
            self.report.binding(
                self.service,
                file,
                line,
                None,
                names=names,
                listeners=secure,
                managed_by="caddy",
                problems=[problem],
            )

    def _stored(self, name: str) -> List[Tuple[str, str]]:
        """The files in Caddy's storage for a name, one pair for each issuer, the newest first."""
        if self.storage is None or "/" in name or name in (".", ".."):
            return []
        safe = name.lower().replace("*", "wildcard_").replace(":", "-")
        base = self.storage + "/certificates"
        if self._issuers is None:
            self._issuers = self.report.reader.names(base)
        found = []
        for issuer in self._issuers:
            path = "%s/%s/%s/%s" % (base, issuer, safe, safe)
            status = _reading.status(path + ".crt")
            if status is not None:
                found.append((status.st_mtime, path))
        return [(path + ".crt", path + ".key") for _time, path in sorted(found, reverse=True)]

    def _binding(self, one: Loaded, names: List[str], secure: List[str]) -> None:
        file, line = self.places.of(one.certificate, os.path.dirname(one.certificate))
        if not one.certificate.startswith("/"):
            problem = ("unresolved", "%s is relative to where Caddy was started" % one.certificate)
            self.report.binding(self.service, file, line, None, listeners=secure, problems=[problem])
            return
        self.report.binding(
            self.service,
            file,
            line,
            one.certificate,
            key=one.key,
            names=sorted({plain for plain in map(_reach.plain, names) if plain}),
            listeners=secure,
            own_names=True,
        )

    def _others(self) -> None:
        """Certificates from places that are not looked at, each told."""
        loaders = _dict(_at(self.config, "apps", "tls", "certificates"))
        for name in sorted(set(loaders) - {"load_files", "load_folders", "automate"}):
            for _entry in _list(loaders[name]) or [None]:
                message = "a certificate of %s lies in the configuration or elsewhere: not read" % name
                file, line = self.places.of(name)
                self.report.binding(self.service, file, line, None, problems=[("unresolved", message)])
        for policy in _list(_at(self.config, "apps", "tls", "automation", "policies")):
            if _at(policy, "get_certificate"):
                self._warn(
                    "certificates that others hand to Caddy at each handshake are not read", "get_certificate"
                )
            if _at(policy, "on_demand"):
                self._warn("Caddy gets further certificates at the first handshake for a name", "on_demand")
        for name in sorted(set(_dict(_at(self.config, "apps"))) - {"http", "tls", "pki", "events"}):
            self._warn("the app %s is not looked at" % name, name)

    def _warn(self, message: str, text: str) -> None:
        file, line = self.places.of(text)
        self.report.warning(message, file, line or None)


def listeners(text: str) -> List[str]:
    """The `address:port` forms of one listener of Caddy's; none for what is no TCP."""
    match = _LISTENER.fullmatch(text)
    if match is None:
        return []
    host = (match.group("host") or "").lower()
    if host.strip("[]") in ("", "0.0.0.0"):  # noqa: S104 - spellings of "every address"
        host = "*"
    low = int(match.group("low"))
    high = min(int(match.group("high") or low), low + _PORTS_LIMIT, 65535)
    return ["%s:%d" % (host, port) for port in range(low, high + 1)]


def _policies(server: Any) -> List[Tuple[List[str], List[str]]]:
    """The names and the tags of each connection policy."""
    return [
        (_texts(_at(one, "match", "sni")), _tags(_at(one, "certificate_selection")))
        for one in _list(_at(server, "tls_connection_policies"))
    ]


def _tags(selection: Any) -> List[str]:
    return _texts(_at(selection, "any_tag")) + _texts(_at(selection, "all_tags"))


def _is_name(text: str) -> bool:
    return _reach.plain(text) is not None and not re.fullmatch(r"[0-9.]+", text)


def _at(value: Any, *names: str) -> Any:
    """What lies at a path of names; None where the value is of another shape."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) and "\0" not in value else ""


def _texts(value: Any) -> List[str]:
    return [one for one in _list(value) if _text(one)]


def _number(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default
