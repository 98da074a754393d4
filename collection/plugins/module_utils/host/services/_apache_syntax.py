# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of Apache's configuration and the directives that it obeys while it reads."""

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from . import _reading

_NAME = re.compile(r"[^ \t\r\n\v\f]*")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
BLANK = " \t\r\n\v\f"
_INCLUDE_DEPTH = 40
_FOLDER_LIMIT = 5000
_LINES_LIMIT = 5000000
_ZEROS_LIMIT = 100
_USE_DEPTH = 20
_WANTED = frozenset(
    "gnutlscertificatefile listen mdomain mdstoredir nssnickname protocol servername serveralias "  # noqa: SIM905 - words in a row read best
    "sslcertificatechainfile sslcertificatefile sslcertificatekeyfile sslengine tlscertificate".split()
)
_CONDITIONS = ("ifdefine", "ifdirective", "iffile", "ifmodule", "ifsection", "ifversion")
_WORD_LIMIT = 64 * 1024


class Line(NamedTuple):
    """A line with its continuations, and the place where it ends, as Apache counts."""

    text: str
    file: str
    number: int


class Start(NamedTuple):
    """What a server is started with: its folder, variables, defines, built-in modules and version."""

    root: str
    environment: Dict[str, str]
    defines: List[str]
    modules: List[str]
    version: Optional[str]


class Directive(NamedTuple):
    """A directive (its name in lower case) with its arguments and its place."""

    name: str
    arguments: List[str]
    file: str
    line: int


class Host:
    """The main server or a virtual host: its addresses and the directives in it."""

    def __init__(self, addresses: List[str], line: Line, by_macro: bool) -> None:
        self.addresses = addresses
        self.place = line
        self.by_macro = by_macro
        self.directives: List[Directive] = []

    def all(self, name: str) -> List[Directive]:
        return [directive for directive in self.directives if directive.name == name]

    def last(self, name: str) -> Optional[Directive]:
        found = self.all(name)
        return found[-1] if found else None


def lines(text: str, file: str) -> List[Line]:
    """The lines of a file; a backslash at the end of one joins the next to it.

    To Apache a line ends at a zero byte, and it does not count such a line.
    """
    found: List[Line] = []
    parts: List[str] = []
    uncounted = 0
    for position, ended in enumerate(text.split("\n"), 1):
        number = position - uncounted
        part = ended[:-1] if ended.endswith("\r") else ended
        if "\0" in part:
            part = part.partition("\0")[0]
            uncounted += 1
        if part.endswith("\\"):
            parts.append(part[:-1])
            continue
        whole = ("".join(parts) + part).strip(BLANK)
        parts = []
        if whole and not whole.startswith("#"):
            found.append(Line(whole, file, number))
    rest = "".join(parts).strip(BLANK)
    if rest and not rest.startswith("#"):
        found.append(Line(rest, file, text.count("\n") + 1))
    return found


