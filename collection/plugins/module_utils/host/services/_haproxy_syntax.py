# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of HAProxy's configuration: words, quotes, variables, conditional blocks.

Follows HAProxy's configuration manual, sections 2.2 (quoting), 2.3 (environment) and 2.4
(conditional blocks).
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

_BLANK = " \t\r\v\f"
_SPECIAL = re.compile(r"[\\'\"#]")
_UNQUOTED = re.compile(r"[^ \t\r\v\f]+")
_RUN = {
    "": re.compile(r"[^\\'\"# \t\r\v\f]+"),
    '"': re.compile(r'[^\\"$]+'),
    "'": re.compile(r"[^']+"),
}
_VARIABLE = re.compile(
    r"\$(?:\{(\.?[A-Za-z_][A-Za-z0-9_]*)(\[\*\])?(?:-([^}]*))?\}|(\.?[A-Za-z_][A-Za-z0-9_]*))"
)
_HEX = re.compile(r"x([0-9A-Fa-f]{2})")
_VALUE_LIMIT = 64 * 1024
_SIGNS = {"n": "\n", "r": "\r", "t": "\t"}
_TOKEN = re.compile(r"\s*(&&|\|\||!(?!=)|[()]|[^\s()&|!]+)")

Environment = Callable[[str], Optional[str]]


class Line(NamedTuple):
    """One line of a configuration, cut into words."""

    words: List[str]
    file: str
    line: int


def words(line: str, environment: Environment) -> List[str]:
    """The words of a line; an open quote ends with the line."""
    if not _SPECIAL.search(line):
        return _UNQUOTED.findall(line)
    cutter = _Cutter(line, environment)
    while cutter.step():
        pass
    cutter.end()
    return cutter.found


class _Cutter:
    """Cuts one line; `parts` is the word under way: [""] when it is empty but quoted, [] between words."""

    def __init__(self, line: str, environment: Environment) -> None:
        self.line = line
        self.environment = environment
        self.at = 0
        self.quote = ""
        self.found: List[str] = []
        self.parts: List[str] = []

    def step(self) -> bool:
        """Takes the next piece of the line; False when the line or what counts of it is over."""
        if self.at >= len(self.line):
            return False
        sign = self.line[self.at]
        if sign == "#" and not self.quote:
            return False
        if sign == "\\" and self.quote != "'":
            self._escape()
        elif sign == "$" and self.quote == '"':
            self._variable()
        elif sign in "\"'" and self.quote in ("", sign):
            self.quote = "" if self.quote else sign
            self._add("", 1)
        elif not self.quote and sign in _BLANK:
            self.end()
            self.at += 1
        else:
            match = _RUN[self.quote].match(self.line, self.at)
            text = match.group() if match else sign
            self._add(text, len(text))
        return True

    def end(self) -> None:
        """Ends the word under way."""
        if self.parts:
            self.found.append("".join(self.parts))
        self.parts = []

    def _add(self, text: str, width: int) -> None:
        self.parts.append(text)
        self.at += width

    def _escape(self) -> None:
        """Takes an escape: a control sign, a sign by its code, else the sign itself."""
        match = _HEX.match(self.line, self.at + 1)
        sign = self.line[self.at + 1 : self.at + 2]
        if match:
            self._add(chr(int(match.group(1), 16)), 4)
        else:
            self._add(_SIGNS.get(sign, sign), 2)

    def _variable(self) -> None:
        match = _VARIABLE.match(self.line, self.at)
        if match is None:
            self._add("$", 1)
            return
        first, *others = _value(match, self.environment)
        self._add(first, match.end() - self.at)
        for part in others:
            self.end()
            self._add(part, 0)


def _value(match: Any, environment: Environment) -> List[str]:
    """The value of a variable; several when it is to be cut into words."""
    value = environment(match.group(1) or match.group(4))
    if value is None:
        value = match.group(3) or ""
    return (value.split() or [""]) if match.group(2) else [value]


class Conditions:
    """The conditional blocks around a line: which branch is taken, as far as it can be known."""

    def __init__(self, predicate: Callable[[str, List[str]], Optional[bool]]) -> None:
        self.predicate = predicate
        self.unknown = False
        self._levels: List[Tuple[bool, bool]] = []

    def active(self) -> bool:
        """Whether the lines here count. A branch whose condition is not known counts as well."""
        return all(now for now, _before in self._levels)

    def take(self, line: List[str]) -> bool:
        """Follows a directive such as .if; False when the line is none."""
        if line[0] == ".if":
            value = self._truth(line[1:]) if self.active() else False
            self._levels.append((value is not False, value is True))
        elif line[0] in (".elif", ".else") and self._levels:
            _now, before = self._levels.pop()
            value = False if before else True if line[0] == ".else" else self._truth(line[1:])
            self._levels.append((value is not False, before or value is True))
        elif line[0] == ".endif" and self._levels:
            self._levels.pop()
        else:
            return line[0].startswith(".")
        return True

    def _truth(self, line: List[str]) -> Optional[bool]:
        value = truth(" ".join(line), self.predicate)
        self.unknown = self.unknown or value is None
        return value


def truth(expression: str, predicate: Callable[[str, List[str]], Optional[bool]]) -> Optional[bool]:
    """The value of a condition; None when a part of it that matters is not known."""
    tokens = _tokens(expression)
    if not tokens:
        return False
    try:
        value, rest = _either(tokens, predicate, 0)
    except (IndexError, ValueError):
        return None
    return None if rest else value


def _tokens(expression: str) -> List[str]:
    """`name(arguments)` is one token, however its arguments look."""
    found: List[str] = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            return found + (["?"] if expression[at:].strip() else [])
        token = match.group(1)
        at = match.end()
        if token[0].isalpha() and expression[at : at + 1] == "(":
            end = expression.find(")", at)
            end = len(expression) if end < 0 else end
            token, at = token + expression[at:end] + ")", end + 1
        found.append(token)
    return found


