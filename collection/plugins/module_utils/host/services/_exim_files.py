# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an Exim configuration: what `exim -bP` says, and the lines that say it."""

import functools
import re
from typing import Any, Dict, List, NamedTuple, Optional

from . import _reading

OPTIONS = (
    *("tls_certificate", "tls_privatekey", "tls_advertise_hosts", "tls_on_connect_ports"),
    *("daemon_smtp_ports", "local_interfaces", "primary_hostname", "disable_ipv6"),
)
_DEFAULTS = {"tls_advertise_hosts": "*", "daemon_smtp_ports": "smtp"}
_HIDDEN = "<value not displayable>"
_MACRO = re.compile(r"([A-Z]\w*)\s*(==?)\s*(.*)", re.DOTALL)
_OPTION = re.compile(r"(?:hide\s+)?([a-z]\w*)\s*(?:=\s*(.*))?$", re.DOTALL)
_LENGTH = 65536
_DEPTH = 32


class Value(NamedTuple):
    """A text and where it is given."""

    text: str
    file: str
    line: int


class Options:
    """Values in effect; `told` is None where Exim could not be asked."""

    def __init__(self, config: str, told: Optional[Dict[str, str]], report: Any) -> None:
        self.config = config
        self.told = told
        self.report = report
        self.written: Dict[str, Value] = {}
        self._macros: Dict[str, str] = {}
        self._conditions: List[bool] = []
        self._taken: List[bool] = []  # whether a branch before this one was
        self._open: List[str] = []
        report.partly(functools.partial(self._read, config))

    def value(self, name: str) -> Value:
        """The value of an option, with the place that gives it or the file's beginning."""
        written = self.written.get(name)
        text = written.text if written is not None else _DEFAULTS.get(name, "")
        if self.told is not None and name in self.told and self.told[name] != _HIDDEN:
            text = self.told[name]
        file, line = (written.file, written.line) if written is not None else (self.config, 1)
        return Value(text, file, line)

    def _read(self, path: str, optional: bool = False) -> bool:
        """Reads the main section; False when it has ended."""
        if path in self._open or len(self._open) > _DEPTH:
            self.report.warning("%s includes itself" % path, path)
            return True
        try:
            text = self.report.reader.config(path)
        except _reading.Unreadable as error:
            if not (optional and error.kind == "missing"):
                self.report.warning("%s is not read: %s" % (path, error.message), path)
            return True
        self._open.append(path)
        whole = self._lines(text, path)
        self._open.pop()
        return whole

    def _lines(self, text: str, path: str) -> bool:
        pending, start = "", 0
        for number, raw in enumerate(text.split("\n"), 1):
            self.report.reader.tick()
            line = raw.strip()
            if line.startswith("#") or (not line and not pending):
                continue
            start = start if pending else number
            if line.endswith("\\") and len(pending) < _LENGTH:
                pending += line[:-1]
                continue
            line, pending = pending + line, ""
            if not self._line(line, path, start):
                return False
        return True

    def _line(self, line: str, path: str, number: int) -> bool:
        word = line.split(None, 1)[0] if line.split() else ""
        if word in (".ifdef", ".ifndef", ".elifdef", ".elifndef", ".else", ".endif"):
            self._condition(word, line[len(word) :].strip())
            return True
        if not all(self._conditions):
            return True
        macro = _MACRO.match(line)
        if macro is not None and " " not in macro.group(1):
            if macro.group(2) == "==" or macro.group(1) not in self._macros:
                self._macros[macro.group(1)] = self._replaced(macro.group(3))
            return True
        line = self._replaced(line)
        if word in (".include", ".include_if_exists"):
            return self._read(line[len(word) :].strip().strip('"'), word == ".include_if_exists")
        if word == "begin":
            return False
        option = _OPTION.match(line)
        if option is not None:
            text = "true" if option.group(2) is None else option.group(2).strip()
            if len(text) > 1 and text[0] == text[-1] == '"':
                text = re.sub(r"\\(.)", r"\1", text[1:-1])
            self.written[option.group(1)] = Value(text, path, number)
        return True

    def _condition(self, word: str, name: str) -> None:
        known = any(macro in name for macro in self._macros)
        if word in (".ifdef", ".ifndef"):
            self._conditions.append(known == (word == ".ifdef"))
            self._taken.append(False)
        elif self._conditions and word == ".endif":
            self._conditions.pop()
            self._taken.pop()
        elif self._conditions:
            self._taken[-1] = self._taken[-1] or self._conditions[-1]
            holds = word == ".else" or known == (word == ".elifdef")
            self._conditions[-1] = holds and not self._taken[-1]

    def _replaced(self, text: str) -> str:
        for name, value in self._macros.items():
            if name in text:
                text = text.replace(name, value)[:_LENGTH]
        return text


def items(value: str) -> List[str]:
    """The items of a list: colons part them unless `<` names another sign; a doubled one is a plain one."""
    separator = ":"
    value = value.strip()
    if len(value) > 1 and value[0] == "<" and not value[1].isalnum():
        separator, value = value[1], value[2:]
    found = [part.replace("\0", separator) for part in value.replace(separator * 2, "\0").split(separator)]
    return [part.strip() for part in found if part.strip()]
