# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a certificate may have: host names, wildcards, and IP addresses (RFC 8738)."""

import re
import socket
from typing import Any, List

from .errors import Refused

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(r"^(\*\.)?(%s\.)+(?![0-9]+\Z)%s\Z" % (_LABEL, _LABEL))  # no domain of the root is a number
_ADDRESS = re.compile(r"^([0-9]{1,3}\.){3}[0-9]{1,3}\Z|^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")
_MOST = 100


def is_address(name: str) -> bool:
    """Whether a name is an IP address, or looks so much like one that it can be nothing else."""
    return bool(_ADDRESS.match(name))


def checked(names: Any) -> List[str]:
    """The names of a certificate; raises Refused naming the first that is none."""
    if not isinstance(names, list) or not 0 < len(names) <= _MOST:
        raise Refused("invalid_request", "a certificate needs 1 to %d names" % _MOST)
    return [_checked(name) for name in names]


def _checked(name: Any) -> str:
    if isinstance(name, str) and is_address(name):
        canonical = _canonical(name)
        if canonical is None:
            raise Refused("invalid_request", "%r is no valid IP address" % name)
        if canonical != name:
            raise Refused("invalid_request", "write the address %s as %s" % (name, canonical))
        return name
    if not isinstance(name, str) or len(name) > 253 or not _NAME.match(name):
        wanted = "DNS name (lower case, internationalised names as xn--) nor an IP address"
        raise Refused("invalid_request", "%r is no valid %s" % (name, wanted))
    return name


def _canonical(address: str) -> Any:
    """The one form of an address that certificates are compared in (RFC 5952); None where it is none."""
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(kind, socket.inet_pton(kind, address))
    except OSError:
        return None
