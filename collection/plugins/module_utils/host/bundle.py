# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest version of a certificate that this issuer keeps."""

from typing import Any, Dict

from . import custody, veil


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"name"}` → `{"bundle": {certificate, chain, …} or null}`; with `veil` its key too, under that."""
    if request.get("veil"):
        return veil.put_on({"bundle": custody.current(request["name"], with_key=True)}, request["veil"])
    return {"bundle": custody.current(request["name"], with_key=False)}
