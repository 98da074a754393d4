# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a ProFTPD, read as it reads them: which servers there are and what each was told."""

import os
import re
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from . import _reading

_DEPTH = 16
_LINES_LIMIT = 2000000
# A word in quotes, where a backslash takes away the meaning of what follows; a comment; a plain word.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"?|(#.*)|(\S+)', re.DOTALL)
_VARIABLE = re.compile(r"%\{env:([^}]*)\}")
# Sections that hold no server of their own; what they say of certificates counts for nothing.
_TRANSPARENT = ("ifmodule", "ifdefine", "ifversion")
_COMPARED: Dict[str, Callable[[List[int], List[int]], bool]] = {
    "": lambda mine, theirs: mine == theirs,
    "=": lambda mine, theirs: mine == theirs,
    "==": lambda mine, theirs: mine == theirs,
    ">": lambda mine, theirs: mine > theirs,
    ">=": lambda mine, theirs: mine >= theirs,
    "<": lambda mine, theirs: mine < theirs,
    "<=": lambda mine, theirs: mine <= theirs,
}


class Directive(NamedTuple):
    """One line: its name in lower case, its values, its place."""

    name: str
    values: List[str]
    file: str
    line: int


class Server:
    """The main server, a virtual one, or what is said for all of them."""

    def __init__(self, addresses: List[str], file: str, line: int) -> None:
        self.addresses = addresses
        self.file = file
        self.line = line
        self.said: List[Directive] = []

    def first(self, name: str) -> Optional[Directive]:
        """ProFTPD takes the first of several lines of a name."""
        return next((one for one in self.said if one.name == name), None)

    def value(self, name: str, default: str = "") -> str:
        found = self.first(name)
        return found.values[0] if found is not None and found.values else default

    def on(self, name: str) -> bool:
        return self.value(name).lower() in ("on", "true", "yes", "1")

    def every(self, name: str) -> List[str]:
        return [value for one in self.said if one.name == name for value in one.values]


def version_of(text: str) -> List[int]:
    """A version such as 1.3.8b as numbers, its letter as one more."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?([a-z]?)", text)
    if found is None:
        return []
    letter = found.group(4)
    return [int(part or 0) for part in found.groups()[:3]] + [ord(letter) - 96 if letter else 0]


class Start(NamedTuple):
    """What is known before the first line is read: the program's modules, -D, version, variables."""

    modules: List[str]
    defines: List[str]
    version: str
    environment: Dict[str, str]


