# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of nginx's configuration, as ngx_conf_file.c reads it: words, `;`, `{`, `}`.

Every pattern here is free of backtracking (no part of it may fail after a repetition), so
that the time is linear whatever the text is.
"""

import re
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

END = "end"

# What is blank, and then a word that needs no quotes, if there is one.
_NEXT = re.compile(
    r"(?:[ \t\r\n]+|#[^\n]*)*"
    r"((?:[^ \t\r\n;{}\"'\\$]|\\[\s\S]|\$\{*)(?:[^ \t\r\n;{\\$]+|\\[\s\S]|\$\{*)*)?"
)
_QUOTED = {
    '"': re.compile(r'"(?:[^"\\]+|\\[\s\S])*'),
    "'": re.compile(r"'(?:[^'\\]+|\\[\s\S])*"),
}
_ESCAPE = re.compile(r"\\([\s\S])")
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}
_LUA = re.compile(
    r"""--\[(?P<comment>=*)\[|--[^\n]*|\[(?P<long>=*)\["""
    r"""|"(?:[^"\\\n]+|\\[\s\S])*"?|'(?:[^'\\\n]+|\\[\s\S])*'?|[{}]"""
)
_DEPTH = 100
_ASKED = "ssl_server_name"  # of all maps only those of the name asked for can choose a certificate


class Directive(NamedTuple):
    """One directive with the place where it stands."""

    name: str
    arguments: List[str]
    file: str
    line: int


class Block:
    """A block with the directives and the blocks inside it that a scan cares for."""

    def __init__(self, directive: Directive) -> None:
        self.opened_by = directive
        self.directives: List[Directive] = []
        self.blocks: List[Block] = []

    @property
    def name(self) -> str:
        return self.opened_by.name

    def all(self, name: str) -> List[Directive]:
        return [directive for directive in self.directives if directive.name == name]


class Words:
    """Cuts a text into statements of words, and knows the line that it is at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.ended_at = 0  # where the last sign, or a word in quotes, begins
        self._line = 1
        self._counted = 0

    def line(self, at: int) -> int:
        """The line of a place; places come in their order."""
        self._line += self.text.count("\n", self._counted, at)
        self._counted = max(self._counted, at)
        return self._line

    def statement(self) -> Tuple[List[str], int, str]:
        """The words up to the next sign, the place of the first one, and what ended them.

        That is `;`, `{`, `}`, END, or why nothing more can be understood.
        """
        words: List[str] = []
        first = -1
        while True:
            match = _NEXT.match(self.text, self.at)
            if match is None:  # it matches every text
                raise AssertionError(self.at)
            word, self.at = match.group(1), match.end()
            if first < 0:
                first = self.at if word is None else match.start(1)
            if word is None:
                ended = self._sign(words)
                if ended is not None:
                    return words, first, ended
            else:
                words.append(_unescaped(word) if "\\" in word else word)

    def _sign(self, words: List[str]) -> Optional[str]:
        """Steps over a sign, or over a word in quotes, which goes to the words: then None."""
        self.ended_at = self.at
        sign = self.text[self.at : self.at + 1]
        if not sign:
            return END
        if sign in "\"'":
            return self._quoted(sign, words)
        if sign not in ";{}":
            self.at = len(self.text)
            return "the text ends in the middle of a word"
        self.at += 1
        return sign

    def _quoted(self, quote: str, words: List[str]) -> Optional[str]:
        match = _QUOTED[quote].match(self.text, self.at)
        end = match.end() if match else len(self.text)
        if self.text[end : end + 1] != quote:
            self.at = len(self.text)
            return "a quote is never closed"
        words.append(_unescaped(self.text[self.at + 1 : end]))
        self.at = end + 1
        return None

    def skip_lua(self) -> bool:
        """Steps over a block of Lua whose `{` has just been read; False when it never ends."""
        depth = 1
        while True:
            match = _LUA.search(self.text, self.at)
            if match is None:
                self.at = len(self.text)
                return False
            self.at = match.end()
            level = match.group("comment") if match.group("comment") is not None else match.group("long")
            if level is not None:
                end = self.text.find("]" + level + "]", self.at)
                self.at = len(self.text) if end < 0 else end + len(level) + 2
            elif match.group() == "{":
                depth += 1
            elif match.group() == "}":
                depth -= 1
                if depth == 0:
                    return True


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match.group(1), match.group(0)), value)


class Parser:
    """Reads files into a tree that has only the blocks of `inside` and the directives of `wanted`."""

    def __init__(
        self,
        wanted: FrozenSet[str],
        inside: Dict[str, Tuple[str, ...]],
        include: Callable[[Directive, Block], None],
        warn: Callable[[str, str, int], None],
    ) -> None:
        self.wanted = wanted
        self.inside = inside
        self.include = include
        self.warn = warn

    def parse(self, text: str, file: str, root: Block) -> None:
        """Adds what a file says to the block in which it is included."""
        words = Words(text)
        stack: List[Optional[Block]] = [root]
        first = True
        while True:
            said, place, ended = words.statement()
            directive = Directive(said[0], said[1:], file, words.line(place)) if said else None
            if ended == ";":
                if directive is not None and stack[-1] is not None:
                    self._directive(directive, stack[-1])
            elif ended == "{":
                if directive is not None and directive.name.endswith("_by_lua_block"):
                    self._lua(directive, stack[-1], words)
                else:
                    stack.append(self._open(directive, stack[-1]))
            elif ended == "}":
                if len(stack) > 1:
                    stack.pop()
                elif first:
                    self.warn('"}" without "{"', file, words.line(words.ended_at))
                    first = False
            else:
                self._end(ended, directive, len(stack), file, words.line(words.ended_at))
                return
            if len(stack) > _DEPTH:
                self.warn("blocks are nested too deeply", file, words.line(words.ended_at))
                return

    def _directive(self, directive: Directive, block: Block) -> None:
        if directive.name == "include":
            self.include(directive, block)
        elif directive.name in self.wanted or block.name == "map":
            block.directives.append(directive)

    def _lua(self, directive: Directive, block: Optional[Block], words: Words) -> None:
        if block is not None and directive.name in self.wanted:
            block.directives.append(directive)
        if not words.skip_lua():
            self.warn("a block of Lua never ends", directive.file, directive.line)

    def _open(self, directive: Optional[Directive], parent: Optional[Block]) -> Optional[Block]:
        """The block that begins here; None when nothing inside it matters."""
        if directive is None or parent is None or directive.name not in self.inside.get(parent.name, ()):
            return None
        if directive.name == "map" and [one.strip("${}") for one in directive.arguments[:1]] != [_ASKED]:
            return None
        block = Block(directive)
        parent.blocks.append(block)
        return block

    def _end(self, ended: str, directive: Optional[Directive], depth: int, file: str, line: int) -> None:
        if ended != END:
            self.warn(ended, file, line)
        elif directive is not None:
            what = directive.name if re.fullmatch(r"[a-z0-9_]{1,60}", directive.name) else "a line"
            self.warn('%s has no ";" at its end' % what, file, directive.line)
        elif depth > 1:
            self.warn('the file ends inside a block: "}" is missing', file, line)
