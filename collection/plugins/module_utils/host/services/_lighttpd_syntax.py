# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of lighttpd's configuration: values, variables, conditions, what is included.

What `lighttpd -p` prints is written in the same grammar.
"""

import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import _reading

_TOKEN = re.compile(
    r'(?P<blank>[ \t\r\f\v]+|#[^\n]*)|(?P<line>\n)|"(?P<text>(?:[^"\\]|\\.)*)"'
    r"|(?P<sign>\+=|:=|==|!=|=~|!~|=\^|=\$|=>|[=+(){},$\[\]])|(?P<word>-?[A-Za-z0-9_][A-Za-z0-9_.\-]*)",
    re.DOTALL,
)
_ELSE = ("else", "elseif", "elsif", "elif")
_DEPTH = 32
_TOKENS_LIMIT = 4000000

Value = Any  # a text, a number, a list of (key, value), or None: not known


class Broken(Exception):
    """The text is none that lighttpd would read; the rest of the file is left out."""


class Setting(NamedTuple):
    """A value and where it is said."""

    value: Value
    file: str
    line: int


class Condition(NamedTuple):
    """`$HTTP["host"] == "a.test"`: what is looked at, how, and against what."""

    field: str
    operator: str
    value: Value


class Block:
    """The global scope (number 0), or what stands behind a condition."""

    def __init__(self, number: int, parent: Optional["Block"], condition: Optional[Condition]) -> None:
        self.number = number
        self.parent = parent
        self.condition = condition
        self.settings: Dict[str, Setting] = {}
        #: The blocks that are joined by else, in their order, and the place of this one among them.
        self.chain: List[Block] = [self]
        self.place = 0

    def get(self, name: str) -> Optional[Setting]:
        """A setting of this block or of those around it."""
        block: Optional[Block] = self
        while block is not None:
            if name in block.settings:
                return block.settings[name]
            block = block.parent
        return None

    def value(self, name: str) -> Value:
        found = self.settings.get(name)
        return None if found is None else found.value


class Token(NamedTuple):
    kind: str
    text: str
    line: int


class Reading:
    """Reads one configuration with all that it includes into blocks, in lighttpd's own order."""

    def __init__(
        self,
        reader: _reading.Reader,
        warn: Callable[[str, str, int], None],
        environment: Optional[Dict[str, str]],
        folder: str,
    ) -> None:
        self.reader = reader
        self.warn = warn
        self.environment = environment
        self.folder = folder
        self.root = Block(0, None, None)
        self.root.settings["var.cwd"] = Setting(folder, "", 0)
        self.blocks = [self.root]
        self.shells: List[str] = []
        self.files: List[str] = []
        #: Whether something was met that only lighttpd can tell.
        self.doubt = False
        self._known: Dict[Tuple[int, Condition], Block] = {}
        self._tokens = 0

    def read(self, path: str) -> None:
        """Reads the first file."""
        self.base = os.path.dirname(path)
        self._file(path, self.root, path, 0, 0)

    def file(self, path: str, block: Block, depth: int) -> None:
        """What `include` names: a file or a pattern, below the folder of the first file."""
        whole = os.path.join(self.base, path)
        for one in self.reader.glob(whole) if _reading.has_wildcard(whole) else [whole]:
            self._file(one, block, whole, 0, depth)

    def _file(self, path: str, block: Block, named: str, line: int, depth: int) -> None:
        if depth > _DEPTH:
            self.warn("files include each other without end: %s is not read" % path, named, line)
            return
        try:
            text = self.reader.config(path)
        except _reading.Unreadable as error:
            self.doubt = True
            self.warn("%s is not read: %s" % (path, error.message), path, line)
            return
        self.files.append(path)
        self.text(text, path, block, depth)

    def text(self, text: str, path: str, block: Optional[Block] = None, depth: int = 0) -> None:
        """Reads a text as if it stood in a file."""
        parser = _Parser(self, path, depth)
        try:
            parser.tokens = list(self._cut(text))
            parser.statements(block or self.root)
        except Broken as error:
            self.doubt = True
            message = "lighttpd would not read on: %s" % error
            self.warn(message, path, parser.line())

    def _cut(self, text: str) -> Any:
        line, at = 1, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                yield Token("bad", text[at], line)
                return
            kind = match.lastgroup or ""
            self._tokens += 1
            if self._tokens > _TOKENS_LIMIT:
                raise _reading.Exhausted("the configuration is too long")
            if self._tokens % 4096 == 0:
                self.reader.tick()
            if kind != "blank":
                yield Token(kind, match.group(kind), line)
            line += text.count("\n", at, match.end())
            at = match.end()

    def block(self, parent: Block, condition: Optional[Condition], before: Optional[Block]) -> Block:
        """A new block, or the one that was made before for the same condition at the same place."""
        key = None
        if condition is not None and isinstance(condition.value, str):
            key = (parent.number, condition._replace(value=condition.value.lower()))
            if key in self._known:
                return self._known[key]
        made = Block(len(self.blocks), parent, condition)
        self.blocks.append(made)
        if key is not None:
            self._known[key] = made
        if before is not None:
            made.chain = before.chain
            made.place = len(made.chain)
            made.chain.append(made)
        return made

    def lookup(self, name: str, block: Block, file: str, line: int) -> Value:
        """The value of a variable, which any setting may be."""
        if name.startswith("env."):
            value = None if self.environment is None else self.environment.get(name[4:])
            if value is None:
                self.doubt = True
                self.warn("which value %s has is not known" % name, file, line)
            return value
        found = block.get(name.lower())
        return None if found is None else found.value


