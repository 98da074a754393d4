# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of dovecot.conf, of version 2.3 and of 2.4, and of what doveconf prints."""

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import _reading

_DEPTH = 32
_LENGTH = 65536
_COMMENT = re.compile(r"""(?:[^#'"\\]|\\.|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|['"\\])*""", re.DOTALL)
_VARIABLE = re.compile(r"\$([A-Za-z0-9_]+)")
#: Sections of 2.4 whose settings may be written without the section's name before each.
_PREFIXED = ("ssl_server",)


class Value(NamedTuple):
    """A value, where it is given, and whether it stands for the content of a file (`<path`)."""

    text: str
    file: str
    line: int
    of_file: bool = False


class Section:
    """`kind name { ... }`: its settings and the sections in it, in the order of their first lines."""

    def __init__(self, kind: str = "", name: str = "") -> None:
        self.kind = kind
        self.name = name
        self.settings: Dict[str, Value] = {}
        self.children: Dict[Tuple[str, str], Section] = {}

    def child(self, kind: str, name: str) -> "Section":
        """The section of that kind and name in this one."""
        return self.children.setdefault((kind, name), Section(kind, name))

    def text(self, name: str, default: str = "") -> str:
        """The text of a setting."""
        value = self.settings.get(name)
        return default if value is None else value.text


class Reading:
    """Reads a configuration with all that it includes into one tree."""

    def __init__(self, reader: Any, warn: Callable[..., None]) -> None:
        self.reader = reader
        self.warn = warn
        self.root = Section()
        self.stack: List[Section] = [self.root]
        self._open: List[str] = []

    def read(self, path: str, optional: bool = False) -> None:
        """Reads one file into the section that is open."""
        if path in self._open or len(self._open) > _DEPTH:
            self.warn("%s includes itself" % path, path)
            return
        try:
            text = self.reader.config(path)
        except _reading.Unreadable as error:
            if not (optional and error.kind == "missing"):
                self.warn("%s is not read: %s" % (path, error.message), path)
            return
        self._open.append(path)
        depth = len(self.stack)
        self.parse(text, path)
        del self.stack[max(depth, 1) :]
        self._open.pop()

    def parse(self, text: str, path: str, told: bool = False) -> None:
        """Takes in the lines of a text; `told` is what doveconf prints, where no line is a comment's."""
        pending, start, marker = "", 0, None  # type: str, int, Optional[str]
        for number, raw in enumerate(text.split("\n"), 1):
            self.reader.tick()
            line = raw.strip()
            if marker is not None:  # the text of a heredoc (2.4)
                marker = None if line == marker else marker
                continue
            if not line or line.startswith("#"):
                continue
            if not told:
                line = _COMMENT.match(line).group(0).rstrip()  # type: ignore[union-attr]
            start = start if pending else number
            if line.endswith("\\") and len(pending) < _LENGTH:
                pending += line[:-1].rstrip() + " "
                continue
            marker = self._line(pending + line, path, start)
            pending = ""

    def _line(self, line: str, path: str, number: int) -> Optional[str]:
        """Takes in one line; gives back what ends the heredoc that it begins."""
        if line == "}":
            if len(self.stack) > 1:
                self.stack.pop()
            return None
        key = re.split(r"[\s=]", line, maxsplit=1)[0]
        rest = line[len(key) :].strip()
        if key in ("!include", "!include_try"):
            self._include(rest, path, key == "!include_try")
        elif rest.startswith("="):
            value = rest[1:].strip()
            if value.startswith("<<<"):
                return value[3:].strip() or None
            self._set(key, value, path, number)
        elif rest.endswith("{") or key.endswith("{"):
            name = rest[:-1].strip() if rest else ""
            self.stack.append(self.stack[-1].child(key.rstrip("{"), _unquoted(name)))
        elif rest.endswith("}") and "{" in rest:  # `name { }` in one line (2.4)
            self.stack[-1].child(key, _unquoted(rest.partition("{")[0].strip()))
        else:
            # without its text: it may be that of a key, or of any file that is included
            self.warn("a line that is not understood", path, number)
        return None

    def _set(self, key: str, value: str, path: str, number: int) -> None:
        section = self.stack[-1]
        if section.kind in _PREFIXED and len(self.stack) > 1:
            section, prefix = self.stack[-2], section.kind + "_"
            key = key if key.startswith(prefix) else prefix + key
        if value.startswith("<"):
            section.settings[key] = Value(value[1:].strip(), path, number, of_file=True)
            return
        if "$" in value and value[:1] not in ("'", '"'):
            value = _VARIABLE.sub(lambda match: self._variable(match.group(1)), value)[:_LENGTH]
        section.settings[key] = Value(_unquoted(value), path, number)

    def _variable(self, name: str) -> str:
        for section in reversed(self.stack):
            if name in section.settings:
                return section.settings[name].text
        return ""

    def _include(self, pattern: str, path: str, optional: bool) -> None:
        pattern = os.path.join(os.path.dirname(path), _unquoted(pattern))
        for found in self.reader.glob(pattern):
            self.read(found, optional or _reading.has_wildcard(pattern))


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
