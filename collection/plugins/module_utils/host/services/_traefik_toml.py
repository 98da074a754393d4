# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML, read without a library and with patience: a line that is not understood is told and left out."""

import bisect
import re
from typing import List, Tuple

from ._traefik_tree import DEPTH, Node, Tick, Warn, Wrong, scalar, unescaped_sign

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WORD = re.compile(r"[^\s,\]}#]+")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[ \t]*\n\s*|.)", re.DOTALL)
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "e": "\x1b"}
_BLANK = re.compile(r"(?:[ \t]+|#[^\n]*)+")
_BLANKS = re.compile(r"(?:\s+|#[^\n]*)+")


class _Reading:
    """Reads statement by statement into one tree."""

    def __init__(self, text: str, warn: Warn, tick: Tick) -> None:
        self.text = text.replace("\r\n", "\n")
        self.warn = warn
        self.tick = tick
        self.at = 0
        self.root = Node(1, inner={})
        self._table = self.root
        self._ends = [match.start() for match in re.finditer("\n", self.text)]

    def line(self) -> int:
        return bisect.bisect_left(self._ends, self.at) + 1

    def read(self) -> Node:
        self._blanks()
        while self.at < len(self.text):
            self.tick()
            begin = self.at
            try:
                self._statement()
                self._end_of_line()
            except Wrong as error:
                template = self.text.startswith("{{", begin)
                self.at = max(self.at, begin)
                self.warn(
                    "a Go template: what it makes is not known" if template else str(error), self.line()
                )
                self._skip_line()
            self._blanks()
        return self.root

    def _blanks(self) -> None:
        match = _BLANKS.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def _end_of_line(self) -> None:
        self._blank()
        if self.at < len(self.text) and self.text[self.at] != "\n":
            raise Wrong("what stands after the value is not understood")

    def _sign(self) -> str:
        return self.text[self.at : self.at + 1]

    def _statement(self) -> None:
        if self._sign() != "[":
            self._pair(self._table, 0)
            return
        several = self.text.startswith("[[", self.at)
        line = self.line()
        self._table = Node(line, inner={})  # what stands below a head that is not understood is nowhere
        self.at += 2 if several else 1
        path = self._keys()
        end = "]]" if several else "]"
        if not self.text.startswith(end, self.at):
            raise Wrong("the head of a table is not understood")
        self.at += len(end)
        self._table = self._several(path, line) if several else self._down(self.root, path)

    def _several(self, path: List[str], line: int) -> Node:
        """A new table at the end of a list of tables."""
        inner = self._down(self.root, path[:-1]).inner
        kept = Node(line) if inner is None else inner.setdefault(path[-1], Node(line, items=[]))
        if kept.items is None:
            raise Wrong("%s is a list of tables here, and something else before" % path[-1])
        made = Node(line, inner={})
        kept.items.append(made)
        return made

    def _down(self, node: Node, path: List[str]) -> Node:
        """The table at a path, made where there is none; of a list it is the last one."""
        if len(path) > DEPTH:
            raise Wrong("it is nested too deep")
        for name in path:
            below = (node.inner or {}).get(name)
            if below is None:
                below = Node(self.line(), inner={})
                if node.inner is not None:
                    node.inner[name] = below
            if below.items:
                below = below.items[-1]
            if below.inner is None:
                raise Wrong("%s is a table here, and something else before" % name)
            node = below
        return node

    def _keys(self) -> List[str]:
        found: List[str] = []
        while True:
            self._blank()
            if self._sign() in ('"', "'"):
                found.append(self._quoted())
            else:
                match = _BARE.match(self.text, self.at)
                if match is None:
                    raise Wrong("a key is not understood")
                found.append(match.group(0))
                self.at = match.end()
            self._blank()
            if self._sign() != ".":
                return found
            self.at += 1

    def _pair(self, table: Node, depth: int) -> None:
        path = self._keys()
        if self._sign() != "=":
            raise Wrong("it is not understood, and left out")
        self.at += 1
        self._blank()
        holder = self._down(table, path[:-1]).inner
        value = self._value(depth)
        if holder is not None and path[-1] in holder:
            raise Wrong("%s stands there twice: Traefik reads no such file" % path[-1])
        if holder is not None:
            holder[path[-1]] = value

    def _value(self, depth: int) -> Node:
        line, sign = self.line(), self._sign()
        if depth > DEPTH:
            raise Wrong("it is nested too deep")
        if sign in ('"', "'"):
            return scalar(line, self._quoted())
        if sign == "[":
            return self._list(line, depth)
        if sign == "{" and not self.text.startswith("{{", self.at):
            return self._inline(line, depth)
        end = self.text.find("\n", self.at)
        if self.text.startswith("{{", self.at):
            self.at = len(self.text) if end < 0 else end
            return scalar(line, "{{")
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise Wrong("a value is missing")
        self.at = match.end()
        return scalar(line, match.group(0))

    def _list(self, line: int, depth: int) -> Node:
        self.at += 1
        found: List[Node] = []
        self._blanks()
        while self._sign() != "]":
            found.append(self._value(depth + 1))
            self._blanks()
            if self._sign() == ",":
                self.at += 1
                self._blanks()
            elif self._sign() != "]":
                raise Wrong("a list is not understood")
        self.at += 1
        return Node(line, items=found)

    def _inline(self, line: int, depth: int) -> Node:
        made = Node(line, inner={})
        self.at += 1
        self._blanks()
        while self._sign() != "}":
            self._pair(made, depth + 1)
            self._blanks()
            if self._sign() == ",":
                self.at += 1
                self._blanks()
            elif self._sign() != "}":
                raise Wrong("an inline table is not understood")
        self.at += 1
        return made

    def _quoted(self) -> str:
        quote = self._sign()
        long = self.text.startswith(quote * 3, self.at)
        body, self.at = _body(self.text, self.at, quote, long)
        body = body[1:] if long and body.startswith("\n") else body
        return _unescaped(body) if quote == '"' else body


def parse(text: str, warn: Warn, tick: Tick) -> Node:
    """The tables of a file; what cannot be read is told to `warn`."""
    return _Reading(text, warn, tick).read()


def _body(text: str, begin: int, quote: str, long: bool) -> Tuple[str, int]:
    """What stands between quotes, and where the quotes end."""
    mark = quote * 3 if long else quote
    at = begin + len(mark)
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 2
        elif text.startswith(mark, at):
            return text[begin + len(mark) : at], at + len(mark)
        elif text[at] == "\n" and not long:
            break
        else:
            at += 1
    raise Wrong("a quote never ends")


def _unescaped(body: str) -> str:
    def plain(match: "re.Match[str]") -> str:
        sign = match.group(1)
        if "\n" in sign:
            return ""
        return unescaped_sign(int(sign[1:], 16)) if len(sign) > 1 else _SIGNS.get(sign, sign)

    return _ESCAPE.sub(plain, body)
