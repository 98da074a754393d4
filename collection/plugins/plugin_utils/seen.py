# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What endpoints have shown, in a result that Ansible's callbacks let through."""

from __future__ import annotations

import typing as t

from .bounds import RESULT_LIMIT
from .certificates import describe

Row = dict[str, t.Any]
_FIELDS = ("names", "subject", "issuer", "serial", "not_before", "not_after", "key_type", "error")


def described(endpoints: list[Row]) -> dict[str, Row]:
    """What each certificate says, by fingerprint; each endpoint gets the validity of its own."""
    found: dict[str, Row] = {}
    for one in endpoints:
        fingerprint = one["fingerprint_sha256"]
        if fingerprint and fingerprint not in found and one["chain_pem"]:
            facts = describe(one["chain_pem"][0])
            found[fingerprint] = {field: facts[field] for field in _FIELDS}
        facts = found.get(fingerprint, {})
        one["not_before"], one["not_after"] = facts.get("not_before"), facts.get("not_after")
    return found


def bounded(result: Row, limit: int = RESULT_LIMIT) -> Row:
    """The result within the limit: repeated chains go first, then all, then what is as it should be.

    What went is said: `chains_left_out` and `left_out` count it. Endpoints that did not show what
    they should are the last to go.
    """
    if len(str(result)) <= limit:
        return result
    for repeated_alone in (True, False):
        if len(str(result)) > limit:
            _leave_out_chains(result, repeated_alone)
    if len(str(result)) > limit:
        _leave_out_endpoints(result, limit)
    return result


def _leave_out_chains(result: Row, repeated_alone: bool) -> None:
    told: set[str] = set()
    for one in result["endpoints"]:
        if one["chain_pem"] and (not repeated_alone or one["fingerprint_sha256"] in told):
            one["chain_pem"] = []
            result["chains_left_out"] = result.get("chains_left_out", 0) + 1
        told.add(one["fingerprint_sha256"])


def _leave_out_endpoints(result: Row, limit: int) -> None:
    rows, facts = result["endpoints"], result["certificates"]
    left = limit - len(str({**result, "endpoints": [], "certificates": {}})) - 100
    kept: set[int] = set()
    used: set[str] = set()
    for number, one in sorted(enumerate(rows), key=lambda pair: (_rank(pair[1]), pair[0])):
        fingerprint = one["fingerprint_sha256"]
        size = len(str(one)) + 2
        if fingerprint in facts and fingerprint not in used:
            size += len(str(facts[fingerprint])) + len(fingerprint) + 6
        if size > left:
            break
        left -= size
        kept.add(number)
        used.add(fingerprint)
    result["left_out"] = len(rows) - len(kept)
    result["endpoints"] = [one for number, one in enumerate(rows) if number in kept]
    result["certificates"] = {key: one for key, one in facts.items() if key in used}


def _rank(one: Row) -> int:
    """Who stays longest: what shows something wrong, then what was silent, then the rest."""
    if one["matches"] is False:
        return 0
    return 1 if one["state"] == "failed" else 2
