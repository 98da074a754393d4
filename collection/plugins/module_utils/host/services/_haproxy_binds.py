# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bind lines of an HAProxy configuration show to whom.

HAProxy chooses by the names inside a certificate unless a crt-list names others. This host
does not parse certificates: a binding without names gets them on the controller, from the
leaf (`plugin_utils/certificates.complete`).
"""

import os
import re
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from . import _reach, _reading
from ._haproxy_syntax import Line, Reading, Section

_PORTS_LIMIT = 256
_SKIPPED = (".issuer", ".key", ".ocsp", ".sctl")
_BUNDLE = (".rsa", ".ecdsa", ".dsa")
_LISTENING = ("frontend", "listen", "log-forward", "peers")
# Parameters of bind that are followed by a value, so that the value is not taken for a parameter.
_VALUED = frozenset(
    "alpn backlog ca-file ca-ignore-err ca-sign-file ca-sign-pass ca-verify-file cc ciphers ciphersuites "  # noqa: SIM905 - words in a row read best
    "client-sigalgs crl-file crt-ignore-err curves default-crt ecdhe expose-fd gid group guid-prefix id "
    "idle-ping interface label level maxconn mode mss name namespace nbconn nice npn ocsp-update proto "
    "quic-cc-algo severity-output shards sigalgs ssl-max-ver ssl-min-ver tcp-ut thread process "
    "tls-ticket-keys uid user verify".split()
)
_ADDRESS = re.compile(r"(?:(?:stream\+)?(ip|ipv4|ipv6|tcp|tcp4|tcp6)@)?(.*)", re.DOTALL)


class Use(NamedTuple):
    """A certificate that a bind line loads, and what was said of it where it is named."""

    path: str
    key: Optional[str]
    names: List[str]
    place: Line
    acme: bool = False


class Store(NamedTuple):
    """One `load` of a crt-store."""

    path: str
    key: Optional[str]
    acme: bool


class Binds:
    """All bind lines of the files that one process has read."""

    def __init__(self, reading: Reading, folder: str, report: Any, service: str) -> None:
        self.sections = reading.sections
        self.folder = folder
        self.report = report
        self.service = service
        self.crt_base = ""
        self.delete_extension = False
        self.extra = frozenset(("all",))
        self.origin = ""
        self.stores: Dict[str, Store] = {}

    def report_bindings(self) -> None:
        disabled = False
        for section in self.sections:
            if section.kind == "global":
                self._global(section)
                self._stats_sockets(section)
            elif section.kind == "crt-store":
                self._store(section)
            elif section.kind == "defaults":
                disabled = any(line.words[0] == "disabled" for line in section.lines)
            elif section.kind in _LISTENING:
                self._listening(section, disabled)

    def _global(self, section: Section) -> None:
        for line in section.lines:
            value = line.words[1] if len(line.words) > 1 else ""
            if line.words[0] == "crt-base":
                self.crt_base = value
            elif line.words[0] == "ssl-load-extra-del-ext":
                self.delete_extension = True
            elif line.words[0] == "ssl-load-extra-files":
                self.extra = frozenset(line.words[1:])
            elif line.words[0] == "default-path":
                self.origin = line.words[2] if value == "origin" and len(line.words) > 2 else value

    def _stats_sockets(self, section: Section) -> None:
        """`stats socket` takes what a bind line takes; in HAProxy 2.6 no handshake shows what that names."""
        for line in section.lines:
            values = _parameters(line.words[3:]) if line.words[:2] == ["stats", "socket"] else []
            if "ssl" in {name for name, _value in values}:
                self._warn("a stats socket: no handshake is tried there", line)
                self._write_all(values, line, [])

    def _store(self, section: Section) -> None:
        base = {"crt-base": self.crt_base, "key-base": ""}
        for line in section.lines:
            if line.words[0] in base:
                base[line.words[0]] = line.words[1] if len(line.words) > 1 else ""
            elif line.words[0] == "load":
                said = dict(zip(line.words[1::2], line.words[2::2]))
                if "crt" in said:
                    self._load(section.name, said, base, line)

    def _load(self, store: str, said: Dict[str, str], base: Dict[str, str], line: Line) -> None:
        key = self._path(said["key"], base["key-base"], line) if "key" in said else None
        loaded = Store(self._path(said["crt"], base["crt-base"], line), key, "acme" in said)
        for name in (said["crt"], said.get("alias")):
            if name:
                self.stores["@%s/%s" % (store, name)] = loaded
        self.stores[loaded.path] = loaded

    def _listening(self, section: Section, disabled: bool) -> None:
        shared: List[Tuple[List[str], Line]] = []
        binds: List[Line] = []
        for line in section.lines:
            if line.words[0] in ("disabled", "enabled"):
                disabled = line.words[0] == "disabled"
            elif line.words[0] == "ssl-f-use":
                shared.append((line.words[1:], line))
            elif line.words[0] == "bind":
                binds.append(line)
        for line in binds:
            self._bind(line, shared, disabled)

    def _bind(self, line: Line, shared: List[Tuple[List[str], Line]], disabled: bool) -> None:
        values = _parameters(line.words[2:])
        listeners, skipped = self._listeners(line)
        if not disabled:
            self.report.listens(self.service, listeners)
        if "ssl" not in {name for name, _value in values}:
            return
        if skipped:
            self._warn("%s: no certificate is looked for there" % ", ".join(skipped), line)
        if disabled:
            self._warn("a disabled section: nothing listens here", line)
            listeners = []
        if "generate-certificates" in {name for name, _value in values}:
            self._warn("HAProxy makes certificates of its own for names that it has none for", line)
        written = self._write_all(values, line, listeners)
        for words, place in shared:
            written += self._write_all(_parameters(words), place, listeners)
        if not written:
            self._warn("a TLS listener without a certificate", line)

    def _write_all(self, values: List[Tuple[str, str]], line: Line, listeners: List[str]) -> int:
        """Writes each certificate as soon as it is known; how many there are."""
        written = 0
        for name, value in values:
            for use in self._uses(name, value, line):
                self._write(use, listeners)
                written += 1
        return written

    def _listeners(self, line: Line) -> Tuple[List[str], List[str]]:
        found: List[str] = []
        skipped: List[str] = []
        for value in (line.words[1] if len(line.words) > 1 else "").split(","):
            here = addresses(value)
            found.extend(one for one in here if one not in found)
            if not here:
                skipped.append(value)
        return found, skipped

    def _uses(self, name: str, value: str, line: Line) -> Iterable[Use]:
        if name == "crt-list":
            return self._list(value, line)
        if name in ("crt", "default-crt"):
            return self._certificates(value, None, [], line)
        return []

    def _certificates(self, value: str, key: Optional[str], names: List[str], line: Line) -> List[Use]:
        """The files that one value of crt leads to: itself, a folder, a bundle, an entry of a store."""
        path = value if value.startswith("@") else self._path(value, self.crt_base, line)
        store = self.stores.get(value) or self.stores.get(path)
        if store is not None:
            return [Use(store.path, key or store.key, names, line, store.acme)]
        if path.startswith("@"):
            self._warn("%s is in no crt-store" % value, line)
            return []
        if os.path.isdir(_reading.raw(path)):
            folder = path.rstrip("/")
            entries = (
                folder + "/" + entry for entry in self.report.reader.names(path) if _is_certificate(entry)
            )
            return [Use(one, None, names, line) for one in entries if os.path.isfile(_reading.raw(one))]
        if not os.path.exists(_reading.raw(path)) and self.extra & {"all", "bundle"}:
            bundle = [path + end for end in _BUNDLE if os.path.exists(_reading.raw(path + end))]
            if bundle:
                return [Use(one, None, names, line) for one in bundle]
        return [Use(path, key, names, line)]

    def _list(self, value: str, line: Line) -> Iterator[Use]:
        """The entries of a crt-list: `file [options] names`; a name with `!` is one to leave out."""
        path = self._path(value, "", line)
        try:
            text = self.report.reader.config(path)
        except _reading.Unreadable as error:
            self._warn("the crt-list %s is not read: %s" % (path, error.message), line)
            return
        for number, entry in enumerate(text.split("\n"), 1):
            if not entry.strip() or entry.lstrip().startswith("#"):
                continue
            file, options, filters = entry_of(entry)
            place = Line([], path, number)
            base = os.path.dirname(path)
            key = options.get("key")
            names = [name for name in (_reach.plain(one) for one in filters if one[:1] != "!") if name]
            yield from self._certificates(file, key and self._path(key, base, place), names, place)

    def _path(self, value: str, base: str, line: Line) -> str:
        """A path as HAProxy finds it: below the base given, else below the folder it was started in."""
        folder = self.folder
        if self.origin in ("config", "parent"):
            folder = os.path.join(folder, os.path.dirname(line.file), ".." if self.origin == "parent" else "")
        elif self.origin not in ("", "current"):
            folder = os.path.join(folder, self.origin)
        return _reading.tidy(os.path.join(folder, base, value))

    def _write(self, use: Use, listeners: List[str]) -> None:
        key = use.key
        if key is None and not self.report.materials.look(use.path).has_key and self.extra & {"all", "key"}:
            beside = self._beside(use.path)
            key = beside if os.path.lexists(_reading.raw(beside)) else None
        self.report.binding(
            self.service,
            use.place.file,
            use.place.line,
            use.path,
            key=key,
            names=use.names,
            listeners=listeners,
            managed_by="haproxy" if use.acme else None,
            own_names=True,
        )

    def _beside(self, path: str) -> str:
        if self.delete_extension and path.endswith(".crt"):
            path = path[: -len(".crt")]
        return path + ".key"

    def _warn(self, message: str, line: Line) -> None:
        self.report.warning(message, line.file, line.line)


def _parameters(words: List[str]) -> List[Tuple[str, str]]:
    """The parameters of a bind line with their values; flags have none."""
    found = []
    at = 0
    while at < len(words):
        name = words[at]
        valued = name in ("crt", "crt-list") or name in _VALUED
        found.append((name, words[at + 1] if valued and at + 1 < len(words) else ""))
        at += 2 if valued else 1
    return found


def _is_certificate(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(_SKIPPED)


def entry_of(entry: str) -> Tuple[str, Dict[str, str], List[str]]:
    """File, options and filters of one line of a crt-list."""
    before, bracket, rest = entry.partition("[")
    options, _end, after = rest.partition("]") if bracket else ("", "", "")
    words = before.split()
    filters = words[1:] + after.split()
    comment = next((number for number, word in enumerate(filters) if word.startswith("#")), len(filters))
    said = options.split()
    valued = dict(zip(said, said[1:]))  # noqa: RUF007 - Python 3.6
    return words[0].strip("\"'") if words else "", valued, filters[:comment]


def addresses(value: str) -> List[str]:
    """The `address:port` forms of one address of a bind line; none for sockets that are no TCP."""
    match = _ADDRESS.fullmatch(value)
    family, rest = (match.group(1), match.group(2)) if match else (None, value)
    host, colon, port = rest.rpartition(":")
    low, _sign, high = port.partition("-")
    if "@" in rest or rest.startswith("/") or not colon or not re.fullmatch(r"[0-9]{1,5}", low):
        return []
    if not re.fullmatch(r"[0-9]{0,5}", high):
        return []
    six = family in ("ipv6", "tcp6") or ":" in host
    host = host.strip("[]").lower()
    if host in ("", "*", "0.0.0.0", "::"):  # noqa: S104 - spellings of "every address"
        host = "::" if six else "*"
    ports = range(int(low), min(int(high or low), int(low) + _PORTS_LIMIT, 65535) + 1)
    return ["%s:%d" % ("[%s]" % host if ":" in host else host, number) for number in ports]
