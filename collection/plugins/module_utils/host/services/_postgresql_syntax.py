# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of postgresql.conf, and its files in the order in which PostgreSQL takes them.

Follows the chapter "Setting Parameters" of PostgreSQL's manual. One line that is no setting
makes PostgreSQL refuse the whole configuration.
"""

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from . import _reading

_DEPTH = 10  # as in PostgreSQL
_FILES = 2000
_LINE = re.compile(
    r"[ \t\r\f]*(?P<name>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*(?:\.[A-Za-z_][\w$]*)?)"
    r"(?:[ \t\r\f]*=[ \t\r\f]*|[ \t\r\f]+|(?='))"
    r"(?P<value>'(?:[^'\\]|\\.|'')*'|[A-Za-z_\x80-\U0010ffff][\w.:/\x80-\U0010ffff-]*|[+-]?[0-9][\w.+-]*)"
    r"[ \t\r\f]*(?:#.*)?\Z",
    re.DOTALL,
)
_BLANK = re.compile(r"[ \t\r\f]*(?:#.*)?\Z", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)|''", re.DOTALL)
_SIGNS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_INCLUDES = ("include", "include_if_exists", "include_dir")


class Setting(NamedTuple):
    """One setting: its value, and where it was said (line 0: on the command line, or built in)."""

    value: str
    file: str
    line: int


class Wrong(ValueError):
    """A line that PostgreSQL does not take."""


def setting(line: str) -> Optional[List[str]]:
    """The name (in lower case) and value of a line; None for one that says nothing."""
    if _BLANK.match(line):
        return None
    match = _LINE.match(line)
    if match is None:
        raise Wrong(line)
    return [match.group("name").lower(), unquoted(match.group("value"))]


def unquoted(value: str) -> str:
    """A value without its quotes and escapes."""
    if not value.startswith("'"):
        return value
    return _ESCAPE.sub(_sign, value[1:-1])


def _sign(match: Any) -> str:
    escaped: Optional[str] = match.group(1)
    if escaped is None:
        return "'"
    if escaped[0] in "01234567":
        return _reading.text(bytes([int(escaped, 8) & 0xFF]))
    return _SIGNS.get(escaped, escaped)


def switched_on(value: str) -> bool:
    """Whether a boolean is true: PostgreSQL takes any beginning of a word that is not ambiguous."""
    value = value.strip().lower()
    if value in ("", "o"):
        return False
    return value == "1" or any(word.startswith(value) for word in ("on", "true", "yes"))


class Files:
    """Reads a configuration with all that it includes; the last word on a setting counts."""

    def __init__(self, report: Any) -> None:
        self.report = report
        self.settings: Dict[str, Setting] = {}
        self.read = 0

    def take(self, path: str, depth: int = 0, optional: bool = False) -> None:
        """Takes one file and its includes, which are relative to it."""
        self.read += 1
        if depth > _DEPTH or self.read > _FILES:
            self.report.warning("includes are nested too deeply or too many: the rest is not read", path)
            return
        try:
            text = self.report.reader.config(path)
        except _reading.Unreadable as error:
            if not (optional and error.kind == "missing"):
                self.report.warning("%s is not read: %s" % (path, error.message), path)
            return
        for number, line in enumerate(text.split("\n"), 1):
            self._line(path, number, line, depth)

    def _line(self, path: str, number: int, line: str, depth: int) -> None:
        try:
            found = setting(line)
        except Wrong:
            message = "a line that PostgreSQL does not understand: it refuses the whole configuration"
            self.report.warning(message, path, number)
            return
        if found is None:
            return
        name, value = found
        if name not in _INCLUDES:
            self.settings[name] = Setting(value, path, number)
            return
        place = _reading.tidy(os.path.join(os.path.dirname(path), value))
        if name != "include_dir":
            self.take(place, depth + 1, name == "include_if_exists")
            return
        for included in self._folder(place, path, number):
            self.take(included, depth + 1)

    def _folder(self, place: str, path: str, number: int) -> Iterator[str]:
        if not os.path.isdir(_reading.raw(place)):
            self.report.warning("include_dir: %s is no folder that can be read" % place, path, number)
        for name in self.report.reader.names(place):
            if name.endswith(".conf") and not name.startswith("."):
                yield os.path.join(place, name)