def _either(
    tokens: List[str], predicate: Callable[[str, List[str]], Optional[bool]], depth: int
) -> Tuple[Optional[bool], List[str]]:
    value, tokens = _both(tokens, predicate, depth)
    while tokens and tokens[0] == "||":
        other, tokens = _both(tokens[1:], predicate, depth)
        value = True if True in (value, other) else None if None in (value, other) else False
    return value, tokens


def _both(
    tokens: List[str], predicate: Callable[[str, List[str]], Optional[bool]], depth: int
) -> Tuple[Optional[bool], List[str]]:
    value, tokens = _single(tokens, predicate, depth)
    while tokens and tokens[0] == "&&":
        other, tokens = _single(tokens[1:], predicate, depth)
        value = False if False in (value, other) else None if None in (value, other) else True
    return value, tokens


def _single(
    tokens: List[str], predicate: Callable[[str, List[str]], Optional[bool]], depth: int
) -> Tuple[Optional[bool], List[str]]:
    if depth > 50:
        raise ValueError("nested too deeply")
    token = tokens[0]
    if token == "!":  # noqa: S105 - a sign of the grammar
        value, rest = _single(tokens[1:], predicate, depth + 1)
        return (None if value is None else not value), rest
    if token == "(":  # noqa: S105 - a sign of the grammar
        value, rest = _either(tokens[1:], predicate, depth + 1)
        if rest[0] != ")":
            raise ValueError("no end")
        return value, rest[1:]
    if re.fullmatch(r"-?[0-9]+", token):
        return int(token) != 0, tokens[1:]
    name, bracket, arguments = token.partition("(")
    if not bracket:
        return None, tokens[1:]
    return predicate(name, [one.strip().strip("\"'") for one in arguments[:-1].split(",")]), tokens[1:]


def newer(version: str) -> List[int]:
    """A version as numbers that can be compared; 2.4-dev19 comes before 2.4."""
    main, dash, rest = version.partition("-")
    numbers = [int(part) for part in re.findall(r"[0-9]+", main)][:4]
    numbers += [0] * (4 - len(numbers))
    stage = re.match(r"dev([0-9]+)", rest) if dash else None
    return numbers + ([-1, int(stage.group(1))] if stage else [0, 0])


class Section:
    """One section with the lines that a scan cares for."""

    def __init__(self, kind: str, name: str, place: Line) -> None:
        self.kind = kind
        self.name = name
        self.place = place
        self.lines: List[Line] = []


SECTIONS = frozenset(
    "acme backend cache crt-store defaults dynamic-update fcgi-app frontend global http-errors listen "  # noqa: SIM905 - words in a row read best
    "log-forward log-profile mailers peers program resolvers ring traces userlist".split()
)
_WANTED = frozenset(
    "bind crt-base default-path disabled enabled key-base load ssl-f-use "  # noqa: SIM905 - words in a row read best
    "ssl-load-extra-del-ext ssl-load-extra-files stats".split()
)
_ENVIRONMENT = ("setenv", "presetenv", "unsetenv", "resetenv")


class Reading:
    """Reads the files of one process one after the other, as HAProxy does."""

    def __init__(
        self,
        environment: Dict[str, str],
        predicate: Callable[[str, List[str]], Optional[bool]],
        warn: Callable[[str, str, int], None],
    ) -> None:
        self.environment = dict(environment)
        self.asked: Set[str] = set()
        self.predicate = predicate
        self.warn = warn
        self.sections: List[Section] = []

    def read(self, text: str, file: str) -> None:
        """Adds the sections of one file."""
        conditions = Conditions(self._predicate)
        section = Section("", "", Line([], file, 0))
        for number, line in enumerate(text.split("\n"), 1):
            found = words(line, self._variables(file, number, section))
            if not found or conditions.take(found):
                continue
            if conditions.unknown:
                self.warn(
                    "a condition that only HAProxy can judge: its lines are taken as they stand", file, number
                )
                conditions.unknown = False
            if not conditions.active():
                continue
            place = Line(found, file, number)
            if found[0] in SECTIONS:
                section = Section(found[0], found[1] if len(found) > 1 else "", place)
                self.sections.append(section)
            elif found[0] in _WANTED:
                section.lines.append(place)
            elif section.kind == "global" and found[0] in _ENVIRONMENT:
                self._set(found)

    def _variables(self, file: str, number: int, section: Section) -> Environment:
        own = {".FILE": file, ".LINE": str(number), ".SECTION": section.name or section.kind}

        def value(name: str) -> Optional[str]:
            self.asked.add(name)
            return own.get(name, self.environment.get(name))

        return value

    def _predicate(self, name: str, arguments: List[str]) -> Optional[bool]:
        if name == "defined":
            self.asked.add(arguments[0])
            return arguments[0] in self.environment
        if name in ("streq", "strneq", "strstr") and len(arguments) == 2:
            if name == "strstr":
                return arguments[1] in arguments[0]
            return (arguments[0] == arguments[1]) == (name == "streq")
        return self.predicate(name, arguments)

    def _set(self, found: List[str]) -> None:
        name = found[1] if len(found) > 1 else ""
        if found[0] == "setenv" or (found[0] == "presetenv" and name not in self.environment):
            self.environment[name] = found[2][:_VALUE_LIMIT] if len(found) > 2 else ""
        elif found[0] == "unsetenv":
            for one in found[1:]:
                self.environment.pop(one, None)
        elif found[0] == "resetenv":
            self.environment = {one: self.environment[one] for one in found[1:] if one in self.environment}
