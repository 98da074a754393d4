# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a key and a CSR on this host, once for each wish."""

from typing import Any, Dict

from . import custody
from .order import checked_names


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name", "names", "key_type"}` → `{"csr", "attempt"}`; asking twice gives the same."""
    names = checked_names(request.get("names"))
    return custody.request(request["name"], names, request.get("key_type") or "ec-256")
