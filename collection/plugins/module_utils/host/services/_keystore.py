# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystores: the public certificates of JKS, JCEKS and PKCS#12, by entry, as Java finds them.

Of a keystore nothing but certificates is taken out. A password is used here and nowhere else:
it goes to openssl through a pipe, never in arguments, an environment or a file, and it is in
no message.
"""

import hashlib
import os
import re
import struct
from typing import Iterator, List, NamedTuple, Optional, Tuple

from .. import commands
from ..errors import HostError
from . import _keystore_forms as forms

LIMIT = 8 * 1024 * 1024
_SECONDS = 10.0
_ENTRIES_LIMIT = 10000
_PASSWORD_LIMIT = 1000  # openssl reads no more than 1024 bytes
_KEY, _TRUSTED = 1, 2
_SECRET = b"\0\0\0\3"
_ZEROS = b"\0\0\0"  # every entry begins with them
_TRIES = 20000
_SEAL = 20
_NAME = re.compile(rb"^ *friendlyName: ?(.*)$", re.MULTILINE)
_KEY_MARK = re.compile(rb"^ *localKeyID:", re.MULTILINE)
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Opening(NamedTuple):
    """How a server opens a keystore: the password and alias that it was given, and where that is said.

    `password` is None where there is none or nobody knows it, `key_password` where the key has
    the same. Without an alias Java takes the first entry that has a key.
    """

    password: Optional[str] = None
    alias: Optional[str] = None
    where: str = ""
    key_password: Optional[str] = None


class Entry(NamedTuple):
    """One entry: its alias, its certificate with the issuers above it, whether a key belongs to it."""

    alias: str
    chain: List[bytes]
    has_key: bool


class Store(NamedTuple):
    """The entries of a keystore in Java's order, and why it could not be read whole."""

    entries: List[Entry]
    trouble: Optional[str]

    def chosen(self, alias: Optional[str]) -> Optional[Entry]:
        """The entry that a server shows: that of the alias, else the first with a key."""
        if alias is None:
            return next((entry for entry in self.entries if entry.has_key), None)
        wanted = folded(alias)
        return next((entry for entry in self.entries if folded(entry.alias) == wanted), None)


def read(data: bytes, form: str, opening: Opening, seconds: float = _SECONDS) -> Store:
    """What a keystore holds; what cannot be opened is told in `trouble`, without the password."""
    if form == forms.JKS:
        return _java(data, opening)
    return _pkcs12(data, opening, min(seconds, _SECONDS))


def folded(alias: str) -> str:
    """An alias as it can be compared: openssl prints of each sign only the lower byte."""
    units = alias.lower().encode("utf-16-be", "surrogatepass")
    return units[1::2].decode("latin-1").lower()


class Broken(Exception):
    """The keystore ends, or goes on, otherwise than its own numbers say."""


