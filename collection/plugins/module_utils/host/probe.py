# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many endpoints at once what they serve."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List

from . import handshake


def _one(request: Dict[str, Any]) -> Dict[str, Any]:
    endpoint = handshake.Endpoint(
        request["address"], int(request["port"]), request.get("name"), request.get("starttls")
    )
    timeout = float(request.get("timeout") or 5.0)
    served = handshake.ask_for(endpoint, request.get("key_type"), timeout)
    result = handshake.as_result(endpoint, served)
    expected = request.get("expected_fingerprint")
    result["id"] = request.get("id")
    result["expected_fingerprint"] = expected
    result["matches"] = None if expected is None else served.fingerprint == expected
    return result


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"endpoints": [{id, address, port, name, expected_fingerprint, key_type, timeout}]}`."""
    wanted: List[Dict[str, Any]] = request["endpoints"]
    if not wanted:
        return {"endpoints": []}
    with ThreadPoolExecutor(max_workers=min(32, len(wanted))) as pool:
        return {"endpoints": list(pool.map(_one, wanted))}
