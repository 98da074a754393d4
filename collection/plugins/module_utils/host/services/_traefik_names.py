# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names by which Traefik chooses among its certificates, and the order in which it asks them.

It writes the names of each certificate in order, one after the other, and looks through what it has
written from the end of the alphabet: the first that has the name, or a star for it, is shown. Of two
with the very same names only the first that it came across is kept.
"""

import socket
from typing import List, Optional

from . import _keystore_forms as forms

_ALTERNATIVE = bytes.fromhex("0603551d11")
_COMMON = bytes.fromhex("0603550403")
_DNS, _ADDRESS = 0x82, 0x87


def key(der: bytes) -> str:
    """The names of a certificate as Traefik keeps it under."""
    common = _common_name(der)
    found = [] if common is None else [common]
    found += [name for name in _alternatives(der) if name != common]
    return ",".join(sorted(name.lower() for name in found))


def _common_name(der: bytes) -> Optional[str]:
    subject = forms.names(der)[1]
    at = subject.rfind(_COMMON)
    found = None if at < 0 else forms.element(subject, at + len(_COMMON))
    if found is None or found.start == found.end:
        return None
    return subject[found.start : found.end].decode("utf-8", "replace")


def _alternatives(der: bytes) -> List[str]:
    """The DNS names and addresses that a certificate is for (RFC 5280 section 4.2.1.6)."""
    at = der.find(_ALTERNATIVE)
    if at < 0:
        return []
    at += len(_ALTERNATIVE)
    if der[at : at + 3] == b"\x01\x01\xff":  # critical
        at += 3
    octets = forms.element(der, at)
    whole = None if octets is None else forms.element(der, octets.start)
    names: List[str] = []
    addresses: List[str] = []
    at = 0 if whole is None else whole.start
    while whole is not None and at < whole.end:
        one = forms.element(der, at)
        if one is None or one.end > whole.end:
            break
        value = der[one.start : one.end]
        if one.tag == _DNS:
            names.append(value.decode("ascii", "replace"))
        elif one.tag == _ADDRESS and len(value) in (4, 16):
            addresses.append(socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value))
        at = one.end
    return names + addresses
