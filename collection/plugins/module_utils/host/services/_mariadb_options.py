# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option files of MariaDB and MySQL, and the options that come out of them.

Follows the page "Configuring MariaDB with Option Files" of its manual.
"""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import _reading

_DEPTH = 10  # as in MariaDB
_FILES = 2000
_GROUP = re.compile(r"\[([^\]]*)\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SIGNS = {"n": "\n", "t": "\t", "b": "\b", "r": "\r", "s": " ", "\\": "\\", '"': '"', "'": "'"}
_NEGATIONS = ("skip-", "disable-")
_FALSE = ("0", "off", "false", "no")
# Options that a scan cares for, and what else begins like them: MariaDB takes any clear beginning.
_KNOWN = (
    "admin-address admin-port admin-ssl-cert admin-ssl-key bind-address datadir extra-port networking port "  # noqa: SIM905 - words in a row read best
    "port-open-timeout skip-networking socket ssl ssl-ca ssl-capath ssl-cert ssl-cipher ssl-crl ssl-crlpath "
    "ssl-key tls-version wsrep-provider-options".split()
)
_SHORT = {"h": "datadir", "P": "port"}


class Option(NamedTuple):
    """What was said of an option, and where; `value` is None where it stands alone."""

    value: Optional[str]
    file: str
    line: int


def assigned(text: str, literal: bool = False) -> Tuple[str, Optional[str]]:
    """The name and value of `ssl_cert=x` or `skip-networking`; a `literal` value has no quotes of a file."""
    name, equals, value = text.partition("=")
    name = name.strip().lower().replace("_", "-")
    if name.startswith("loose-"):
        name = name[len("loose-") :]
    if name.startswith("enable-"):
        return name[len("enable-") :], "1"
    if name not in _KNOWN and len(name) > 3:
        meant = [one for one in _KNOWN if one.startswith(name)]
        name = meant[0] if len(meant) == 1 else name
    negation = next((one for one in _NEGATIONS if name.startswith(one)), None)
    if negation is not None and name != "skip-networking":
        return name[len(negation) :], "0"
    return name, (value if literal else unquoted(value)) if equals else None


def unquoted(value: str) -> str:
    """A value without the comment behind it, its quotes and its escapes."""
    value = _without_comment(value).strip()
    if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        value = value[1:-1]
    return _ESCAPE.sub(lambda match: _SIGNS.get(match.group(1), match.group(0)), value)


def _without_comment(value: str) -> str:
    quote = ""
    escaped = False
    for position, sign in enumerate(value):
        if sign in "'\"" and not escaped and quote in ("", sign):
            quote = "" if quote else sign
        if sign == "#" and not quote:
            return value[:position]
        escaped = bool(quote) and sign == "\\" and not escaped
    return value


def switched_on(value: Optional[str]) -> bool:
    """Whether an option that can be on or off is on; without a value it is."""
    return value is None or value.strip().lower() not in _FALSE


class Files:
    """Reads option files with all that they include; the last word on an option counts."""

    def __init__(self, report: Any, groups: Sequence[str]) -> None:
        self.report = report
        self.groups = frozenset(groups)
        self.options: List[Tuple[str, Option]] = []
        self.read = 0

    def take(self, path: str, depth: int = 0, optional: bool = False) -> None:
        """Takes one file and its includes; no group is open at the beginning of a file."""
        self.read += 1
        if depth > _DEPTH or self.read > _FILES:
            self.report.warning("includes are nested too deeply or too many: the rest is not read", path)
            return
        status = _reading.status(path)
        if status is not None and status.st_mode & 0o002:
            message = "everybody can write this file: the server reads it only where it sees it as read-only"
            self.report.warning(message, path)
            return
        try:
            text = self.report.reader.config(path)
        except _reading.Unreadable as error:
            if not (optional and error.kind == "missing"):
                self.report.warning("%s is not read: %s" % (path, error.message), path)
            return
        open_group: Optional[bool] = None
        for number, line in enumerate(map(str.strip, text.split("\n")), 1):
            if open_group is None and line[:1] not in ("", "#", ";", "!", "["):
                message = "an option before any group: the server reads no further in this file"
                self.report.warning(message, path, number)
                return
            open_group = self._line(path, number, line, open_group, depth)

    def _line(
        self, path: str, number: int, line: str, open_group: Optional[bool], depth: int
    ) -> Optional[bool]:
        """Takes one line; returns whether the lines after it are in one of our groups (None: in none)."""
        if not line or line[0] in "#;":
            return open_group
        if line[0] == "!":
            self._include(path, number, line, depth)
        elif line[0] == "[":
            match = _GROUP.match(line)
            return match is not None and match.group(1).rstrip() in self.groups
        elif open_group:
            name, value = assigned(line if "=" in line else _without_comment(line))
            self.options.append((name, Option(value, path, number)))
        return open_group

    def _include(self, path: str, number: int, line: str, depth: int) -> None:
        word, _blank, place = line[1:].partition(" ")
        place = place.strip()
        if word == "include" and os.path.isabs(place):
            self.take(place, depth + 1)
        elif word == "includedir" and os.path.isdir(_reading.raw(place)):
            for name in self.report.reader.names(place.rstrip("/")):
                if name.endswith(".cnf"):
                    self.take(os.path.join(place, name), depth + 1)
        else:
            self.report.warning("this include cannot be followed", path, number)


def arguments(words: Sequence[str], file: str) -> List[Tuple[str, Option]]:
    """The options of a command line: `--ssl-cert=x`, `--ssl-cert x`, `-P 3307`, `--skip-networking`."""
    found = []
    for word, after in zip(words, list(words[1:]) + ["-"]):
        short = _SHORT.get(word[1:2]) if word[:2] != "--" else None
        if not word.startswith("--") and (short is None or word[:1] != "-"):
            continue
        text = word[2:] if short is None else short + ("=" + word[2:] if word[2:] else "")
        apart = "" if "=" in text or after.startswith("-") else "=" + after
        name, value = assigned(text + apart, literal=True)
        found.append((name, Option(value, file, 0)))
    return found


def effective(said: Sequence[Tuple[str, Option]]) -> Dict[str, Option]:
    """What holds in the end: the last word, and TLS is on again once one of its options is said."""
    found: Dict[str, Option] = {}
    for name, option in said:
        found[name] = option
        if name.startswith("ssl-"):
            found["ssl"] = option._replace(value="1")
    return found
