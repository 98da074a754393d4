# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a configuration of Traefik's says, whether a file, flags or variables say it.

Names of settings are the same in any case of letters; the names that an administrator gives
(of entry points, resolvers, routers) are kept as they stand.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

Warn = Callable[[str, int], None]
Tick = Callable[[], None]

DEPTH = 64
TEMPLATE = "a Go template makes it: what it is then is not known"
_NO = ("false", "no", "off", "0", "f", "n")


class Node(NamedTuple):
    """A value with the line that it begins on: a text, a list or a map; `trouble` says why it is none."""

    line: int
    text: Optional[str] = None
    items: Optional[List["Node"]] = None
    inner: Optional[Dict[str, "Node"]] = None
    trouble: Optional[str] = None


class Wrong(Exception):
    """A piece of a file that is not understood."""


def scalar(line: int, text: str) -> Node:
    """A text, unless a template makes it or no path and no name can be like it."""
    if "{{" in text:
        return Node(line, None, trouble=TEMPLATE)
    if "\0" in text:
        return Node(line, None, trouble="it has a NUL in it")
    return Node(line, text)


def at(node: Optional[Node], *names: str) -> Optional[Node]:
    """What lies at a path of names; None where nothing does."""
    for name in names:
        node = _one(node, name)
    return node


def _one(node: Optional[Node], name: str) -> Optional[Node]:
    inner = (node.inner if node is not None else None) or {}
    if name in inner:
        return inner[name]
    wanted = name.lower()
    return next((one for key, one in inner.items() if key.lower() == wanted), None)


def entries(node: Optional[Node]) -> List[Tuple[str, Node]]:
    """The names and values of a map."""
    return list(((node.inner if node is not None else None) or {}).items())


def items(node: Optional[Node]) -> List[Node]:
    """The values of a list; flags number them, and a single value stands for a list of one."""
    if node is None:
        return []
    if node.items is not None:
        return node.items
    if node.inner is not None:
        numbered = [(int(name), one) for name, one in node.inner.items() if name.isdigit() and len(name) < 9]
        return [one for _number, one in sorted(numbered, key=lambda pair: pair[0])] or [node]
    return [node]


def text(node: Optional[Node]) -> str:
    """A text; empty where there is none."""
    return (node.text if node is not None else None) or ""


def texts(node: Optional[Node]) -> List[str]:
    """The texts of a list, which flags and variables write with commas."""
    parts = [part.strip() for one in items(node) for part in text(one).split(",")]
    return [part for part in parts if part]


def is_set(node: Optional[Node]) -> bool:
    """Whether something is there, be it empty, and is not switched off."""
    return node is not None and (node.text is None or node.text.lower() not in _NO)


def unescaped_sign(number: int) -> str:
    """The sign of a number in an escape; half of a surrogate pair is no sign."""
    return "\ufffd" if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF else chr(number)


def put(root: Node, path: List[str], value: str) -> None:
    """Puts a text at a path, below maps that are made where there are none."""
    node = root
    for name in path[:-1]:
        inner = node.inner if node.inner is not None else {}
        below = inner.get(name)
        if below is None or below.inner is None:
            below = Node(0, inner={})
            inner[name] = below
        node = below
    inner = node.inner if node.inner is not None else {}
    kept = inner.get(path[-1])
    if kept is None or kept.inner is None:  # `--x.tls --x.tls.y=z`: the map says more than "true"
        inner[path[-1]] = scalar(0, value)
