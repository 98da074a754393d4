# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim's strings (spec, chapter 11), as far as they choose a file by the name in SNI.

They are read and judged here without running anything; what asks for more than names, files
and lists is not resolved.
"""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from . import _reach, _reading

MARK = "\1sni\1"
_SNI = ("tls_in_sni", "tls_sni")
_DEPTH = 60
_CANDIDATES = 20000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\d+")
_LOOKUPS = ("lsearch", "wildlsearch", "nwildlsearch", "dsearch")


class Unresolved(Exception):
    """The string asks for what only Exim knows."""


class Node(NamedTuple):
    """`$name`, `${if...}`, `${lookup...}` or `${op:...}`: its kind, its word and its parts."""

    kind: str
    word: str
    parts: Tuple[Any, ...]


Text = List[Union[str, Node]]


class Parser:
    """Reads one string into its parts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def whole(self) -> Text:
        """The whole string."""
        found = self.until("")
        if self.at < len(self.text):
            raise Unresolved("a brace too many")
        return found

    def until(self, end: str) -> Text:
        """The parts up to a closing brace."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise Unresolved("too deep")
        found: Text = []
        plain: List[str] = []
        while self.at < len(self.text) and self.text[self.at] != "}":
            sign = self.text[self.at]
            if sign == "$":
                found += ["".join(plain), self._reference()]
                plain = []
            else:
                plain.append(self._plain(sign))
        if end and self.at >= len(self.text):
            raise Unresolved("a brace is missing")
        self.depth -= 1
        return [*found, "".join(plain)]

    def _plain(self, sign: str) -> str:
        self.at += 1
        if sign != "\\":
            return sign
        following = self.text[self.at : self.at + 1]
        self.at += 1
        if following == "N":
            end = self.text.find("\\N", self.at)
            end = len(self.text) if end < 0 else end
            raw, self.at = self.text[self.at : end], end + 2
            return raw
        return following

    def _reference(self) -> Node:
        self.at += 1
        if self.text[self.at : self.at + 1] != "{":
            return Node("variable", self._word(), ())
        self.at += 1
        word = self._word()
        if word == "if":
            return self._if()
        if word == "lookup":
            return self._lookup()
        following = self.text[self.at : self.at + 1]
        if following == "}":
            self.at += 1
            return Node("variable", word, ())
        if following == ":" and word in ("lc", "uc"):
            self.at += 1
            inner = self.until("}")
            self.at += 1
            return Node("operator", word, (inner,))
        raise Unresolved("${%s...} is not judged here" % word)

    def _word(self) -> str:
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise Unresolved("a name is missing after $")
        self.at = match.end()
        return match.group(0)

    def _skip(self) -> str:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _braced(self) -> Text:
        if self._skip() != "{":
            raise Unresolved("a brace is missing")
        self.at += 1
        found = self.until("}")
        self.at += 1
        return found

    def _branches(self) -> Tuple[Optional[Text], Optional[Text]]:
        """The texts for yes and no up to the end of the item."""
        found: List[Text] = []
        while self._skip() == "{" and len(found) < 2:
            found.append(self._braced())
        if self._skip() != "}":
            raise Unresolved("`fail` and the like end the expansion")
        self.at += 1
        yes, no = (found + [None, None])[:2]
        return yes, no

    def _if(self) -> Node:
        condition = self._condition()
        return Node("if", "", (condition, *self._branches()))

    def _condition(self) -> Node:
        self.depth += 1
        if self.depth > _DEPTH:
            raise Unresolved("too deep")
        negated = False
        while self._skip() == "!":
            self.at += 1
            negated = not negated
        word = self._word()
        found = self._test(word)
        self.depth -= 1
        return Node("not", "", (found,)) if negated else found

    def _test(self, word: str) -> Node:
        if word == "def" and self._skip() == ":":
            self.at += 1
            return Node("def", self._word(), ())
        if word in ("and", "or"):
            if self._skip() != "{":
                raise Unresolved("a brace is missing")
            self.at += 1
            found = []
            while self._skip() == "{":
                self.at += 1
                found.append(self._condition())
                if self._skip() != "}":
                    raise Unresolved("a brace is missing")
                self.at += 1
            self.at += 1
            return Node(word, "", tuple(found))
        if word == "exists":
            return Node("exists", "", (self._braced(),))
        if word in ("eq", "eqi"):
            return Node("equal", word, (self._braced(), self._braced()))
        raise Unresolved("the condition %s is not judged here" % word)

    def _lookup(self) -> Node:
        key = self._braced()
        self._skip()
        kind = self._word()
        options = ""
        while self.text[self.at : self.at + 1] not in ("{", "", "}"):
            options += self.text[self.at]
            self.at += 1
        if kind not in _LOOKUPS or options.strip() not in ("", ",ret=full"):
            raise Unresolved("a lookup of %s%s is not judged here" % (kind, options.strip()))
        file = self._braced()
        return Node("lookup", kind + options.strip(), (key, file, *self._branches()))


class Expansion:
    """One string, judged for one name after the other."""

    def __init__(self, text: str, known: Dict[str, str], reader: _reading.Reader) -> None:
        self.text = Parser(text).whole()
        self.known = known
        self.reader = reader
        self.asks_for_name = any(name in text for name in _SNI)
        self._tables: Dict[str, List[Tuple[str, str]]] = {}
        self._first: Dict[str, Dict[str, str]] = {}  # of each table, the value of each key in lower case

    def of(self, name: str) -> str:
        """What the string is for a client that asks for a name; "" is a client that asks for none."""
        return self._expand(self.text, dict(self.known, **dict.fromkeys(_SNI, name)))

    def _expand(self, text: Text, known: Dict[str, str]) -> str:
        found = ""
        for part in text:
            found += part if isinstance(part, str) else self._node(part, known)
            if len(found) > 65536:
                raise Unresolved("too long")
        return found

    def _node(self, node: Node, known: Dict[str, str]) -> str:
        self.reader.tick()
        if node.kind == "variable":
            if node.word not in known:
                raise Unresolved("$%s is not known here" % node.word)
            return known[node.word]
        if node.kind == "operator":
            inner = self._expand(node.parts[0], known)
            return inner.lower() if node.word == "lc" else inner.upper()
        if node.kind == "if":
            condition, yes, no = node.parts
            chosen = yes if self._holds(condition, known) else no
            return "" if chosen is None else self._expand(chosen, known)
        key, file, yes, no = node.parts
        value = self._looked_up(node.word, self._expand(key, known), self._expand(file, known))
        if value is None:
            return "" if no is None else self._expand(no, known)
        return value if yes is None else self._expand(yes, dict(known, value=value))

    def _holds(self, node: Node, known: Dict[str, str]) -> bool:
        if node.kind == "not":
            return not self._holds(node.parts[0], known)
        if node.kind == "and":
            return all(self._holds(part, known) for part in node.parts)
        if node.kind == "or":
            return any(self._holds(part, known) for part in node.parts)
        if node.kind == "def":
            return bool(self._node(Node("variable", node.word, ()), known))
        if node.kind == "exists":
            return _reading.status(self._expand(node.parts[0], known)) is not None
        first, second = (self._expand(part, known) for part in node.parts)
        return first.lower() == second.lower() if node.word == "eqi" else first == second

    def _looked_up(self, kind: str, key: str, file: str) -> Optional[str]:
        if kind.startswith("dsearch"):
            if not key or "/" in key or key in (".", "..") or key not in self.reader.names(file):
                return None
            return os.path.join(file, key) if kind.endswith("ret=full") else key
        if kind == "lsearch":
            return self._exactly(file).get(key.lower())
        for wanted, value in self._table(file):
            if _is_key(wanted, key):
                return value
        return None

    def _exactly(self, file: str) -> Dict[str, str]:
        """The first value of each key."""
        if file not in self._first:
            self._first[file] = {key.lower(): value for key, value in reversed(self._table(file))}
        return self._first[file]

    def _table(self, file: str) -> List[Tuple[str, str]]:
        """The keys and values of a file that lsearch reads."""
        if file not in self._tables:
            try:
                self._tables[file] = _pairs(self.reader.config(file))
            except _reading.Unreadable as error:
                raise Unresolved("%s: %s" % (file, error.message)) from error
        return self._tables[file]

    def candidates(self) -> List[str]:
        """The names that may make a difference: those compared with, and those that files are called by."""
        found: Dict[str, None] = {}
        self._gather(self.text, found)
        return [name for name in found if _reach.plain(name) == name][:_CANDIDATES]

    def _gather(self, part: Any, found: Dict[str, None]) -> None:
        if isinstance(part, (list, tuple)) and not isinstance(part, Node):
            self._of_path(self._marked(part) if isinstance(part, list) else "", found)
            for inner in part:
                self._gather(inner, found)
        elif isinstance(part, Node):
            if part.kind == "equal":
                first, second = (self._marked(one) for one in part.parts)
                found.update({one.lower(): None for one in (first, second) if MARK not in one})
            if part.kind == "lookup":
                self._of_lookup(part, found)
            self._gather(part.parts, found)

    def _marked(self, text: Text) -> str:
        try:
            return self.of_text(text, MARK)
        except Unresolved:
            return ""

    def of_text(self, text: Text, name: str) -> str:
        """What a part of the string is for a name."""
        return self._expand(text, dict(self.known, **dict.fromkeys(_SNI, name)))

    def _of_lookup(self, node: Node, found: Dict[str, None]) -> None:
        before, mark, after = self._marked(node.parts[0]).partition(MARK)
        file = self._marked(node.parts[1])
        if not mark or not file:
            return
        try:
            keys = (
                self.reader.names(file)
                if node.word.startswith("dsearch")
                else [key for key, _value in self._table(file)]
            )
        except Unresolved:
            return
        found.update(dict.fromkeys(_between(keys, before, after)))

    def _of_path(self, path: str, found: Dict[str, None]) -> None:
        before, mark, after = path.partition(MARK)
        folder, stem = os.path.split(before)
        if not mark or not path.startswith("/"):
            return
        tail, slash, _rest = after.partition("/")
        names = _between(self.reader.names(folder), stem, tail)
        whole = [name for name in names if _reading.status(path.replace(MARK, name)) is not None]
        found.update(dict.fromkeys(whole if slash or tail or stem else names))


def _between(keys: List[str], before: str, after: str) -> List[str]:
    """What stands between two texts in each of the keys that has both."""
    room = len(before) + len(after)
    return [
        key[len(before) : len(key) - len(after)].lower()
        for key in keys
        if len(key) > room and key.startswith(before) and key.endswith(after)
    ]


def _is_key(wanted: str, key: str) -> bool:
    """Whether a key of a list with stars stands for another."""
    wanted, key = wanted.lower(), key.lower()
    if wanted.startswith("^") or "(" in wanted:
        raise Unresolved("a list with patterns")
    return key.endswith(wanted[1:]) if wanted.startswith("*") else wanted == key


def _pairs(text: str) -> List[Tuple[str, str]]:
    found: List[Tuple[str, str]] = []
    for line in text.split("\n"):
        if line[:1] in (" ", "\t") and line.strip() and found:
            found[-1] = (found[-1][0], (found[-1][1] + " " + line.strip())[:65536])
        elif line.strip() and not line.startswith("#"):
            match = re.match(r'("(?:[^"\\]|\\.)*"|[^\s:]+)\s*:?\s*(.*)', line.rstrip())
            if match:
                found.append((match.group(1).strip('"'), match.group(2)))
    return found
