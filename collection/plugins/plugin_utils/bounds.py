# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan's result made small enough to arrive: the largest bindings go, and it is said which."""

from __future__ import annotations

import typing as t

from .parsed import text_of

RESULT_LIMIT = 600_000  # ansible-runner empties a result of more than 700,000 characters without a word
_TOLD = 500  # what may be said of that which was left out

Result = dict[str, t.Any]
#: What a binding needs beside itself: an entry of a table, which others may need as well.
Need = tuple[str, str]


def bounded(result: Result, limit: int = RESULT_LIMIT) -> Result:
    """A result that Ansible's callbacks let through; what fits is returned as it is."""
    if len(str(result)) <= limit:
        return result
    _shorten_warnings(result, limit // 6)
    prices = {
        (name, key): len(str({key: one}))
        for name in ("certificates", "chains")
        for key, one in result[name].items()
    }
    left = limit - _TOLD - len(str({**result, "bindings": [], "certificates": {}, "chains": {}}))
    needs = [_needs(binding, result) for binding in result["bindings"]]
    kept, paid = _affordable([len(str(one)) + 2 for one in result["bindings"]], needs, prices, left)
    _leave_out(result, kept, [sum(map(prices.__getitem__, need)) for need in needs])
    for name in ("certificates", "chains"):
        result[name] = {key: one for key, one in result[name].items() if (name, key) in paid}
    return result


def _needs(binding: t.Mapping[str, t.Any], result: Result) -> set[Need]:
    certificate = result["certificates"].get(binding["certificate"])
    if certificate is None:
        return set()
    own, chain = {("certificates", binding["certificate"])}, certificate["chain"]
    return own | ({("chains", chain)} if chain in result["chains"] else set())


def _affordable(
    sizes: list[int], needs: list[set[Need]], prices: dict[Need, int], left: int
) -> tuple[set[int], set[Need]]:
    """The bindings that have room, the smallest first; what several need is paid for once."""
    kept: set[int] = set()
    paid: set[Need] = set()
    alone = [size + sum(prices[one] for one in need) for size, need in zip(sizes, needs, strict=True)]
    for number in sorted(range(len(sizes)), key=lambda one: alone[one]):
        price = sizes[number] + sum(prices[one] for one in needs[number] - paid)
        if price <= left:
            left -= price
            kept.add(number)
            paid |= needs[number]
    return kept, paid


def _leave_out(result: Result, kept: set[int], weights: list[int]) -> None:
    gone = [number for number in range(len(weights)) if number not in kept]
    if not gone:
        return
    bindings = result["bindings"]
    largest = bindings[max(gone, key=lambda number: weights[number] + len(str(bindings[number])))]
    place = text_of(f"{largest['service']}, {largest['config_file']}:{largest['line']}", 300)
    result["bindings"] = [one for number, one in enumerate(bindings) if number in kept]
    result["left_out"] = len(gone)
    _tell(result, f"the result is too large: {len(gone)} bindings are left out, the largest is {place}")


def _shorten_warnings(result: Result, limit: int) -> None:
    """The first warnings that have room; the others are a number."""
    size = 0
    for number, warning in enumerate(result["warnings"]):
        size += len(str(warning)) + 2
        if size > limit:
            more = len(result["warnings"]) - number
            result["warnings"] = result["warnings"][:number]
            _tell(result, f"the result is too large: {more} warnings are left out")
            return


def _tell(result: Result, message: str) -> None:
    result["warnings"].append({"file": None, "line": None, "message": message})
