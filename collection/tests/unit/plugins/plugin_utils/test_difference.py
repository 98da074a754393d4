# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is served against what lies on the disk, as a run by hand is told of it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.difference import differences
from ansible_collections.notafter.tls.plugins.plugin_utils.parsed import Parsed
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Made, issue

OLD, NEW = issue("shop.test", "www.shop.test"), issue("shop.test")
BLOG, OTHER = issue("blog.test"), issue("other.test")
PARSED = {made.fingerprint: Parsed(made.pem) for made in (OLD, NEW, BLOG, OTHER)}
RUNS = {"services": [{"name": "nginx", "running": True}]}
STOPPED = {"services": [{"name": "nginx", "running": False}]}


def sight(
    made: Made | None, name: str | None = "shop.test", by: str | None = None, error: str | None = None
) -> dict[str, t.Any]:
    fingerprint = made.fingerprint if made else None
    return {"listener": "*:443", "name": name, "fingerprint": fingerprint, "error": error, "by": by}


def binding(made: Made | None, *served: dict[str, t.Any], names: tuple[str, ...] = ("shop.test",)) -> t.Any:
    return {
        "service": "nginx",
        "config_file": "/etc/nginx/shop",
        "line": 4,
        "names": list(names),
        "listeners": ["*:443"],
        "certificate": made.fingerprint if made else None,
        "served": list(served),
    }


def told(*bindings: t.Any, server: dict[str, t.Any] | None = None) -> list[str | None]:
    return [one and one["kind"] for one in differences(bindings, PARSED, server or RUNS)]


@pytest.mark.parametrize(
    ("served", "kind"),
    [
        ([sight(NEW)], None),
        ([], None),
        ([sight(OLD)], "not_reloaded"),
        ([sight(NEW), sight(OLD)], "not_reloaded"),
        ([sight(OLD, by="caddy")], "served_by_another"),
        ([sight(OTHER)], "served_by_another"),
        ([sight(None, error="Connection refused")], "not_served"),
        ([sight(OLD, name="lost.test")], None),
    ],
)
def test_the_cause_of_a_difference(served: list[dict[str, t.Any]], kind: str | None) -> None:
    assert told(binding(NEW, *served)) == [kind]


def test_a_server_that_does_not_run_serves_nothing_and_that_is_no_news() -> None:
    silent = binding(NEW, sight(None, error="Connection refused"))
    assert told(silent, server=STOPPED) == [None]
    assert told(binding(NEW, sight(OTHER, by="caddy")), server=STOPPED) == ["served_by_another"]


def test_another_place_of_the_host_that_answers_there_is_named_with_file_and_line() -> None:
    blog = binding(BLOG, names=())
    blog["config_file"], blog["line"] = "/etc/nginx/default", 9
    (problem, _other) = differences([binding(NEW, sight(BLOG)), blog], PARSED, RUNS)
    assert problem is not None
    assert problem["kind"] == "served_by_another"
    assert "/etc/nginx/default:9" in problem["message"]
    elsewhere = {**blog, "listeners": ["*:8443"]}
    (problem, _other) = differences(
        [binding(NEW, sight(OLD)), {**elsewhere, "certificate": OLD.fingerprint}], PARSED, RUNS
    )
    assert problem is not None
    assert problem["kind"] == "not_reloaded", "a copy of the old file that serves elsewhere explains nothing"


def test_of_a_pair_the_one_that_no_client_gets_is_told() -> None:
    pair = binding(BLOG)
    (problem, _other) = differences([binding(NEW, sight(BLOG)), pair], PARSED, RUNS)
    assert problem is not None
    assert problem["kind"] == "not_served"
    assert "ciphers" in problem["message"]


def test_what_a_process_is_called_reaches_nobodys_terminal() -> None:
    (problem,) = differences([binding(NEW, sight(OLD, by="x\x1b[2J"))], PARSED, RUNS)
    assert problem is not None
    assert "\x1b" not in problem["message"]


def test_a_place_without_a_certificate_differs_from_nothing() -> None:
    assert told(binding(None, sight(OLD))) == [None]


def test_facts_of_a_strange_shape_break_nothing() -> None:
    for services in (None, 7, ["x"], [{"name": ["nginx"], "running": False}]):
        assert differences([binding(NEW, sight(OLD))], PARSED, {"services": services})[0] is not None