class Reading:
    """All servers of one process, after the values for all of them were handed down."""

    def __init__(self, reader: _reading.Reader, warn: Callable[[str, str, int], None], start: Start) -> None:
        self.reader = reader
        self.warn = warn
        self.modules = {_module(name) for name in start.modules}
        self.defines: Set[str] = set(start.defines)
        self.version = version_of(start.version)
        self.environment = start.environment
        self.main = Server([], "", 0)
        self.shared: List[Server] = []
        self.servers: List[Server] = []
        self._open: List[str] = []
        self._current = self.main
        self._lines = 0

    def read(self, path: str) -> None:
        """Reads the first file and whatever it includes."""
        self.main.file = path
        self._include(path, path, 0, 0)
        for server in [self.main] + self.servers:
            for shared in self.shared:
                server.said.extend(shared.said)

    def _include(self, path: str, file: str, line: int, depth: int) -> None:
        if depth > _DEPTH:
            self.warn("files include each other without end: %s is not read" % path, file, line)
            return
        wild = path.startswith("/") and _reading.has_wildcard(path)
        folder = not wild and os.path.isdir(_reading.raw(path)) and not os.path.islink(_reading.raw(path))
        paths = [path]
        if wild:
            paths = self.reader.glob(path)
        elif folder:
            paths = [path.rstrip("/") + "/" + name for name in self.reader.names(path)]
        for one in paths:
            self._file(one, file, line, depth)

    def _file(self, path: str, file: str, line: int, depth: int) -> None:
        try:
            text = self.reader.config(path)
        except _reading.Unreadable as error:
            self.warn("%s is not read: %s" % (path, error.message), file, line)
            return
        skipped: List[str] = []
        for number, content in _lines(text):
            self._lines += 1
            if self._lines > _LINES_LIMIT:
                raise _reading.Exhausted("the configuration has too many lines")
            if self._lines % 4096 == 0:
                self.reader.tick()
            if skipped:
                _skip(skipped, content)
                continue
            directive = Directive(*_words(content), file=path, line=number)
            directive = directive._replace(values=[self._filled(one, directive) for one in directive.values])
            if directive.name.startswith("<"):
                if not self._section(directive):
                    skipped.append(directive.name[1:])
            else:
                self._obey(directive, depth)

    def _filled(self, value: str, directive: Directive) -> str:
        def known(match: Any) -> str:
            if match.group(1) not in self.environment:
                message = "%s: which value %s has is not known" % (directive.name, match.group(1))
                self.warn(message, directive.file, directive.line)
            return self.environment.get(match.group(1), "")

        return _VARIABLE.sub(known, value)

    def _section(self, directive: Directive) -> bool:
        """Opens or closes a section; False where what follows is to be left out."""
        name = directive.name[1:]
        if name.startswith("/"):
            self._close(name[1:])
            return True
        if name in _TRANSPARENT:
            return self._holds(name, directive)
        self._open.append(name)
        if len(self._open) == 1 and name in ("virtualhost", "global"):
            self._current = Server(directive.values, directive.file, directive.line)
            (self.shared if name == "global" else self.servers).append(self._current)
        return True

    def _close(self, name: str) -> None:
        if name in self._open:
            while self._open.pop() != name:
                pass
        if not self._open:
            self._current = self.main

    def _holds(self, name: str, directive: Directive) -> bool:
        wanted = directive.values[0] if directive.values else ""
        negated, asked = wanted.startswith("!"), wanted.lstrip("!")
        if name == "ifmodule":
            holds = _module(asked) in self.modules
        elif name == "ifdefine":
            holds = asked in self.defines
        else:
            return self._version_holds(directive)
        return holds != negated

    def _version_holds(self, directive: Directive) -> bool:
        words = directive.values or [""]
        operator = words[0] if len(words) > 1 else ""
        compare = _COMPARED.get(operator.lstrip("!"))
        theirs = version_of(words[-1])
        if compare is None or not theirs or not self.version:
            self.warn("a condition on the version that is not understood", directive.file, directive.line)
            return True
        return compare(self.version, theirs) != operator.startswith("!")

    def _obey(self, directive: Directive, depth: int) -> None:
        if directive.name == "include" and directive.values:
            self._include(directive.values[0], directive.file, directive.line, depth + 1)
        elif directive.name == "define" and directive.values:
            self.defines.add(directive.values[0])
        elif directive.name == "loadmodule" and directive.values:
            self.modules.add(_module(directive.values[0]))
        elif not self._open or (len(self._open) == 1 and self._open[0] in ("virtualhost", "global")):
            self._current.said.append(directive)
        elif directive.name == "tlsengine":
            message = "TLSEngine inside <%s> is not read" % self._open[-1]
            self.warn(message, directive.file, directive.line)


def _module(name: str) -> str:
    return name[:-2] if name.endswith(".c") else name


def _lines(text: str) -> Iterable[Tuple[int, str]]:
    """The lines that say something, with their numbers; a backslash at the end joins the next one."""
    held: List[str] = []
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole[:-1] if whole.endswith("\r") else whole
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if line.endswith("\\"):
            held.append(line[:-1])
            continue
        yield number, "".join(held) + line
        held = []
    if held:
        yield text.count("\n") + 1, "".join(held)


def _words(line: str) -> Tuple[str, List[str]]:
    """The name in lower case and the values; `<Name value>` without its last sign."""
    text = line.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[:-1]
    found: List[str] = []
    for match in _WORD.finditer(text):
        quoted, comment, bare = match.groups()
        if comment is not None:
            break
        found.append(bare if bare is not None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
    return (found[0].lower() if found else ""), found[1:]


def _skip(skipped: List[str], line: str) -> None:
    """Counts the sections of the kind that is left out, until it ends."""
    found = line.strip().lower()
    if found.startswith("<" + skipped[0]):
        skipped.append(skipped[0])
    elif found == "</%s>" % skipped[0]:
        skipped.pop()