class _Parser:
    """The tokens of one file, taken one after the other."""

    def __init__(self, reading: Reading, file: str, depth: int) -> None:
        self.reading = reading
        self.file = file
        self.depth = depth
        self.tokens: List[Token] = []
        self.at = 0

    def line(self) -> int:
        return self.tokens[min(self.at, len(self.tokens) - 1)].line if self.tokens else 1

    def peek(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", self.line())

    def take(self, *texts: str) -> Token:
        """The next token, which must be one of the signs or words given, where any are."""
        token = self.peek()
        if token.kind in ("end", "bad") or (texts and (token.kind == "text" or token.text not in texts)):
            raise Broken("unexpected %r" % (token.text or "end"))
        self.at += 1
        return token

    def sees(self, *texts: str) -> bool:
        token = self.peek()
        return token.kind in ("sign", "word") and token.text in texts

    def skip_lines(self) -> None:
        while self.peek().kind == "line":
            self.at += 1

    def statements(self, block: Block, nested: int = 0) -> None:
        """Statements up to the end of the file, or of the block that they stand in."""
        last: Optional[Block] = None
        while True:
            self.skip_lines()
            if self.peek().kind == "end" and not nested:
                return
            if nested and self.sees("}"):
                self.at += 1
                return
            last = self._statement(block, last, nested)

    def _statement(self, block: Block, last: Optional[Block], nested: int) -> Optional[Block]:
        """One statement; returns the block that an else after it belongs to."""
        if nested > _DEPTH:
            raise Broken("conditions in conditions without end")
        if self.sees("$"):
            return self._conditional(block, None, nested)
        token = self.take()
        if token.kind != "word":
            raise Broken("unexpected %r" % token.text)
        if token.text in _ELSE:
            if last is None:
                raise Broken("else without a condition before it")
            # Not every version knows the other spellings (1.4.69 takes them for the name of a variable).
            self.reading.doubt = self.reading.doubt or token.text != "else"
            return self._else(block, last, nested)
        if token.text == "global" and self.sees("{"):
            self.take("{")
            self.statements(self.reading.root, nested + 1)
        elif token.text == "include":
            self._include(self._expression(block), block, token.line)
        elif token.text == "include_shell":
            self._shell(self._expression(block), token.line)
        else:
            self._assign(token, block)
        return None

    def _else(self, block: Block, last: Block, nested: int) -> Block:
        if self.sees("$"):
            return self._conditional(block, last, nested)
        self.take("{")
        made = self.reading.block(block, None, last)
        self.statements(made, nested + 1)
        return made

    def _conditional(self, block: Block, before: Optional[Block], nested: int) -> Block:
        self.take("$")
        field = self.take().text
        self.take("[")
        field = "%s %s" % (field.upper(), self.take().text.lower())
        self.take("]")
        operator = self.take("==", "!=", "=~", "!~", "=^", "=$").text
        value = self._expression(block)
        self.skip_lines()
        self.take("{")
        made = self.reading.block(block, Condition(field, operator, value), before)
        self.statements(made, nested + 1)
        return made

    def _include(self, value: Value, block: Block, line: int) -> None:
        if isinstance(value, str):
            self.reading.file(value, block, self.depth + 1)
        else:
            self.reading.doubt = True
            self.reading.warn("which file is included is not known", self.file, line)

    def _shell(self, value: Value, line: int) -> None:
        self.reading.doubt = True
        self.reading.shells.append(value if isinstance(value, str) else "")

    def _assign(self, name: Token, block: Block) -> None:
        sign = self.take("=", "+=", ":=").text
        value = self._expression(block)
        if sign == "+=":
            before = block.get(name.text.lower())
            value = value if before is None else _joined(before.value, value)
        block.settings[name.text.lower()] = Setting(value, self.file, name.line)

    def _expression(self, block: Block, depth: int = 0) -> Value:
        value = self._value(block, depth)
        while self.sees("+"):
            self.at += 1
            value = _joined(value, self._value(block, depth))
        return value

    def _value(self, block: Block, depth: int) -> Value:
        token = self.take()
        if token.kind == "text":
            return token.text.replace('\\"', '"')
        if token.text == "(" and depth < _DEPTH:
            return self._array(block, depth)
        if token.kind != "word":
            raise Broken("unexpected %r" % token.text)
        if re.fullmatch(r"-?[0-9]{1,18}", token.text):
            return int(token.text)
        return self.reading.lookup(token.text, block, self.file, token.line)

    def _array(self, block: Block, depth: int) -> Value:
        found: List[Tuple[Optional[str], Value]] = []
        while True:
            self.skip_lines()
            if self.sees(")"):
                self.at += 1
                return found
            value = self._expression(block, depth + 1)
            self.skip_lines()
            if self.sees("=>"):
                self.at += 1
                self.skip_lines()
                found.append((str(value), self._expression(block, depth + 1)))
            else:
                found.append((None, value))
            self.skip_lines()
            if not self.sees(")"):
                self.take(",")


def _joined(first: Value, second: Value) -> Value:
    """What `+` and `+=` make of two values."""
    if first is None or second is None:
        return None
    if isinstance(first, list) or isinstance(second, list):
        left = first if isinstance(first, list) else [(None, first)]
        return left + (second if isinstance(second, list) else [(None, second)])
    if isinstance(first, int) and isinstance(second, int):
        return first + second
    return "%s%s" % (first, second)
