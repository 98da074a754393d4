# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""server.xml and catalina.properties, read as Tomcat's Digester and Java's Properties read them.

Nothing outside the file is opened because the file asks for it, and no entity makes it larger
than it could do harm.
"""

import io
import re
import zipfile
import zlib
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple
from xml.parsers import expat

from . import _reading

Warn = Callable[[str, Optional[int]], None]

_ENVIRONMENT_SOURCE = "EnvironmentPropertySource"
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_EXPANDED_LIMIT = 16 * 1024 * 1024
_VALUE_LIMIT = 64 * 1024
_TURNS_LIMIT = 20  # Tomcat's own
_INFO = "org/apache/catalina/util/ServerInfo.properties"
_PLACES = {
    ("Server",): "Server",
    ("Server", "Service", "Connector"): "Connector",
    ("Server", "Service", "Connector", "SSLHostConfig"): "SSLHostConfig",
    ("Server", "Service", "Connector", "SSLHostConfig", "Certificate"): "Certificate",
}
_DEEPEST = max(map(len, _PLACES))


class Node(NamedTuple):
    """One element: its attributes, the line that it begins on, and the elements in it that matter."""

    name: str
    attributes: Dict[str, str]
    line: int
    inner: List["Node"]

    def all(self, name: str) -> List["Node"]:
        return [one for one in self.inner if one.name == name]


class _Dangerous(Exception):
    """The file declares entities that could make it swell."""


class _Reading:
    """Builds the few elements that matter out of what expat reports."""

    def __init__(self, data: bytes, warn: Warn) -> None:
        self.data = data
        self.warn = warn
        self.root = Node("", {}, 0, [])
        self._path: List[str] = []
        self._open: List[Optional[Node]] = [self.root]
        self._longest = 0
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._entity
        self.parser.ExternalEntityRefHandler = self._external
        self.parser.SkippedEntityHandler = self._skipped

    def read(self) -> Node:
        try:
            self.parser.Parse(self.data, True)
        except expat.ExpatError as error:
            told = "it is no well-formed XML (%s): what comes after this is not read"
            self.warn(told % expat.ErrorString(error.code), error.lineno)
        except (_Dangerous, ValueError, LookupError) as error:
            self.warn("%s: what comes after this is not read" % error, self.parser.CurrentLineNumber)
        return self.root

    def _start(self, name: str, attributes: Dict[str, str]) -> None:
        self._path.append(name)
        kind = _PLACES.get(tuple(self._path)) if len(self._path) <= _DEEPEST else None
        node = None
        if kind is not None:
            node = Node(kind, attributes, self.parser.CurrentLineNumber, [])
            parent = next((one for one in reversed(self._open) if one is not None), self.root)
            parent.inner.append(node)
        self._open.append(node)

    def _end(self, _name: str) -> None:
        self._path.pop()
        self._open.pop()

    def _entity(self, name: str, is_parameter: int, value: Optional[str], *_of_others: Any) -> None:
        """Short values are put in by expat; what could grow without end stops the reading.

        A value that names no other entity is no longer than it is, and `&x;` takes three bytes,
        so that is known before anything grows.
        """
        if value is None or is_parameter:
            return  # external: told where it is used; of parameters expat puts in none
        self._longest = max(self._longest, len(value))
        if "&" in value or len(self.data) // 3 * self._longest > _EXPANDED_LIMIT:
            raise _Dangerous("it declares the XML entity %s, which could grow" % name[:60])

    def _external(
        self, _context: str, _base: Optional[str], system: Optional[str], _public: Optional[str]
    ) -> int:
        self.warn(
            "it includes %s by an XML entity: that file is not read" % system, self.parser.CurrentLineNumber
        )
        return 1

    def _skipped(self, name: str, _is_parameter: int) -> None:
        self.warn("it uses the XML entity %s, which is not known" % name, self.parser.CurrentLineNumber)


def parse(data: bytes, warn: Warn) -> Node:
    """The elements of a server.xml that matter here; what cannot be read is told to `warn`."""
    return _Reading(data, warn).read()


def properties(text: str) -> Dict[str, str]:
    """The entries of a file in the format of Java's Properties."""
    found: Dict[str, str] = {}
    for line in _logical_lines(text):
        name, value = _entry(line)
        found[name] = value
    return found


def _logical_lines(text: str) -> List[str]:
    """Lines without comments; an odd number of backslashes at the end joins the next one."""
    found: List[str] = []
    parts: List[str] = []
    for raw in re.split(r"\r\n|\n|\r", text):
        line = raw.lstrip(" \t\f")
        if not parts and (not line or line[0] in "#!"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            parts.append(line[:-1])
            continue
        found.append("".join(parts) + line)
        parts = []
    return found + (["".join(parts)] if parts else [])


def _entry(line: str) -> Tuple[str, str]:
    at = 0
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    rest = line[at:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return _unescaped(line[:at]), _unescaped(rest)


def _unescaped(text: str) -> str:
    def plain(match: "re.Match[str]") -> str:
        sign = match.group(1)
        if len(sign) > 1:
            return chr(int(sign[1:], 16))
        return {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(sign, sign)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", plain, text, flags=re.DOTALL)


class Values:
    """Puts properties in the place of `${name}` and `${name:-default}`, as Tomcat does."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known

    def of(self, text: str) -> str:
        """The value of an attribute; what is not known stays as it stands."""
        for _turn in range(_TURNS_LIMIT):
            if "${" not in text or len(text) > _VALUE_LIMIT:
                return text
            after = _REFERENCE.sub(self._one, text)
            if after == text:
                return text
            text = after
        return text

    def _one(self, match: "re.Match[str]") -> str:
        name = match.group(1)
        if name in self.known:
            return self.known[name]
        short, dash, default = name.partition(":-")
        if dash:
            return self.known.get(short, default)
        return match.group(0)


def uses_environment(settings: Mapping[str, str]) -> bool:
    """Whether Tomcat was told to look for properties in its environment as well."""
    return _ENVIRONMENT_SOURCE in settings.get("org.apache.tomcat.util.digester.PROPERTY_SOURCE", "")


def asked_of_environment(
    config: str, environment: Mapping[str, str], reader: _reading.Reader
) -> Dict[str, str]:
    """Those variables of an environment that a server.xml names."""
    try:
        text = reader.config(config)
    except _reading.Unreadable:
        return {}
    names = {name.partition(":-")[0] for name in _REFERENCE.findall(text)}
    return {name: environment[name] for name in names if name in environment}


def version(home: str, reader: _reading.Reader) -> Optional[str]:
    """The version in Tomcat's own archive, such as "10.1.55"."""
    try:
        data = reader.read(home + "/lib/catalina.jar", _reading.CONFIG_LIMIT).data
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_INFO) as stream:
            text = stream.read(8192).decode("latin-1")
    except (_reading.Unreadable, _reading.Exhausted, OSError, ValueError, KeyError, RuntimeError):
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return None
    match = re.search(r"^server\.number=(\d+\.\d+\.\d+)", text, re.MULTILINE)
    return None if match is None else match.group(1)
