# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public half that a private key states, to hold it against a certificate's: no TLS library is loaded.

A file of an RSA key has the modulus in it (RFC 8017 A.1.2), that of an elliptic curve nearly
always the public point (RFC 5915 §3): the very bytes that the certificate has as well. Where
they differ or are not there, nothing is decided here. Of the secret half nothing is kept.
"""

import re
from typing import Optional

from ._keystore_forms import decoded, element

_KEY = re.compile(rb"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----([^-]*)-----END \1-----")
_SEQUENCE, _INTEGER, _BITS, _OCTETS, _SECOND, _IDENTIFIER = 0x30, 0x02, 0x03, 0x04, 0xA1, 0x06
_KINDS = {bytes.fromhex("2a864886f70d010101"): "rsa", bytes.fromhex("2a8648ce3d0201"): "ec"}


def of_certificate(der: bytes) -> Optional[bytes]:
    """The public key of a certificate, without the SEQUENCE around that of RSA."""
    body = _child(_child(der, _SEQUENCE, 0), _SEQUENCE, 0)
    versioned = 1 if body is not None and body[:1] == b"\xa0" else 0
    bits = _child(_child(body, _SEQUENCE, versioned + 5), _BITS, 1)
    return None if bits is None else _bare(bits[1:])


def kind_of_certificate(der: bytes) -> Optional[str]:
    """`rsa` or `ec`, what the public key of a certificate is; None where it is something else."""
    body = _child(_child(der, _SEQUENCE, 0), _SEQUENCE, 0)
    versioned = 1 if body is not None and body[:1] == b"\xa0" else 0
    algorithm = _child(_child(_child(body, _SEQUENCE, versioned + 5), _SEQUENCE, 0), _IDENTIFIER, 0)
    return None if algorithm is None else _KINDS.get(algorithm)


def of_private(data: bytes) -> Optional[bytes]:
    """The public half that the first private key of a PEM file states; None where it states none."""
    match = _KEY.search(data)
    if match is None:
        return None
    body = _child(decoded(match.group(2)), _SEQUENCE, 0)
    if match.group(1) == b"PRIVATE KEY":
        body = _child(_child(body, _OCTETS, 2), _SEQUENCE, 0)
    if _child(body, _INTEGER, 1) is not None:
        return _integers(body or b"")
    for place in (2, 3):
        bits = _child(_child(body, _SECOND, place), _BITS, 0)
        if bits is not None:
            return bits[1:]
    return None


def _integers(body: bytes) -> Optional[bytes]:
    """Modulus and exponent, which follow the version, as they stand."""
    version = element(body, 0)
    modulus = None if version is None else element(body, version.end)
    exponent = None if modulus is None else element(body, modulus.end)
    return None if version is None or exponent is None else body[version.end : exponent.end]


def _bare(key: bytes) -> bytes:
    inner = _child(key, _SEQUENCE, 0)
    return key if inner is None else inner


def _child(der: Optional[bytes], tag: int, place: int) -> Optional[bytes]:
    """The content of the element at a place, if it has that tag."""
    at = 0
    found = None
    for _turn in range(place + 1):
        found = element(der or b"", at)
        if found is None:
            return None
        at = found.end
    return None if der is None or found is None or found.tag != tag else der[found.start : found.end]