class Stream:
    """Java's DataInputStream over bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if size < 0 or len(found) < size:
            raise Broken("it ends in the middle of an entry")
        self.at += size
        return found

    def number(self) -> int:
        return int(struct.unpack(">i", self.take(4))[0])

    def text(self) -> str:
        size = int(struct.unpack(">H", self.take(2))[0])
        # Java's own UTF-8 has surrogates one by one and a zero in two bytes
        return self.take(size).replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")


class Piece(NamedTuple):
    """Where one entry of a JKS or JCEKS lies."""

    entry: Entry
    start: int
    end: int


def _java(data: bytes, opening: Opening) -> Store:
    """JKS and JCEKS: certificates lie in clear between encrypted keys."""
    pieces, end, trouble = java_pieces(data)
    found = {piece.entry.alias.lower(): piece.entry for piece in pieces}
    trouble = trouble or _java_seal(data, end, opening)
    order = _hashtable_order(list(found))
    return Store([found[alias] for alias in order], trouble)


def java_pieces(data: bytes) -> Tuple[List[Piece], int, Optional[str]]:
    """The entries but secret keys as they lie, where they end, and why it could not be read whole."""
    stream = Stream(data)
    found: List[Piece] = []
    try:
        version, count = java_header(stream)
        _walk(stream, version, count, found, iter(range(_TRIES)))
    except (Broken, UnicodeDecodeError) as error:
        return found, stream.at, "the keystore is not whole: %s" % error
    except RecursionError:  # where a secret key ends only what follows it tells
        return found, stream.at, "the keystore has too many secret keys"
    return found, stream.at, None


def _walk(stream: Stream, version: int, left: int, found: List[Piece], tries: Iterator[int]) -> None:
    """Takes the entries that are left, one after the other."""
    for turn in range(left):
        start = stream.at
        if stream.data[start : start + 4] == _SECRET:
            stream.number()
            stream.text()
            stream.take(8)
            _walk_on(stream, version, left - turn - 1, found, tries)
            return
        entry = java_entry(stream, version)
        found.append(Piece(entry, start, stream.at))


def _walk_on(stream: Stream, version: int, left: int, found: List[Piece], tries: Iterator[int]) -> None:
    """Goes on after a secret key, which does not say how long it is: from where all fits to the end."""
    end = len(stream.data) - _SEAL
    at = stream.data.find(_ZEROS, stream.at, end) if left else end
    while at >= 0 and next(tries, None) is not None:
        trial = Stream(stream.data)
        trial.at = at
        rest: List[Piece] = []
        try:
            _walk(trial, version, left, rest, tries)
        except (Broken, UnicodeDecodeError):
            trial.at = at
        if trial.at == end:
            stream.at = end
            found.extend(rest)
            return
        at = stream.data.find(_ZEROS, at + 1, end) if left else -1
    raise Broken("what comes after a secret key is not read")


def java_header(stream: Stream) -> Tuple[int, int]:
    """The version of a keystore and the number of its entries."""
    stream.take(4)
    version, count = stream.number(), stream.number()
    if version not in (1, 2) or not 0 <= count <= _ENTRIES_LIMIT:
        raise Broken("it says that it has version %d and %d entries" % (version, count))
    return version, count


def java_entry(stream: Stream, version: int) -> Entry:
    """The entry that begins where the stream stands."""
    tag, alias = stream.number(), stream.text()
    stream.take(8)  # when it was made
    if tag == _KEY:
        stream.take(stream.number())
        count = stream.number()
        if not 0 <= count <= forms.CHAIN_LIMIT:
            raise Broken("a chain of %d certificates" % count)
        return Entry(alias, [_java_certificate(stream, version) for _turn in range(count)], True)
    if tag == _TRUSTED:
        return Entry(alias, [_java_certificate(stream, version)], False)
    raise Broken("an entry of kind %d" % tag)


def _java_certificate(stream: Stream, version: int) -> bytes:
    if version == 2:
        stream.text()  # X.509
    der = forms.certificate(stream.take(stream.number()))
    if der is None:
        raise Broken("a certificate in it is damaged")
    return der


def _java_seal(data: bytes, end: int, opening: Opening) -> Optional[str]:
    """Whether the password is the keystore's; Java does not open it with another."""
    if opening.password is None:
        return None
    salted = opening.password.encode("utf-16-be", "surrogatepass") + b"Mighty Aphrodite" + data[:end]
    if hashlib.sha1(salted).digest() == data[end : end + 20]:  # noqa: S324 - the format's own
        return None
    return _wrong(opening)


def _wrong(opening: Opening) -> str:
    place = " in %s" % opening.where if opening.where else ""
    return "the password%s does not open it" % place


