# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that nginx chooses at each handshake: by a `map` of the name that is asked for.

A map compares without regard to case; first comes the very name, then the longest wildcard
(only with `hostnames`), then the first regular expression, then `default`. Regular expressions
are those of another library and are not run here.
"""

import re
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple

from . import _reach
from ._nginx_syntax import Block

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
SNI = "ssl_server_name"
_SPECIAL = ("default", "hostnames", "volatile")
_CHOICES_LIMIT = 20000


class Choice(NamedTuple):
    """What is shown for some names: the values with their variables filled in, None if not known."""

    names: List[str]
    values: Optional[List[str]]


class Map:
    """One map of the name asked for."""

    def __init__(self, block: Block) -> None:
        self.exact: Dict[str, str] = {}
        self.wild: Dict[str, str] = {}
        self.regular: Dict[str, str] = {}
        self.default = ""
        hostnames = bool(block.all("hostnames"))
        for directive in block.directives:
            value = directive.arguments[0] if directive.arguments else ""
            if directive.name == "default":
                self.default = value
            elif directive.name not in _SPECIAL:
                self._take(directive.name, value, hostnames)

    def _take(self, key: str, value: str, hostnames: bool) -> None:
        if key.startswith("~"):
            self.regular.setdefault(key, value)
            return
        key = (key[1:] if key.startswith("\\") else key).lower()
        if hostnames and key.startswith("."):
            self.exact.setdefault(key[1:], value)
            self.wild.setdefault("*" + key, value)
        elif hostnames and key.startswith("*."):
            self.wild.setdefault(key, value)
        elif hostnames and key.endswith(".*"):
            self.regular.setdefault(_reach.pattern(key), value)
        else:
            self.exact.setdefault(key, value)

    def hosts(self) -> List[str]:
        """The names and wildcards that it knows."""
        return [key for key in list(self.exact) + list(self.wild) if _reach.plain(key) == key]

    def value(self, name: str) -> Optional[str]:
        """What it makes of a name, of a wildcard, or of none (""); None where that is not known here."""
        if name in self.exact:
            return self.exact[name]
        labels = name.split(".")
        for cut in range(1 if not name.startswith("*.") else 0, len(labels)):
            key = ".".join(labels[cut:])
            found = self.wild.get(key if key.startswith("*.") else "*." + key)
            if found is not None:
                return found
        return None if self.regular and name else self.default


class Maps:
    """The maps of one block `http` or `stream`, by the variable that each sets."""

    def __init__(self, around: Block) -> None:
        self._maps: Dict[str, Map] = {}
        for block in around.blocks:
            arguments = block.opened_by.arguments
            if block.name == "map" and len(arguments) == 2:
                self._maps[arguments[1].strip("${}")] = Map(block)

    def know(self, variables: FrozenSet[str]) -> bool:
        """Whether every one of these variables comes from a map."""
        return bool(variables) and all(name in self._maps for name in variables)

    def choices(self, values: List[str], names: List[str]) -> List[Choice]:
        """What is shown for the names of a server (for all names, if it has none), name by name."""
        used = [self._maps[name] for name in variables_of(values)]
        asked = list(dict.fromkeys(names + self._known(used, names)))[:_CHOICES_LIMIT]
        grouped: Dict[Tuple[str, ...], List[str]] = {}
        unknown: List[str] = []
        for name in asked if names else asked + [""]:
            filled = None if name.startswith("~") else self._filled(values, name)
            if filled is None:
                unknown.append(name)
            else:
                grouped.setdefault(tuple(filled), []).append(name)
        found = [Choice([name for name in some if name], list(key)) for key, some in grouped.items()]
        found += [Choice([key], filled) for key, filled in self._by_pattern(values)]
        return found + ([Choice(unknown, None)] if unknown else [])

    @staticmethod
    def _known(used: Iterable[Map], names: List[str]) -> List[str]:
        """The names of the maps that belong to a server with these names."""
        keys = (key for one in used for key in one.hosts())
        wild = [name[1:] for name in names if name.startswith("*.")]
        return [key for key in keys if not names or any(key.endswith(end) for end in wild)]

    def _filled(self, values: List[str], name: str) -> Optional[List[str]]:
        known = {variable: self._maps[variable].value(name) for variable in variables_of(values)}
        if any(value is None for value in known.values()):
            return None
        return [_fill(value, known) for value in values]

    def _by_pattern(self, values: List[str]) -> List[Tuple[str, List[str]]]:
        """For each regular expression of a map what it leads to, if one map decides alone."""
        variables = variables_of(values)
        if len(variables) != 1:
            return []
        (variable,) = variables
        return [
            (key, [_fill(value, {variable: chosen}) for value in values])
            for key, chosen in self._maps[variable].regular.items()
        ]


def variables_of(values: Iterable[str]) -> FrozenSet[str]:
    """The names of the variables in some values."""
    return frozenset(a or b for value in values for a, b in VARIABLE.findall(value))


def _fill(value: str, known: Dict[str, Optional[str]]) -> str:
    return VARIABLE.sub(lambda match: known.get(match.group(1) or match.group(2)) or "", value)
