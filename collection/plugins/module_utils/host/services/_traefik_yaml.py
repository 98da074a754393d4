# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of YAML that configurations of Traefik's are written in, read without a library.

Block maps and lists, flow collections, plain, quoted and block scalars, comments. Aliases and Go
templates are no values here but unresolved; what is not understood is told with its line, and the
reading goes on after it.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ._traefik_flow import ALIAS, COMMENT, Flow, State, quoted, without_comment
from ._traefik_tree import DEPTH, Node, Tick, Warn, Wrong, scalar

_COLON = re.compile(r":(?=\s|$)")
_PROPERTIES = re.compile(r"(?:[!&][^\s,\[\]{}]*(?:\s+|$))+")
_BLOCK = re.compile(r"[|>][-+0-9]{0,2}\s*(?:#.*)?")


class _Line(NamedTuple):
    """A line that says something: how far it is indented, and what it says."""

    indent: int
    text: str
    number: int


class _Reading:
    """Reads line by line; what is nested is read by recursion, down to a depth."""

    def __init__(self, text: str, warn: Warn, tick: Tick) -> None:
        self.raw = [line.rstrip("\r") for line in text.split("\n")]
        self.warn = warn
        self.tick = tick
        self.next = 0
        self._begun = False

    def peek(self) -> Optional[_Line]:
        """The next line that says something; None at the end of the first document."""
        while self.next < len(self.raw):
            line = self.raw[self.next]
            bare = line.strip()
            if self._begun and line.startswith(("---", "...")):
                self.warn("a second document begins here: it is not read", self.next + 1)
                break
            if not bare or bare[0] == "#" or (not self._begun and line.startswith(("---", "%"))):
                self.next += 1
            elif bare.startswith("{{") and not _COLON.search(bare[bare.rfind("}}") + 2 :]):
                self._skip_template()
            elif "\t" in line[: line.index(bare[0])]:
                self.skip("it is indented by a tab: Traefik reads no such file")
            else:
                self._begun = True
                indent = len(line) - len(line.lstrip(" "))
                return _Line(indent, bare, self.next + 1)
        self.next = len(self.raw)
        return None

    def _skip_template(self) -> None:
        """Leaves out what a template does; what it stands around is read as if it were always there."""
        self.warn("a Go template: what it makes of the lines around is not known", self.next + 1)
        while self.next < len(self.raw) and "}}" not in self.raw[self.next]:
            self.next += 1
        self.next += 1

    def skip(self, why: str) -> None:
        self.warn(why, self.next + 1)
        self.next += 1

    def node(self, least: int, depth: int) -> Node:
        """The value that begins on the next line, if that is indented enough."""
        self.tick()
        line = self.peek()
        if line is None or line.indent < least:
            return Node(self.next + 1)
        if depth > DEPTH:
            self.skip("it is nested too deep")
            return Node(line.number, trouble="it is nested too deep")
        if _is_item(line.text):
            return self._sequence(line, depth)
        if key_of(line.text) is not None:
            return self._map(line, depth)
        return self.value(line.text, line, least - 1, depth)

    def _sequence(self, first: _Line, depth: int) -> Node:
        found: List[Node] = []
        while True:
            line = self.peek()
            if line is None or line.indent < first.indent:
                break
            if line.indent > first.indent:
                self.skip("it is indented as nothing before it is")
                continue
            if not _is_item(line.text):
                break
            # Without its dash an item is what stands after it, indented as far.
            self.raw[self.next] = " " * (line.indent + 1) + line.text[1:]
            if not line.text[1:].strip() or line.text[1:].strip().startswith("#"):
                self.next += 1
            found.append(self.node(first.indent + 1, depth + 1))
        return Node(first.number, items=found)

    def _map(self, first: _Line, depth: int) -> Node:
        found: Dict[str, Node] = {}
        while True:
            line = self.peek()
            if line is None or line.indent < first.indent:
                break
            pair = key_of(line.text)
            if line.indent > first.indent or (pair is None and not _is_item(line.text)):
                self.skip("it is not understood, and left out")
                continue
            if pair is None:
                break  # an item of a list that is not ours
            value = self.value(pair[1], line, first.indent, depth)
            if pair[0] == "<<":
                self.warn("what is merged here is not looked up", line.number)
            elif pair[0] in found:
                self.warn("%s stands there twice: Traefik reads no such file" % pair[0], line.number)
            else:
                found[pair[0]] = value
        return Node(first.number, inner=found)

    def value(self, rest: str, line: _Line, indent: int, depth: int) -> Node:
        """The value that begins in the rest of a line; `indent` is that of its key."""
        rest = _PROPERTIES.sub("", rest, count=1) if rest[:1] in ("!", "&") else rest
        if not rest or rest[0] == "#":
            return self._below(line, indent, depth)
        if _BLOCK.fullmatch(rest):
            return self._block(rest[0], line, indent)
        if rest[0] == "*":
            self.next += 1
            return Node(line.number, trouble=ALIAS)
        if rest[0] in "\"'" or (rest[0] in "[{" and not rest.startswith("{{")):
            return self._flow(rest, line)
        return self._plain(rest, line, indent)

    def _below(self, line: _Line, indent: int, depth: int) -> Node:
        self.next += 1
        below = self.peek()
        if below is None:
            return Node(line.number)
        if below.indent > indent:
            return self.node(indent + 1, depth + 1)
        if below.indent == indent and _is_item(below.text) and not _is_item(line.text):
            return self.node(indent, depth + 1)
        return Node(line.number)

    def _block(self, style: str, line: _Line, indent: int) -> Node:
        """The lines below that are indented further, comments and all."""
        self.next += 1
        found: List[str] = []
        while self.next < len(self.raw):
            raw = self.raw[self.next]
            if raw.strip() and len(raw) - len(raw.lstrip(" ")) <= indent:
                break
            found.append(raw.strip())
            self.next += 1
        return scalar(line.number, ("\n" if style == "|" else " ").join(found).strip("\n") + "\n")

    def _plain(self, rest: str, line: _Line, indent: int) -> Node:
        self.next += 1
        parts = [without_comment(rest)]
        while self.next < len(self.raw):
            raw = self.raw[self.next]
            bare = raw.strip()
            if not bare or bare[0] == "#" or len(raw) - len(raw.lstrip(" ")) <= indent:
                break
            if key_of(bare) is not None or _is_item(bare):
                break
            parts.append(without_comment(bare))
            self.next += 1
        whole = " ".join(parts)
        return Node(line.number) if whole in ("~", "null") else scalar(line.number, whole)

    def _flow(self, rest: str, line: _Line) -> Node:
        """A quoted text or a collection in brackets, which may go over several lines."""
        gathered = [rest]
        state = State()
        state.read(rest)
        self.next += 1
        while state.open() and self.next < len(self.raw):
            gathered.append(self.raw[self.next].strip())
            state.read("\n" + gathered[-1])
            self.next += 1
        if state.open():
            self.warn("what begins here never ends", line.number)
            return Node(line.number, trouble="it never ends")
        try:
            return Flow("\n".join(gathered), line.number).whole()
        except Wrong as error:
            self.warn(str(error), line.number)
            return Node(line.number, trouble=str(error))


def parse(text: str, warn: Warn, tick: Tick) -> Node:
    """The first document of a file; what cannot be read is told to `warn`."""
    reading = _Reading(text, warn, tick)
    found = reading.node(0, 0)
    line = reading.peek()
    if line is not None:
        warn("it is not understood: what comes after this is not read", line.number)
    if found.inner is None and (found.text or found.items or found.trouble):
        warn("it is no map of settings", found.line)
    return found if found.inner is not None else Node(1, inner={})


def key_of(text: str) -> Optional[Tuple[str, str]]:
    """The key that a line begins with, and what comes after its colon; None where it has none."""
    if text[:1] in ('"', "'"):
        try:
            key, end = quoted(text, 0)
        except Wrong:
            return None
        rest = text[end:].lstrip()
        return (key, rest[1:].strip()) if _COLON.match(rest) else None
    if text[:1] in ("[", "?", "|", ">", "@", "`") or (text[:1] == "{" and text[:2] != "{{"):
        return None
    colon, comment = _COLON.search(text), COMMENT.search(text)
    if colon is None or (comment is not None and comment.start() < colon.start()):
        return None
    return text[: colon.start()].strip(), text[colon.end() :].strip()


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith(("- ", "-\t"))
