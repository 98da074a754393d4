# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM as the host needs it: split, ordered as given, and fingerprinted. No ASN.1."""

import base64
import binascii
import hashlib
import re
from typing import List

from .errors import Refused

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_BODY = re.compile(r"^[A-Za-z0-9+/=\s]*$")


def certificates(text: str) -> List[str]:
    """The certificates of a text, each as a clean PEM block, in the order they stand."""
    found = []
    for piece in text.split(_END)[:-1]:
        _before, begin, body = piece.rpartition(_BEGIN)
        if begin and _BODY.match(body):
            found.append("%s\n%s\n%s\n" % (_BEGIN, _wrapped(body), _END))
    return found


def _wrapped(body: str) -> str:
    joined = "".join(body.split())
    return "\n".join(joined[start : start + 64] for start in range(0, len(joined), 64))


def wrapped(body: bytes) -> str:
    """Bytes as the lines between the marks of PEM."""
    return _wrapped(base64.b64encode(body).decode("ascii"))


def encrypted(key: bytes) -> bool:
    """Whether a private key (PEM) opens with a password only (RFC 7468 §11, RFC 1421 §4.6.1.1)."""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in key or b"Proc-Type: 4,ENCRYPTED" in key


def block(certificate: bytes) -> str:
    """A certificate (DER) as PEM."""
    return "%s\n%s\n%s\n" % (_BEGIN, wrapped(certificate), _END)


def der(certificate: str) -> bytes:
    """The DER bytes of one PEM certificate."""
    blocks = certificates(certificate)
    if not blocks:
        raise Refused("malformed", "this is no PEM certificate")
    body = blocks[0][len(_BEGIN) : -len(_END) - 1]
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", "the PEM certificate is not base64") from error


def fingerprint(certificate: str) -> str:
    """Lower-case hex SHA-256 over the DER of one PEM certificate."""
    return hashlib.sha256(der(certificate)).hexdigest()
