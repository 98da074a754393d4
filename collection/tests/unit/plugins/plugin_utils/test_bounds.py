# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan of any size arrives whole, in pages; what no page can hold is told."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import bounds
from hypothesis import given, settings
from hypothesis import strategies as st

LIMIT = 20_000
Result = dict[str, t.Any]


def scan(
    bindings: t.Sequence[tuple[int, int | None, int]], warnings: t.Sequence[str] = (), pem: str = "x" * 900
) -> Result:
    """What a scan found: bindings by the number of their file, certificate and the names they have."""
    used = {number for _file, number, _names in bindings if number is not None}
    return {
        "server": {"hostname": "web1", "services": []},
        "bindings": [
            {
                "service": "nginx",
                "config_file": "/etc/nginx/conf",
                "line": line,
                "names": [f"{line}-{name}.example" for name in range(names)],
                "listeners": [f"*:{443 + names % 2}"],
                "files": [{"path": f"/{file}.key", "kind": "key"}, {"path": f"/{file}", "kind": "fullchain"}],
                "certificate": None if number is None else f"certificate-{number}",
                "problems": [],
                "served": [{"listener": "*:443", "name": None, "fingerprint": f"certificate-{line % 7}"}],
            }
            for line, (file, number, names) in enumerate(bindings)
        ],
        "certificates": {
            f"certificate-{number}": {"pem": pem, "chain": f"chain-{number % 3}", "names": []}
            for number in used
        },
        "chains": {f"chain-{number % 3}": pem * 2 for number in used},
        "warnings": [{"file": None, "line": None, "message": text} for text in warnings],
    }


def whole(pages: list[Result]) -> Result:
    """All that the pages say."""
    return {
        "bindings": sorted((one for page in pages for one in page["bindings"]), key=lambda one: one["line"]),
        "certificates": {key: one for page in pages for key, one in page["certificates"].items()},
        "chains": {key: one for page in pages for key, one in page["chains"].items()},
        "warnings": [one for page in pages for one in page["warnings"]],
    }


def said(result: Result) -> Result:
    return {name: one for name, one in result.items() if name != "server"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 60), st.integers(0, 40)), max_size=150),
    st.lists(st.text(max_size=300), max_size=60),
    st.sampled_from([LIMIT, 30_000, 90_000]),
)
def test_the_pages_together_are_the_whole_and_each_can_be_read_by_itself(
    bindings: list[tuple[int, int | None, int]], warnings: list[str], limit: int
) -> None:
    result = scan(bindings, warnings)
    pages = bounds.pages(copy.deepcopy(result), limit)
    assert whole(pages) == said(result)
    for page in pages:
        assert max(len(str(page)), len(json.dumps(page))) <= limit
        assert page["server"] == result["server"]
        shown = {sight["fingerprint"] for one in page["bindings"] for sight in one["served"]}
        needed = {one["certificate"] for one in page["bindings"]} | shown
        assert needed & set(result["certificates"]) <= set(page["certificates"])
        assert {one["chain"] for one in page["certificates"].values()} <= set(page["chains"])


def test_what_fits_is_one_page_and_as_it_was() -> None:
    result = scan([(1, 1, 1)])
    (page,) = bounds.pages(result)
    assert page is result


def test_the_bindings_of_one_file_are_on_one_page() -> None:
    result = scan([(number % 40, number % 40, 1) for number in range(400)])
    pages = bounds.pages(result, 2 * LIMIT)
    assert len(pages) > 5
    where = [{one["files"][1]["path"] for one in page["bindings"]} for page in pages]
    assert sum(map(len, where)) == 40


def test_of_a_place_that_is_larger_than_a_page_those_that_speak_come_first() -> None:
    result = scan([(1, 1, 20 + number % 2) for number in range(200)])  # odd ones have more names
    pages = bounds.pages(result, LIMIT)
    ports = [{one["listeners"][0] for one in page["bindings"]} for page in pages]
    assert all(len(some) == 1 for some in ports)
    assert ports == sorted(ports, key=lambda some: some == {"*:443"})


def test_a_binding_that_no_page_can_hold_is_told() -> None:
    result = scan([(1, 1, 1), (2, 2, 900), (3, 3, 1)])
    pages = bounds.pages(result, LIMIT)
    assert [one["line"] for page in pages for one in page["bindings"]] == [0, 2]
    assert pages[0]["left_out"] == 1
    assert pages[0]["warnings"][-1]["message"] == (
        "the result is too large: 1 bindings are left out, the largest is nginx, /etc/nginx/conf:1"
    )


def test_there_is_an_end_to_pages_and_what_would_come_after_it_is_told() -> None:
    result = scan([(number, number, 1) for number in range(100)], ["y" * 1000] * 50)
    pages = bounds.pages(result, LIMIT, most=3)
    assert len(pages) == 3
    assert sum(len(page["bindings"]) for page in pages) + pages[0]["left_out"] == 100
    assert "50 warnings are left out" in pages[0]["warnings"][-1]["message"]
    assert max(len(json.dumps(page)) for page in pages) <= LIMIT


@pytest.mark.parametrize("sign", ["y", "\u202e", "\U0001f512", '"', "\\", "\udcff"])
def test_whatever_signs_a_host_sends_each_page_is_within_the_limit(sign: str) -> None:
    result = scan([(number, number, 3) for number in range(20)], [sign * 100_000, sign * 900])
    result["server"]["motd"] = sign * 40_000
    pages = bounds.pages(result, 60_000)
    assert all(max(len(str(page)), len(json.dumps(page))) <= 60_000 for page in pages)
    assert sum(len(page["bindings"]) for page in pages) == 20
    told = [one["message"] for page in pages for one in page["warnings"]]
    assert any("what the host says of itself is left out: motd" in one for one in told)


def test_however_many_bindings_there_are_each_is_looked_at_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = scan([(number, number % 50, 1) for number in range(4_000)])
    looked: list[int] = []
    size = bounds.size
    monkeypatch.setattr(bounds, "size", lambda thing: looked.append(1) or size(thing))
    pages = bounds.pages(result)
    assert sum(len(page["bindings"]) for page in pages) == 4_000
    assert len(looked) < 4 * 4_000 + 1000
