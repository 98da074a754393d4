# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From when until when a certificate is valid, read out of it (RFC 5280 §4.1.2.5)."""

import calendar
import time
from typing import Tuple

from . import der
from .errors import Refused

_VERSION = 0xA0


def of(certificate: bytes) -> Tuple[float, float]:
    """The first and the last second of a certificate (DER), as seconds of Unix time."""
    try:
        fields = der.node(certificate).children()[0].children()
        at = 4 if fields[0].tag == _VERSION else 3  # version, serial number, signature, issuer, validity
        begin, end = fields[at].children()
    except (IndexError, ValueError) as error:
        raise Refused("malformed", "the certificate has no validity in it") from error
    return _seconds(begin.content), _seconds(end.content)


def told(seconds: float) -> str:
    """A time as it is written everywhere: ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _seconds(text: bytes) -> float:
    """UTCTime has two digits of the year, from 1950 on; GeneralizedTime four."""
    digits = text.decode("ascii", "replace").rstrip("Z")
    if len(digits) == 12:
        digits = ("19" if digits >= "50" else "20") + digits
    try:
        parts = [int(digits[:4])] + [int(digits[at : at + 2]) for at in range(4, 14, 2)]
        return float(calendar.timegm((*parts, 0, 0, 0)))
    except ValueError as error:  # no digits, or a month that there is none of
        raise Refused("malformed", "the certificate has no readable time in it") from error
