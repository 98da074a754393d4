# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether lighttpd's conditions hold when a handshake begins, as far as that can be told.

At that moment lighttpd knows the socket, and, where a name was asked for, the name and that it
will be https. A condition on anything else, and any other way through its chain of else, does
not count then.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ._lighttpd_syntax import Block, Condition

HOST = "HTTP host"
_SCHEME = "HTTP scheme"
_SOCKET = "SERVER socket"
_REMOTE = ("HTTP remoteip", "HTTP remote-ip")
_PATTERN_LIMIT = 300
_REPEATS_LIMIT = 2
_STARS = ("(^|\\.)", "^(.*\\.)?", "^(.+\\.)?", "(^|.*\\.)", "^(|.*\\.)")
_LITERAL = re.compile(r"(?:[a-z0-9_-]|\\[.-]|\.)+")


class Moment(NamedTuple):
    """A handshake: the socket as a listener, and the name that was asked for."""

    socket: str
    name: Optional[str]


class Names(NamedTuple):
    """The names that a condition on the host stands for: these, and these with all below them."""

    exact: Tuple[str, ...]
    below: Tuple[str, ...]


def names(condition: Condition) -> Optional[Names]:
    """The names that a condition means, where it can be written so."""
    if condition.field != HOST or not isinstance(condition.value, str):
        return None
    value = condition.value
    if value != value.lower():
        return None  # names are compared in lower case with what is written
    if condition.operator == "==":
        return Names((value,), ())
    if condition.operator != "=~" or not value.endswith("$"):
        return None
    return _spelled(value[:-1])


def _spelled(pattern: str) -> Optional[Names]:
    """The names of the usual patterns: a name, with www. or not, with all below it or not."""
    for start in (*_STARS, "^(www\\.)?", "^"):
        rest = pattern[len(start) :]
        if pattern.startswith(start) and _LITERAL.fullmatch(rest):
            name = _unescaped(rest)
            if start in _STARS:
                return Names((), (name,))
            return Names((name,), ()) if start == "^" else Names((name, "www." + name), ())
    return None


def _unescaped(pattern: str) -> str:
    return pattern.replace("\\", "")


def listener(text: str, port: Any) -> Optional[str]:
    """A socket of lighttpd's as `address:port`; None where it is none of the network."""
    if text.startswith("/"):
        return None
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*|\*)(?::([0-9]{1,5}))?", text)
    if match is None:
        return None
    host = match.group(1).lower()
    number = match.group(2) or port
    if host in ("", "*", "0.0.0.0"):  # noqa: S104 - spellings of "every address"
        host = "*"
    return "%s:%d" % (host, int(number)) if str(number).isdigit() else None


class Conditions:
    """Judges blocks for a moment: True, False, or None where nobody can tell from here."""

    def __init__(self, port: Any) -> None:
        self.port = port
        self._chains: Dict[int, "_Chain"] = {}

    def holds(self, block: Block, moment: Moment, seen: Dict[int, Optional[bool]]) -> Optional[bool]:
        """Whether all conditions around a block and its own hold; `seen` keeps the answers of a moment."""
        way: List[Block] = []
        at: Optional[Block] = block
        while at is not None and at.number not in seen and at.number:
            way.append(at)
            at = at.parent
        answer = True if at is None or not at.number else seen[at.number]
        for one in reversed(way):
            if answer is not False:
                own = self._chosen(one, moment)
                answer = own if own is not True else answer
            seen[one.number] = answer
        return answer

    def _chosen(self, block: Block, moment: Moment) -> Optional[bool]:
        """Whether a block is the one of its chain that counts."""
        key = block.chain[0].number
        if key not in self._chains or self._chains[key].size != len(block.chain):
            self._chains[key] = _Chain(self, block.chain)
        place, sure = self._chains[key].first(moment)
        if sure:
            return place == block.place
        return False if place is not None and block.place < place else None

    def one(self, condition: Optional[Condition], moment: Moment) -> Tuple[Optional[bool], bool]:
        """What a condition says, and whether an else behind it may count."""
        if condition is None:
            return True, True
        if condition.field == HOST:
            return (False, False) if moment.name is None else (_compared(condition, moment.name), True)
        if condition.field == _SCHEME:
            return (False, False) if moment.name is None else (_compared(condition, "https"), True)
        if condition.field == _SOCKET:
            return self._socket(condition, moment), True
        return (None, True) if condition.field in _REMOTE else (False, False)

    def _socket(self, condition: Condition, moment: Moment) -> Optional[bool]:
        if not isinstance(condition.value, str) or condition.operator not in ("==", "!="):
            return None
        return (listener(condition.value, self.port) == moment.socket) == (condition.operator == "==")


class _Chain:
    """Blocks that are joined by else: the first whose condition holds counts."""

    def __init__(self, conditions: Conditions, blocks: List[Block]) -> None:
        self.conditions = conditions
        self.size = len(blocks)
        self.exact: Dict[str, int] = {}
        self.below: Dict[str, int] = {}
        self.others: List[Block] = []
        for block in blocks:
            meant = None if block.condition is None else names(block.condition)
            if meant is None:
                self.others.append(block)
                continue
            for name in meant.exact:
                self.exact.setdefault(name, block.place)
            for name in meant.below:
                self.below.setdefault(name, block.place)
        self.hosts = len(self.others) < self.size

    def first(self, moment: Moment) -> Tuple[Optional[int], bool]:
        """The place of the first that holds, and whether that is sure."""
        if self.hosts and moment.name is None:
            return self._before_names(moment)
        best = self._named(moment.name or "")
        for block in self.others:
            if best is not None and block.place > best:
                break
            answer, goes_on = self.conditions.one(block.condition, moment)
            if answer is None:
                return block.place, False
            if answer:
                return block.place, True
            if not goes_on:
                return (best, True) if best is not None and best < block.place else (None, True)
        return best, True

    def _before_names(self, moment: Moment) -> Tuple[Optional[int], bool]:
        """Without a name, a chain ends at the first condition on the name."""
        places = list(self.exact.values()) + list(self.below.values())
        for block in self.others:
            if block.place > min(places):
                break
            answer, goes_on = self.conditions.one(block.condition, moment)
            if answer is None or answer:
                return block.place, answer is not None
            if not goes_on:
                break
        return None, True

    def _named(self, name: str) -> Optional[int]:
        found = [self.exact[name]] if name in self.exact else []
        labels = name.split(".")
        for cut in range(len(labels) if self.below else 0):
            parent = ".".join(labels[cut:])
            if parent in self.below:
                found.append(self.below[parent])
        return min(found) if found else None


def _compared(condition: Condition, value: str) -> Optional[bool]:
    wanted = condition.value
    if not isinstance(wanted, str):
        return None
    operator = condition.operator
    if operator in ("==", "!="):
        return (wanted == value) == (operator == "==")
    if operator in ("=^", "=$"):
        return value.startswith(wanted) if operator == "=^" else value.endswith(wanted)
    if not _harmless(wanted):
        return None
    try:
        found = re.search(wanted, value) is not None
    except (re.error, RecursionError, OverflowError):
        return None
    return found == (operator == "=~")


def _harmless(pattern: str) -> bool:
    """Whether a pattern cannot keep us long: few repeats, none of a group, nothing of Perl's own."""
    if len(pattern) > _PATTERN_LIMIT or re.search(r"\)[*+{]|\(\?(?!:)|\\[A-Zapg0-9]|\[\^?\[", pattern):
        return False
    return sum(pattern.count(sign) for sign in "*+{") <= _REPEATS_LIMIT
