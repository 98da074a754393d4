# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What YAML writes in quotes and in brackets, sign by sign."""

import re
from typing import Dict, List, Tuple

from ._traefik_tree import DEPTH, TEMPLATE, Node, Wrong, scalar, unescaped_sign

ALIAS = "it is a YAML alias: what it stands for is not looked up"
COMMENT = re.compile(r"(?:^|\s)#")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n\s*|.)", re.DOTALL)
_SIGNS = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b", "a": "\a", "b": "\b", "_": "\xa0"}


class State:
    """Whether brackets or quotes are still open after so many lines."""

    def __init__(self) -> None:
        self.depth = 0
        self.quote = ""
        self._escaped = False

    def open(self) -> bool:
        return self.depth > 0 or bool(self.quote)

    def read(self, text: str) -> None:
        before = " "
        for sign in text:
            if self.quote:
                self._quoted(sign)
            elif sign == "#" and before.isspace():
                return
            elif sign in "\"'" and (before.isspace() or before in "[{,:" or sign == before == "'"):
                self.quote = sign  # two of '' are one in a text, which goes on
            else:
                self.depth += (sign in "[{") - (sign in "]}")
            before = sign

    def _quoted(self, sign: str) -> None:
        if self._escaped:
            self._escaped = False
        elif sign == "\\" and self.quote == '"':
            self._escaped = True
        elif sign == self.quote:
            self.quote = ""


class Flow:
    """Reads a collection in brackets, sign by sign."""

    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.line = line
        self.at = 0
        self._counted = 0

    def _here(self) -> int:
        """The line that is being read."""
        self.line += self.text.count("\n", self._counted, self.at)
        self._counted = max(self._counted, self.at)
        return self.line

    def whole(self) -> Node:
        found = self._value(0)
        self._space()
        if self.at < len(self.text):
            raise Wrong("what comes after the value is not understood")
        return found

    def _space(self) -> None:
        while self.at < len(self.text):
            if self.text[self.at] == "#" and self.text[self.at - 1 : self.at].isspace():
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif not self.text[self.at].isspace():
                return
            else:
                self.at += 1

    def _sign(self) -> str:
        self._space()
        return self.text[self.at : self.at + 1]

    def _value(self, depth: int) -> Node:
        sign = self._sign()
        if depth > DEPTH:
            raise Wrong("it is nested too deep")
        line = self._here()
        if sign == "[":
            return self._list(line, depth)
        if sign == "{" and not self.text.startswith("{{", self.at):
            return self._map(line, depth)
        if sign in ('"', "'"):
            found, self.at = quoted(self.text, self.at)
            return scalar(line, found)
        word = self._word()
        return Node(line, trouble=ALIAS) if word.startswith("*") else scalar(line, word)

    def _word(self) -> str:
        begin = self.at
        if self.text.startswith("{{", begin):
            end = self.text.find("}}", begin)
            raise Wrong(TEMPLATE if end >= 0 else "a template never ends")
        while self.at < len(self.text) and self.text[self.at] not in ",[]{}":
            if self.text[self.at] == ":" and self.text[self.at + 1 : self.at + 2] in (
                " ",
                "\n",
                "",
                ",",
                "}",
            ):
                break
            self.at += 1
        return " ".join(without_comment(self.text[begin : self.at]).split())

    def _list(self, line: int, depth: int) -> Node:
        self.at += 1
        found: List[Node] = []
        while self._sign() not in ("]", ""):
            found.append(self._value(depth + 1))
            self._separator("]")
        self.at += 1
        return Node(line, items=found)

    def _map(self, line: int, depth: int) -> Node:
        self.at += 1
        found: Dict[str, Node] = {}
        while self._sign() not in ("}", ""):
            key = self._value(DEPTH)
            value = Node(line)
            if self._sign() == ":":
                self.at += 1
                value = self._value(depth + 1) if self._sign() not in (",", "}", "") else value
            found.setdefault(key.text or "", value)
            self._separator("}")
        self.at += 1
        return Node(line, inner=found)

    def _separator(self, end: str) -> None:
        sign = self._sign()
        if sign == ",":
            self.at += 1
        elif sign != end:
            raise Wrong("a collection in brackets is not understood")


def quoted(text: str, begin: int) -> Tuple[str, int]:
    """A quoted text and where it ends; lines are folded."""
    quote = text[begin]
    end = begin + 1
    while end < len(text):
        if text[end] == "\\" and quote == '"':
            end += 2
        elif text[end] != quote:
            end += 1
        elif quote == "'" and text[end + 1 : end + 2] == "'":
            end += 2
        else:
            body = text[begin + 1 : end]
            return (_unescaped(body) if quote == '"' else _folded(body.replace("''", "'"))), end + 1
    raise Wrong("a quote never ends")


def _unescaped(body: str) -> str:
    parts = []
    last = 0
    for match in _ESCAPE.finditer(body):
        parts.append(_folded(body[last : match.start()]))
        sign = match.group(1)
        last = match.end()
        if sign[0] == "\n":
            continue
        parts.append(unescaped_sign(int(sign[1:], 16)) if len(sign) > 1 else _SIGNS.get(sign, sign))
    return "".join(parts) + _folded(body[last:])


def _folded(body: str) -> str:
    return re.sub(r"[ \t]*\n[ \t]*", " ", body) if "\n" in body else body


def without_comment(text: str) -> str:
    """What stands before a comment."""
    comment = COMMENT.search(text)
    return (text if comment is None else text[: comment.start()]).strip()
