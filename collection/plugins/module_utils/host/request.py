# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a key and a CSR on this host, once for each wish."""

from typing import Any, Dict

from . import accounts, custody
from .order import checked_names


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name", "names", "key_type", "account", "directory"}` → `{"csr", "attempt", "thumbprint"}`.

    Asking twice gives the same. The thumbprint is that of the issuer's own account for the CA,
    which the servers answer http-01 with; null unless a directory is named.
    """
    names = checked_names(request.get("names"))
    answer: Dict[str, Any] = dict(
        custody.request(request["name"], names, request.get("key_type") or "ec-256")
    )
    directory = request.get("directory")
    answer["thumbprint"] = accounts.own(request.get("account"), directory).thumbprint() if directory else None
    return answer
