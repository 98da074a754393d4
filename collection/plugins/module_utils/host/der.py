# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DER as it is written, and the pieces of what is read (X.690): as much as bundles and keystores need."""

from typing import List

from .errors import Refused
from .services._keystore_forms import Element, element

INTEGER, OCTETS, NULL, OID, BMP, SEQUENCE, SET, FIRST = 0x02, 0x04, 0x05, 0x06, 0x1E, 0x30, 0x31, 0xA0


def encoded(tag: int, *parts: bytes) -> bytes:
    """One element: its tag, its length, and the parts that it is made of."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    width = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 | width]) + size.to_bytes(width, "big") + content


def integer(value: int) -> bytes:
    """A whole number that is not negative."""
    return encoded(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def identifier(dotted: str) -> bytes:
    """An object identifier such as 1.2.840.113549.1.7.1."""
    numbers = [int(part) for part in dotted.split(".")]
    content = b""
    for number in [numbers[0] * 40 + numbers[1]] + numbers[2:]:
        septets = [number & 0x7F]
        while number > 0x7F:
            number >>= 7  # noqa: PLW2901 - what is left of it
            septets.insert(0, 0x80 | (number & 0x7F))
        content += bytes(septets)
    return encoded(OID, content)


class Node:
    """One element of DER that is read: what it is, its content, and the elements in it."""

    def __init__(self, data: bytes, found: Element, start: int) -> None:
        self.tag = found.tag
        self.content = data[found.start : found.end]
        self.whole = data[start : found.end]

    def children(self) -> "List[Node]":
        """The elements one after the other inside of this one."""
        found = []
        at = 0
        while at < len(self.content):
            one = node(self.content, at)
            at += len(one.whole)
            found.append(one)
        return found

    def number(self) -> int:
        """The value of an INTEGER."""
        return int.from_bytes(self.content, "big", signed=True)


def node(data: bytes, at: int = 0) -> Node:
    """The element that begins at a place; Refused where none does."""
    found = element(data, at)
    if found is None:
        raise Refused("malformed", "this is no DER, or its lengths are left open (BER)")
    return Node(data, found, at)
