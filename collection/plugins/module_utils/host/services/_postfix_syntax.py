# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of main.cf, master.cf and of Postfix's maps (postconf(5), master(5), postmap(1))."""

import os
import re
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

_DEPTH = 20
_LENGTH = 100000
_BLANKS = " \t\r\n"
_NAME = re.compile(r"[A-Za-z0-9_]+")


class Setting(NamedTuple):
    """A value and the line where it is given."""

    value: str
    line: int


class Entry(NamedTuple):
    """One service of master.cf: how it is called, what runs, and what its `-o` options say."""

    name: str
    kind: str
    command: str
    overrides: Dict[str, Setting]
    line: int


def logical_lines(text: str) -> Iterator[Tuple[int, str]]:
    """Lines with those that continue them; comments and blank lines between leave an empty line."""
    start, parts = 0, []  # type: int, List[str]
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip(_BLANKS)
        if not bare or bare.startswith("#"):
            parts.append("")
        elif line[:1] in (" ", "\t") and start:
            parts.append(line)
        else:
            if start:
                yield start, "\n".join(parts)
            start, parts = number, [line]
    if start:
        yield start, "\n".join(parts)


def words(text: str) -> List[Tuple[str, int]]:
    """The words of a logical line, each with the number of lines before it; `{ ... }` is one word."""
    found = []
    at = line = 0
    while at < len(text):
        if text[at] in _BLANKS:
            line += text[at] == "\n"
            at += 1
            continue
        end = _end_of_word(text, at)
        found.append((text[at:end], line))
        line += text.count("\n", at, end)
        at = end
    return found


def _end_of_word(text: str, at: int) -> int:
    depth = 0
    while at < len(text) and (depth or text[at] not in _BLANKS):
        depth += (text[at] == "{") - (text[at] == "}" and depth > 0)
        at += 1
    return at


def listed(value: str) -> List[str]:
    """The items of a list, which commas and blanks part; `type:{ ... }` is one item."""
    found = []
    item, depth = "", 0
    for sign in value:
        depth += (sign == "{") - (sign == "}" and depth > 0)
        if not depth and (sign in _BLANKS or sign == ","):
            found.append(item)
            item = ""
        else:
            item += sign
    return [one for one in found + [item] if one]


def assignments(text: str) -> Dict[str, Setting]:
    """What main.cf sets: the last line that sets a name counts."""
    found: Dict[str, Setting] = {}
    for line, logical in logical_lines(text):
        name, equals, value = logical.partition("=")
        if equals:
            found[name.strip(_BLANKS)] = Setting(" ".join(value.split()), line)
    return found


def entries(text: str) -> List[Entry]:
    """The services of master.cf."""
    found = []
    for line, logical in logical_lines(text):
        fields = words(logical)
        if len(fields) >= 8:
            command = os.path.basename(fields[7][0])
            found.append(
                Entry(fields[0][0], fields[1][0], command, _overrides(fields[8:], line), line),
            )
    return found


def _overrides(fields: List[Tuple[str, int]], start: int) -> Dict[str, Setting]:
    found: Dict[str, Setting] = {}
    pending = False
    for word, offset in fields:
        option = word if pending else word[2:] if word.startswith("-o") else ""
        pending = word == "-o" and not pending
        if option:
            if option.startswith("{") and option.endswith("}"):
                option = option[1:-1]
            name, equals, value = option.partition("=")
            if equals:
                found[name.strip(_BLANKS)] = Setting(" ".join(value.split()), start + offset)
    return found


def pairs(text: str) -> List[Tuple[str, str, int]]:
    """The (key, value, line) of the text that a map is made from."""
    found = []
    for line, logical in logical_lines(text):
        fields = logical.split(None, 1)
        if len(fields) == 2:
            found.append((fields[0].strip('"').lower(), fields[1].strip(_BLANKS), line))
    return found


def inline_pairs(value: str) -> List[Tuple[str, str]]:
    """The (key, value) pairs of an `inline:{ {key = value}, key = value }` map."""
    body = value.strip(_BLANKS)
    body = body[1:-1] if body.startswith("{") and body.endswith("}") else body
    found = []
    for item in listed(re.sub(r"\s*=\s*", "=", body)):
        inner = item[1:-1] if item.startswith("{") and item.endswith("}") else item
        key, equals, files = inner.partition("=")
        if equals:
            found.append((key.strip(_BLANKS).lower(), files.strip(_BLANKS)))
    return found


def expand(value: str, look: Callable[[str], Optional[str]], depth: int = 0) -> Optional[str]:
    """A value with its `$name`, `${name}` and `$(name)` replaced; None where that is not all it needs."""
    found, at = "", 0
    while at < len(value):
        dollar = value.find("$", at)
        if dollar < 0 or depth > _DEPTH or len(found) > _LENGTH:
            break
        found += value[at:dollar]
        if value[dollar + 1 : dollar + 2] == "$":
            found, at = found + "$", dollar + 2
            continue
        name, at = _reference(value, dollar + 1)
        said = None if name is None else look(name)
        inner = None if said is None else expand(said, look, depth + 1)
        if inner is None:
            return None
        found += inner
    whole = found + value[at:]
    return None if depth > _DEPTH or len(whole) > _LENGTH else whole


def _reference(value: str, at: int) -> Tuple[Optional[str], int]:
    """The name after a dollar and where it ends; None for the conditional forms."""
    closing = {"{": "}", "(": ")"}.get(value[at : at + 1])
    if closing is None:
        match = _NAME.match(value, at)
        return (match.group(0), match.end()) if match else (None, at)
    end = value.find(closing, at)
    name = value[at + 1 : end].strip(_BLANKS) if end > 0 else ""
    return (name, end + 1) if _NAME.fullmatch(name) else (None, at)
