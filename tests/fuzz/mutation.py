"""Damages bytes as disks, editors and enemies do; the same seed gives the same damage again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

LIMIT = 256 * 1024
_SIGNS = b"{}[]()<>;:,=\"'\\#$%&*?!~^@|/.- \t\r\n\0\xff\xfe\xc3\xef\xbb\xbf\x80\x1a\x1b"
_NUMBERS = (b"0", b"-1", b"65535", b"65536", b"4294967296", b"99999999999999999999", b"1e9", b"0x7f")
_WORDS = re.compile(rb"[^\s;{}=\"'<>]{2,60}")


def mutated(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Some bytes with a few mutations; `others` are what pieces may come from."""
    for _turn in range(random.choice((1, 1, 1, 2, 3, 5, 9))):
        data = random.choice(_MUTATIONS)(data, random, others)[:LIMIT]
    return data


def _span(data: bytes, random: Random, longest: int = 40) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.randint(0, longest))


def _flip(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _noise(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, random, 8)
    return data[:start] + random.randbytes(random.randint(0, 8)) + data[end:]


def _sign(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, random, 2)
    return data[:start] + bytes([random.choice(_SIGNS)]) * random.randint(1, 3) + data[end:]


def _number(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return data
    match = random.choice(found)
    return data[: match.start()] + random.choice(_NUMBERS) + data[match.end() :]


def _cut(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, random, 400)
    return data[:start] if random.random() < 0.2 else data[:start] + data[end:]


def _repeat(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    start, end = _span(data, random, 60)
    times = random.choice((2, 2, 3, 10, 100, 3000))
    return data[:start] + data[start:end] * times + data[end:]


def _lines(data: bytes, random: Random, _others: Sequence[bytes]) -> bytes:
    """Swaps, repeats or joins lines."""
    lines = data.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    if random.random() < 0.5:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, lines[other])
    return random.choice((b"\n", b"\n", b"\n", b"\r\n", b"\\\n", b" ")).join(lines)


def _word(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Puts a word of one place into another, as its owner might have written it there."""
    source: bytes = random.choice([data, data, *others])
    found, places = _WORDS.findall(source), list(_WORDS.finditer(data))
    if not found or not places:
        return data
    match = random.choice(places)
    word: bytes = random.choice(found)
    return data[: match.start()] + word + data[match.end() :]


def _splice(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    source = random.choice([data, *others])
    start, end = _span(source, random, 2000)
    place = random.randint(0, len(data))
    return data[:place] + source[start:end] + data[place:]


_MUTATIONS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    _flip,
    _noise,
    _sign,
    _number,
    _cut,
    _repeat,
    _lines,
    _word,
    _word,
    _splice,
)
