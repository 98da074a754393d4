# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JKS and JCEKS as they are written: one entry takes another's place, all other bytes stay.

Java's own formats need nothing but SHA-1, which the standard library has. A key that is written
has the protection of JKS, which JCEKS takes as well (com.sun.crypto.provider.KeyProtector).
"""

import hashlib
import os
import struct
import time
from typing import List, Optional

from . import der
from .errors import Refused
from .services import _keystore
from .services._keystore import Piece

_JKS = b"\xfe\xed\xfe\xed"
_SEAL = 20
_PROTECTION = "1.3.6.1.4.1.42.2.17.1.1"


def empty(password: str) -> bytes:
    """A JKS keystore without an entry."""
    return _sealed(_JKS + struct.pack(">ii", 2, 0), password)


def pieces(data: bytes) -> List[Piece]:
    """The entries as they lie; Refused where not all of them can be told apart."""
    found, end, trouble = _keystore.java_pieces(data)
    if trouble or end != len(data) - _SEAL:
        raise Refused("keystore_not_understood", trouble or "more follows than it says that it has")
    return found


def opens(data: bytes, password: str) -> bool:
    """Whether a password is the keystore's."""
    return _seal(data[:-_SEAL], password) == data[-_SEAL:]


def replaced(  # noqa: PLR0913, PLR0917 - an entry, and how the store and its key are opened
    data: bytes,
    old: Optional[Piece],
    alias: str,
    chain: List[bytes],
    key: bytes,
    password: str,
    key_password: str,
) -> bytes:
    """The keystore with a new entry in the place of an old one; without that it comes first."""
    entry = _entry(alias, chain, _protected(key, key_password), data)
    if old is not None:
        return _sealed(data[: old.start] + entry + data[old.end : -_SEAL], password)
    count = struct.unpack(">i", data[8:12])[0] + 1
    return _sealed(data[:8] + struct.pack(">i", count) + entry + data[12:-_SEAL], password)


def key_of(data: bytes, piece: Piece, key_password: str) -> Optional[bytes]:
    """The private key (PKCS#8) of an entry; None where the password or the protection is another."""
    stream = _keystore.Stream(data[piece.start : piece.end])
    stream.number()
    stream.text()
    stream.take(8)
    try:
        protected = der.node(stream.take(stream.number())).children()
    except Refused:  # what lies there is no key that anybody could open
        return None
    if len(protected) != 2 or not protected[0].content.startswith(der.identifier(_PROTECTION)):
        return None
    body = protected[1].content
    salt, hidden, check = body[:_SEAL], body[_SEAL:-_SEAL], body[-_SEAL:]
    secret = _units(key_password)
    key = _mixed(hidden, secret, salt)
    return key if hashlib.sha1(secret + key).digest() == check else None  # noqa: S324 - the format's own


def _entry(alias: str, chain: List[bytes], protected: bytes, data: bytes) -> bytes:
    version = struct.unpack(">i", data[4:8])[0]
    body = struct.pack(">i", 1) + _text(alias) + struct.pack(">q", int(time.time() * 1000))
    body += struct.pack(">i", len(protected)) + protected + struct.pack(">i", len(chain))
    for one in chain:
        body += (_text("X.509") if version == 2 else b"") + struct.pack(">i", len(one)) + one
    return body


def _text(value: str) -> bytes:
    """A text as Java's DataOutputStream writes it: surrogates one by one, a zero in two bytes."""
    units = struct.iter_unpack(">H", _units(value))
    data = b"".join(chr(unit).encode("utf-8", "surrogatepass") for (unit,) in units)
    data = data.replace(b"\0", b"\xc0\x80")
    return struct.pack(">H", len(data)) + data


def _units(value: str) -> bytes:
    return value.encode("utf-16-be", "surrogatepass")


def _protected(key: bytes, password: str) -> bytes:
    """A key as EncryptedPrivateKeyInfo under the protection of JKS."""
    salt, secret = os.urandom(_SEAL), _units(password)
    body = salt + _mixed(key, secret, salt) + hashlib.sha1(secret + key).digest()  # noqa: S324 - the format's own
    algorithm = der.encoded(der.SEQUENCE, der.identifier(_PROTECTION), der.encoded(der.NULL))
    return der.encoded(der.SEQUENCE, algorithm, der.encoded(der.OCTETS, body))


def _mixed(text: bytes, secret: bytes, salt: bytes) -> bytes:
    """A text mixed with the stream of SHA-1 that password and salt begin; done twice it is the text again."""
    found = b""
    turn = salt
    while len(found) < len(text):
        turn = hashlib.sha1(secret + turn).digest()  # noqa: S324 - the format's own
        piece = text[len(found) : len(found) + _SEAL]
        found += bytes(one ^ other for one, other in zip(piece, turn))
    return found


def _sealed(body: bytes, password: str) -> bytes:
    return body + _seal(body, password)


def _seal(body: bytes, password: str) -> bytes:
    return hashlib.sha1(_units(password) + b"Mighty Aphrodite" + body).digest()  # noqa: S324 - the format's own
