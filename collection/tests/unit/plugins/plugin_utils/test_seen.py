# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What endpoints have shown fits into a result, and what does not fit is said."""

from __future__ import annotations

import typing as t

from ansible_collections.notafter.tls.plugins.plugin_utils import seen
from ansible_collections.notafter.tls.plugins.plugin_utils.bounds import RESULT_LIMIT
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue


def row(number: int, pem: str, fingerprint: str | None, *, matches: bool | None = None) -> dict[str, t.Any]:
    """One endpoint."""
    return {
        "address": f"192.0.2.{number}",
        "port": 443,
        "starttls": None,
        "name": f"host{number}.example.test",
        "state": "served" if fingerprint else "failed",
        "error": None if fingerprint else "Connection refused",
        "fingerprint_sha256": fingerprint,
        "chain_pem": [pem, pem] if fingerprint else [],
        "matches": matches,
    }


def result_of(endpoints: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """A result as the action makes it."""
    return {"changed": False, "endpoints": endpoints, "certificates": seen.described(endpoints)}


def test_each_certificate_is_described_once(issue: Issue) -> None:
    made = issue("a.test")
    result = result_of([row(number, made.pem, made.fingerprint) for number in range(3)])
    assert list(result["certificates"]) == [made.fingerprint]
    assert result["certificates"][made.fingerprint]["names"] == ["a.test"]
    assert {one["not_after"] for one in result["endpoints"]} == {"2027-02-20T12:00:00Z"}


def test_what_cannot_be_parsed_is_kept_with_its_error() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    result = result_of([row(1, pem, "ab" * 32)])
    assert result["certificates"]["ab" * 32]["error"]
    assert result["endpoints"][0]["not_after"] is None


def test_repeated_chains_are_the_first_to_go(issue: Issue) -> None:
    first, second = issue("a.test"), issue("b.test")
    made = [first, first, second, first]
    result = result_of([row(number, one.pem, one.fingerprint) for number, one in enumerate(made)])
    bounded = seen.bounded(result, len(str(result)) - 100)
    assert [bool(one["chain_pem"]) for one in bounded["endpoints"]] == [True, False, True, False]
    assert bounded["chains_left_out"] == 2
    assert "left_out" not in bounded


def test_a_large_result_keeps_what_is_wrong(issue: Issue) -> None:
    made = issue("a.test")
    rows = [row(number, made.pem, f"{number:064x}", matches=number % 100 != 7) for number in range(3000)]
    rows += [row(number, "", None) for number in range(3000, 3100)]
    result = seen.bounded(result_of(rows))
    assert len(str(result)) <= RESULT_LIMIT
    assert result["left_out"] == 3100 - len(result["endpoints"])
    assert result["chains_left_out"] == 3000
    assert sum(one["matches"] is False for one in result["endpoints"]) == 30
    assert sum(one["state"] == "failed" for one in result["endpoints"]) == 100
    assert set(result["certificates"]) == {
        one["fingerprint_sha256"] for one in result["endpoints"] if one["fingerprint_sha256"]
    }