def _hashtable_order(aliases: List[str]) -> List[str]:
    """Aliases in the order in which Java's Hashtable, which JKS is kept in, gives them out.

    It grows from 11 places to 2n + 1 whenever it is three quarters full; what falls on the same
    place stands before what was there.
    """
    places: List[List[str]] = [[] for _turn in range(11)]
    for count, alias in enumerate(aliases):
        if count >= int(len(places) * 0.75):
            before = places
            places = [[] for _turn in range(2 * len(before) + 1)]
            for some in reversed(before):
                for one in some:
                    places[_java_hash(one) % len(places)].insert(0, one)
        places[_java_hash(alias) % len(places)].insert(0, alias)
    return [alias for some in reversed(places) for alias in some]


def _java_hash(text: str) -> int:
    """String.hashCode, without its sign."""
    code = 0
    for (unit,) in struct.iter_unpack(">H", text.encode("utf-16-be", "surrogatepass")):
        code = (31 * code + unit) & 0xFFFFFFFF
    return code & 0x7FFFFFFF


def _pkcs12(data: bytes, opening: Opening, seconds: float) -> Store:
    """PKCS#12, asked with its password; certificates that lie in clear need none."""
    known = opening.password is not None
    if known and not can_be_sent(opening.password or ""):
        return Store([], "the password in %s cannot be handed to openssl" % opening.where)
    try:
        if known:
            for flags in ([], ["-legacy"]):  # RC2, which Java and openssl wrote until 2021
                printed = _openssl(flags, data, opening.password or "", seconds)
                if printed is not None:
                    return Store(_pkcs12_entries(printed), None)
        for flags in (["-nomacver"], ["-nomacver", "-legacy"]):
            printed = _openssl(flags, data, "", seconds)
            if printed is not None:
                return Store(_pkcs12_entries(printed), _wrong(opening) if known else None)
    except HostError as error:
        return Store([], error.message)
    return Store([], _wrong(opening) if known else "nobody has told its password, and it is encrypted")


def can_be_sent(password: str) -> bool:
    """Whether openssl can be told a password: it reads one line."""
    return (
        not any(sign in password for sign in "\n\r\0")
        and len(password.encode("utf-8", "replace")) <= _PASSWORD_LIMIT
    )


def _openssl(flags: List[str], data: bytes, password: str, seconds: float) -> Optional[bytes]:
    """What openssl prints of the certificates; None when it cannot open the keystore."""
    reader, writer = os.pipe()
    try:
        os.write(writer, password.encode("utf-8", "replace") + b"\n")
        os.close(writer)
        argv = ["openssl", "pkcs12", "-nokeys", "-passin", "fd:%d" % reader] + flags
        result = commands.run(argv, seconds, input=data, pass_fds=(reader,))
    finally:
        os.close(reader)
    if result.timed_out:
        raise HostError("timed_out", "openssl did not open it within %d s" % seconds)
    return result.stdout if result.returncode == 0 else None


def _pkcs12_entries(printed: bytes) -> List[Entry]:
    """Entries by what is printed before each certificate: a key's certificate bears the key's mark."""
    bags: List[Tuple[bytes, Optional[str], bool]] = []
    at = 0
    for block in PEM.finditer(printed):
        about = printed[at : block.start()].rpartition(b"Bag Attributes")[
            2
        ]  # a secret key may stand before it
        at = block.end()
        found = forms.contents(block.group()).certificates
        if found:
            name = _NAME.search(about)
            alias = None if name is None else name.group(1).decode("latin-1")
            bags.append((found[0], alias, _KEY_MARK.search(about) is not None))
    issuers = forms.by_subject([der for der, _alias, _has_key in bags])
    entries: List[Entry] = []
    nameless = 0
    for der, alias, has_key in bags[:_ENTRIES_LIMIT]:
        if has_key and alias is None:
            nameless += 1
            alias = str(nameless)  # noqa: PLW2901 - so Java calls what has no name
        if has_key:
            entries.append(Entry(alias or "", forms.chain(der, issuers), True))
        elif alias is not None or not any(one for _der, _alias, one in bags):
            entries.append(Entry(alias or "", [der], False))
    return entries