def words(text: str) -> List[str]:
    """The words of a line as ap_getword_conf cuts them; a quote is one only at a word's start."""
    found: List[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in BLANK:
            at += 1
        if at >= len(text):
            return found
        quote = text[at] if text[at] in "\"'" else ""
        start = at = at + len(quote)
        escaped = False
        while at < len(text) and (text[at] != quote if quote else text[at] not in BLANK):
            if text[at] == "\\" and text[at + 1 : at + 2] in ("\\", quote or "\\"):
                escaped = True
                at += 1
            at += 1
        word = text[start:at]
        at += len(quote)
        if escaped:
            word = re.sub(r"\\([\\%s])" % quote, r"\1", word)
        found.append(word)


class Reading:
    """Reads a configuration from its first file, obeying what Apache obeys while it reads."""

    def __init__(self, reader: _reading.Reader, start: Start, warn: Callable[[str, str, int], None]) -> None:
        self.reader = reader
        self.root = start.root
        self.environment = start.environment
        self.defines = dict.fromkeys(start.defines, "")
        self.modules = set(start.modules)
        self.version = start.version
        self.warn = warn
        self.main = Host([], Line("", "", 0), False)
        self.hosts: List[Host] = []
        self._macros: Dict[str, Tuple[List[str], List[Line]]] = {}
        self._open: List[str] = []
        self._uses: List[str] = []
        self._left = _LINES_LIMIT

    def file(self, path: str, host: Optional[Host] = None, place: Optional[Line] = None) -> bool:
        """Reads one file into the main server or into the virtual host that includes it.

        False where it is no text at all: then Apache would have stopped there.
        """
        at = place or Line("", path, 0)
        if path in self._open or len(self._open) >= _INCLUDE_DEPTH:
            self.warn("%s includes itself or lies too deep" % path, at.file, at.number)
            return True
        try:
            text = self.reader.config(path)
        except _reading.Unreadable as error:
            self.warn("%s is not read: %s" % (path, error.message), at.file, at.number)
            return True
        zeros = text.count("\0")
        if zeros:
            self.warn("%s has bytes in it that are no text" % path, at.file, at.number)
        if zeros > _ZEROS_LIMIT:
            return False
        self._open.append(path)
        self.obey(lines(text, path), host or self.main)
        self._open.pop()
        return True

    def obey(self, found: List[Line], host: Host) -> None:
        """Obeys lines one after the other; sections must end where they began."""
        stack: List[Tuple[str, Optional[Host]]] = []
        current: Optional[Host] = host
        collecting: Optional[Tuple[str, List[str], List[Line], int]] = None
        for line in found:
            self._count()
            if collecting is not None:
                collecting = self._collect(line, collecting)
            elif line.text.startswith("</"):
                name = line.text[2:].rstrip(">" + BLANK).lower()
                if stack and stack[-1][0] == name:
                    current = stack.pop()[1]
                else:
                    self.warn("</%s> ends nothing" % name[:40], line.file, line.number)
            elif line.text.startswith("<"):
                name, arguments = self._section(line)
                if name == "macro" and current is not None:
                    collecting = (arguments[0].lower() if arguments else "", arguments[1:], [], 1)
                    continue
                stack.append((name, current))
                current = self._enter(name, arguments, current, line)
            elif current is not None:
                self._directive(line, current)
        for name, _host in stack:
            place = found[-1] if found else Line("", "", 0)
            self.warn("<%s> never ends" % name[:40], place.file, place.number)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _reading.Exhausted("the configuration is too large")
        if self._left % 1000 == 0:
            self.reader.tick()

    def _collect(
        self, line: Line, collecting: Tuple[str, List[str], List[Line], int]
    ) -> Optional[Tuple[str, List[str], List[Line], int]]:
        """Keeps the lines of a macro as they are; they are read where it is used."""
        name, parameters, body, depth = collecting
        lower = line.text.lower()
        depth += 1 if lower.startswith("<macro ") else -1 if lower.startswith("</macro>") else 0
        if depth == 0:
            self._macros[name] = (parameters, body)
            return None
        body.append(line)
        return name, parameters, body, depth

    def _section(self, line: Line) -> Tuple[str, List[str]]:
        inner = line.text[1:].rstrip()
        inner = inner[:-1] if inner.endswith(">") else inner
        found = words(inner)
        return (found[0].lower() if found else ""), [self.resolved(word) for word in found[1:]]

    def _enter(self, name: str, arguments: List[str], current: Optional[Host], line: Line) -> Optional[Host]:
        """The server that the lines of a section belong to; None when they count for nothing here."""
        if current is None:
            return None
        if name == "virtualhost":
            host = Host(arguments, line, bool(self._uses))
            self.hosts.append(host)
            return host
        if name == "mdomainset":
            current.directives.append(Directive("mdomain", arguments, line.file, line.number))
        elif name in _CONDITIONS:
            value = self._condition(name, arguments)
            if value is None:
                self.warn(
                    "<%s> cannot be judged: its lines are taken as they stand" % name, line.file, line.number
                )
            return None if value is False else current
        return None

    def _condition(self, name: str, arguments: List[str]) -> Optional[bool]:
        argument = arguments[0] if arguments else ""
        negated = argument.startswith("!")
        argument = argument[1:] if negated else argument
        value: Optional[bool] = None
        if name == "ifdefine":
            value = argument in self.defines
        elif name == "ifmodule":
            value = argument in self.modules
        elif name == "iffile":
            value = os.path.exists(_reading.raw(self.path(argument)))
        elif name == "ifversion":
            return self._compares(arguments)
        return None if value is None else value != negated

    def _compares(self, arguments: List[str]) -> Optional[bool]:
        """`<IfVersion [[!]operator] version>` with numbers; a regular expression is not judged."""
        operator, wanted = arguments if len(arguments) == 2 else ("=", arguments[0] if arguments else "")
        negated = operator.startswith("!")
        operator = operator[1:] if negated else operator
        if self.version is None or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}", wanted):
            return None
        ours = ([int(part) for part in re.findall(r"[0-9]+", self.version)] + [0, 0])[:3]
        theirs = ([int(part) for part in wanted.split(".")] + [0, 0])[:3]
        judged = {
            "=": ours == theirs,
            "==": ours == theirs,
            ">": ours > theirs,
            ">=": ours >= theirs,
            "<": ours < theirs,
            "<=": ours <= theirs,
        }.get(operator)
        return None if judged is None else judged != negated

    def _directive(self, line: Line, host: Host) -> None:
        """Obeys a directive that matters while reading, keeps one that matters later."""
        name = _NAME.findall(line.text)[0].lower()
        if name in _WANTED:
            arguments = [self.resolved(word) for word in words(line.text)[1:]]
            host.directives.append(Directive(name, arguments, line.file, line.number))
        elif name in _OBEYED:
            arguments = [self.resolved(word) for word in words(line.text)[1:]]
            _OBEYED[name](self, arguments, host, line)

    def resolved(self, word: str) -> str:
        """A word with each ${NAME} that is known replaced; Apache leaves the others as they are."""
        if "${" not in word:
            return word
        return _bounded(_VARIABLE.sub(self._variable, word))

    def _variable(self, match: Any) -> str:
        name: str = match.group(1)
        return self.defines.get(name, self.environment.get(name, "${%s}" % name))

    def path(self, value: str) -> str:
        """A path of the configuration, which is relative to ServerRoot."""
        return os.path.join(self.root, value)

    def _include(self, arguments: List[str], host: Host, line: Line) -> None:
        for value in arguments:
            found = self.reader.glob(os.path.normpath(self.path(value)))
            optional = line.text[:15].lower() == "includeoptional"
            for path in found:
                if os.path.isdir(_reading.raw(path)):
                    self._folder(path, host, line)
                elif not optional or os.path.lexists(_reading.raw(path)):
                    self.file(path, host, line)
            if not found and not optional:
                self.warn("nothing to include: %s" % value, line.file, line.number)

    def _folder(self, path: str, host: Host, line: Line) -> None:
        """A folder stands for every file in it and below it; each is entered once, whatever links say."""
        waiting = [path]
        entered: Set[str] = set()
        left = _FOLDER_LIMIT
        while waiting:
            inner = waiting.pop()
            end = _reading.real(inner)
            if not os.path.isdir(_reading.raw(inner)):
                if not self.file(inner, host, line):
                    self.warn("%s is no folder of configurations" % path, line.file, line.number)
                    return
            elif end not in entered:
                entered.add(end)
                waiting.extend(os.path.join(inner, name) for name in reversed(self.reader.names(inner)))
            left -= 1
            if left < 0:
                self.warn("%s holds too many files to be a configuration" % path, line.file, line.number)
                return

    def _define(self, arguments: List[str], _host: Host, _line: Line) -> None:
        if arguments:
            self.defines[arguments[0]] = arguments[1] if len(arguments) > 1 else ""

    def _undefine(self, arguments: List[str], _host: Host, _line: Line) -> None:
        for name in arguments[:1]:
            self.defines.pop(name, None)

    def _load_module(self, arguments: List[str], _host: Host, _line: Line) -> None:
        if len(arguments) == 2:
            self.modules.update(module_names(arguments[0], arguments[1]))

    def _server_root(self, arguments: List[str], _host: Host, _line: Line) -> None:
        if arguments:
            self.root = arguments[0]

    def _use(self, arguments: List[str], host: Host, line: Line) -> None:
        name = arguments[0].lower() if arguments else ""
        if name not in self._macros:
            self.warn("no macro is called %s" % name[:60], line.file, line.number)
            return
        if name in self._uses or len(self._uses) >= _USE_DEPTH:
            self.warn("the macro %s uses itself" % name[:60], line.file, line.number)
            return
        parameters, body = self._macros[name]
        values = dict(zip(parameters, arguments[1:]))
        self._uses.append(name)
        self.obey([line_of._replace(text=_substituted(line_of.text, values)) for line_of in body], host)
        self._uses.pop()


