# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks one DNS server one question (RFC 1035): what a system's resolver would answer from memory."""

import os
import socket
import struct
import time
from typing import List, NamedTuple, Tuple

A, NS, CNAME, SOA, TXT, AAAA, CAA = 1, 2, 5, 6, 16, 28, 257
NO_ERROR, NO_SUCH_NAME = 0, 3
PORT = 53
_INTERNET = 1
_MOST_RECORDS = 500
_LONGEST = 65535


class NoAnswer(OSError):
    """The server says nothing, or nothing that is an answer to what was asked."""


class Record(NamedTuple):
    """One record: the name in lower case, and what it says as text."""

    name: str
    kind: int
    value: str


class Answer(NamedTuple):
    """What a server said, by the sections of RFC 1035 §4.1."""

    code: int
    authoritative: bool
    truncated: bool
    answers: List[Record]
    authority: List[Record]
    additional: List[Record]

    def values(self, name: str, kind: int) -> List[str]:
        """What the answers say of a name."""
        return [one.value for one in self.answers if (one.name, one.kind) == (name, kind)]


def ask(address: str, name: str, kind: int, patience: float = 2.0, recursive: bool = False) -> Answer:
    """The answer of one server; raises OSError when it gives none in time."""
    number = os.urandom(2)
    flags = 0x0100 if recursive else 0
    question = encoded(name) + struct.pack(">HH", kind, _INTERNET)
    query = number + struct.pack(">HHHHH", flags, 1, 0, 0, 0) + question
    answer = _by_udp(address, query, patience)
    return _by_tcp(address, query, patience) if answer.truncated else answer


def encoded(name: str) -> bytes:
    """A name as it travels (RFC 1035 §3.1)."""
    try:
        labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    except UnicodeEncodeError:  # a server may have said it, of an alias
        raise NoAnswer("%r is no DNS name that can be asked for" % name) from None
    if any(len(label) > 63 for label in labels):
        raise NoAnswer("%s is no DNS name: a part of it has more than 63 characters" % name)
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _by_udp(address: str, query: bytes, patience: float) -> Answer:
    """Waits for the answer to this question; whatever else arrives is somebody else's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    deadline = time.monotonic() + patience
    why = "it does not answer in time"
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.connect((address, PORT))
        asked.send(query)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer(why)
            asked.settimeout(left)
            try:
                return parsed(asked.recv(_LONGEST), query)
            except socket.timeout:
                raise NoAnswer(why) from None
            except NoAnswer as error:
                why = str(error)


def _by_tcp(address: str, query: bytes, patience: float) -> Answer:
    deadline = time.monotonic() + patience
    with socket.create_connection((address, PORT), patience) as asked:
        asked.sendall(struct.pack(">H", len(query)) + query)
        (length,) = struct.unpack(">H", _received(asked, 2, deadline))
        return parsed(_received(asked, length, deadline), query)


def _received(asked: socket.socket, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        asked.settimeout(max(0.01, deadline - time.monotonic()))
        more = asked.recv(length - len(data))
        if not more or time.monotonic() > deadline:
            raise NoAnswer("its answer breaks off")
        data += more
    return data


def parsed(data: bytes, query: bytes) -> Answer:
    """A message as the answer to this query; raises NoAnswer when it is none."""
    try:
        return _parsed(data, query)
    except (IndexError, ValueError, struct.error):
        raise NoAnswer("its answer is malformed") from None


def _parsed(data: bytes, query: bytes) -> Answer:
    flags, questions, answers, authority, additional = struct.unpack(">HHHHH", data[2:12])
    asked = query[12:]
    if data[:2] != query[:2] or not flags & 0x8000 or questions != 1:
        raise NoAnswer("what it sends is no answer to the question")
    if data[12 : 12 + len(asked)].lower() != asked.lower():
        raise NoAnswer("it answers another question")
    truncated = bool(flags & 0x0200)
    sections = []  # type: List[List[Record]]
    place = 12 + len(asked)
    for count in (answers, authority, additional):
        found = []  # type: List[Record]
        for _number in range(0 if truncated else min(count, _MOST_RECORDS)):
            record, place = _record(data, place)
            found.append(record)
        sections.append(found)
    return Answer(flags & 15, bool(flags & 0x0400), truncated, *sections)


def _record(data: bytes, place: int) -> Tuple[Record, int]:
    name, place = _name(data, place)
    kind, _class, _life, length = struct.unpack(">HHIH", data[place : place + 10])
    place += 10
    if place + length > len(data):
        raise ValueError("a record is longer than its message")
    return Record(name, kind, _value(data, kind, place, length)), place + length


def _value(data: bytes, kind: int, place: int, length: int) -> str:
    content = data[place : place + length]
    if kind == A and length == 4:
        return socket.inet_ntop(socket.AF_INET, content)
    if kind == AAAA and length == 16:
        return socket.inet_ntop(socket.AF_INET6, content)
    if kind in (NS, CNAME, SOA):
        return _name(data, place)[0]
    if kind == TXT:
        return "".join(_strings(content))
    if kind == CAA and length > 2:
        return _caa(content)
    return ""


def _caa(content: bytes) -> str:
    """`flags tag value`, as a zone file has it, without the quotes (RFC 8659 §4.1)."""
    end = 2 + content[1]
    return "%d %s %s" % (content[0], content[2:end].decode("latin-1"), content[end:].decode("latin-1"))


def _strings(content: bytes) -> List[str]:
    found, place = [], 0
    while place < len(content):
        end = place + 1 + content[place]
        found.append(content[place + 1 : end].decode("latin-1"))
        place = end
    return found


def _name(data: bytes, place: int) -> Tuple[str, int]:
    """A name, and where it ends; what it points to lies before it, so that no name is endless."""
    labels = []  # type: List[str]
    end, before = 0, place
    while True:
        length = data[place]
        if length >= 0xC0:
            end = end or place + 2
            place = struct.unpack(">H", data[place : place + 2])[0] & 0x3FFF
            if place >= before:
                raise ValueError("a name points forward")
            before = place
        elif length == 0:
            return ".".join(labels), end or place + 1
        elif length > 63 or len(labels) > 127:
            raise ValueError("a name is none")
        else:
            labels.append(data[place + 1 : place + 1 + length].decode("latin-1").lower())
            place += 1 + length
