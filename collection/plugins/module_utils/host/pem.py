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

_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\s*(?P<body>[A-Za-z0-9+/=\s]*?)-----END (?P=label)-----"
)


def certificates(text: str) -> List[str]:
    """The certificates of a text, each as a clean PEM block, in the order they stand."""
    return [
        "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % _wrapped(match.group("body"))
        for match in _BLOCK.finditer(text)
        if match.group("label") in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
    ]


def _wrapped(body: str) -> str:
    joined = "".join(body.split())
    return "\n".join(joined[start : start + 64] for start in range(0, len(joined), 64))


def der(certificate: str) -> bytes:
    """The DER bytes of one PEM certificate."""
    match = _BLOCK.search(certificate)
    if match is None:
        raise Refused("malformed", "this is no PEM certificate")
    try:
        return base64.b64decode("".join(match.group("body").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", "the PEM certificate is not base64") from error


def fingerprint(certificate: str) -> str:
    """Lower-case hex SHA-256 over the DER of one PEM certificate."""
    return hashlib.sha256(der(certificate)).hexdigest()