def _substituted(text: str, values: Dict[str, str]) -> str:
    """A macro's line with its parameters replaced: the leftmost first, of two there the longer."""
    names = [name for name in sorted(values, key=len, reverse=True) if name]
    if not names:
        return text
    return _bounded(
        re.sub("|".join(re.escape(name) for name in names), lambda match: values[match.group()], text)
    )


def _bounded(text: str) -> str:
    """A text that variables have made longer, unless it grows without end."""
    if len(text) > _WORD_LIMIT:
        raise _reading.Exhausted("a variable of the configuration grows without end")
    return text


def module_names(identifier: str, path: str) -> List[str]:
    """The names by which <IfModule> knows a module: its identifier and its source file."""
    base = os.path.basename(path)
    stem = base[: -len(".so")] if base.endswith(".so") else base
    short = identifier[: -len("_module")] if identifier.endswith("_module") else identifier
    found = [identifier, stem + ".c", "mod_%s.c" % short]
    if short.startswith("mpm_"):
        found.append(short[len("mpm_") :] + ".c")
    return found


_OBEYED = {
    "include": Reading._include,
    "includeoptional": Reading._include,
    "define": Reading._define,
    "undefine": Reading._undefine,
    "loadmodule": Reading._load_module,
    "serverroot": Reading._server_root,
    "use": Reading._use,
}
