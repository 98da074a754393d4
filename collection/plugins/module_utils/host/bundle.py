# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest version of a certificate that this issuer keeps."""

from typing import Any, Dict

from . import custody


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name", "with_key"}` → `{"bundle": {certificate, chain, private_key, …} or null}`."""
    return {"bundle": custody.current(request["name"], bool(request.get("with_key")))}
