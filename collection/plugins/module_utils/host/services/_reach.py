# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names of which virtual server a handshake can reach, so that no more is claimed.

A name is what to ask for in SNI: a DNS name in lower case, `*.x`, or a regular expression
that begins with `~`.
"""

import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def plain(name: str) -> Optional[str]:
    """A name that can be asked for, or None: `_` and the like stand for no name."""
    name = name.lower().rstrip(".")
    return name if name != "_" and len(name) < 254 and _NAME.fullmatch(name) else None


def pattern(name: str) -> str:
    """A name with stars in other places as the regular expression that it stands for."""
    return "~^%s$" % re.escape(name.lower()).replace("\\*", ".+").replace("\\?", ".")


class Face(NamedTuple):
    """What a server is asked for and where, so that it shows a certificate."""

    names: List[str]
    listeners: List[str]


class Claims:
    """Who of several virtual servers on one listener answers for a name: the first that has it."""

    def __init__(self, stars_take_names: bool) -> None:
        self.stars_take_names = stars_take_names
        self._owners: Dict[str, object] = {}

    def claim(self, owner: object, names: Iterable[str]) -> List[str]:
        """Those of the names that are this owner's; the others belong to servers before it."""
        kept = [name for name in names if name.startswith("~") or self._owner(name) in (None, owner)]
        for name in kept:
            self._owners.setdefault(name, owner)
        return kept

    def _owner(self, name: str) -> Optional[object]:
        if name in self._owners or not self.stars_take_names:
            return self._owners.get(name)
        labels = name.split(".")
        for cut in range(1, len(labels)):
            owner = self._owners.get("*." + ".".join(labels[cut:]))
            if owner is not None:
                return owner
        return None


def grouped(reached: Iterable[Tuple[str, List[str]]]) -> List[Face]:
    """A face for each set of names, from (listener, names reached there); a list may be there many times."""
    every = list(reached)
    groups: Dict[Tuple[str, ...], List[str]] = {}
    known: Dict[int, List[str]] = {}
    for listener, names in every:
        if id(names) not in known:
            known[id(names)] = groups.setdefault(tuple(names), [])
        known[id(names)].append(listener)
    return [Face(list(names), listeners) for names, listeners in groups.items()]
