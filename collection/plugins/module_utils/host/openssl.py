# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the program `openssl` can say of an endpoint: Python's own library has no way to ask."""

import re
from typing import Dict, List, Optional

from . import commands
from .errors import HostError

_STATUS = re.compile(r"^\s*Cert Status: (\w+)", re.MULTILINE)
_TIMES = re.compile(r"^\s*(This|Next) Update: (.+)$", re.MULTILINE)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def s_client(
    place: str, starttls: Optional[str], name: Optional[str], timeout: float, options: List[str]
) -> Optional[str]:
    """What `openssl s_client` prints of one handshake; None where it cannot be run."""
    argv = ["openssl", "s_client", "-connect", place] + options
    if starttls is not None:
        argv += ["-starttls", starttls]
        argv += ["-xmpphost", name] if starttls.startswith("xmpp") and name else []
    argv += ["-servername", name] if name else ["-noservername"]
    try:
        return commands.run(argv, timeout, input=b"").stdout.decode("latin-1")
    except HostError:
        return None


def stapling(
    place: str, starttls: Optional[str], name: Optional[str], timeout: float
) -> Optional[Dict[str, Optional[str]]]:
    """The OCSP response that comes with a handshake (RFC 6066 §8); None where it could not be asked for."""
    said = s_client(place, starttls, name, timeout, ["-status"])
    if said is None or "OCSP response" not in said:
        return None
    told = {"status": "none", "this_update": None, "next_update": None}  # type: Dict[str, Optional[str]]
    if "OCSP response: no response sent" in said:
        return told
    status = _STATUS.search(said)
    told["status"] = status.group(1) if status else "error"
    for which, text in _TIMES.findall(said):
        told.setdefault(which.lower() + "_update", None)
        told[which.lower() + "_update"] = told[which.lower() + "_update"] or _iso(text)
    return told


def _iso(text: str) -> Optional[str]:
    """`Nov 22 16:00:00 2026 GMT` as ISO 8601; by hand, for strptime follows the locale."""
    parts = text.split()
    if len(parts) != 5 or parts[0] not in _MONTHS or not parts[1].isdigit():
        return None
    return "%s-%02d-%02dT%sZ" % (parts[3], _MONTHS.index(parts[0]) + 1, int(parts[1]), parts[2])
