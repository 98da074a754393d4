# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server gets a certificate when, and what the first ones say to the others."""

from __future__ import annotations

import typing as t
from collections import Counter

import pytest
from ansible.errors import AnsibleError
from ansible_collections.notafter.tls.plugins.plugin_utils import placements, progress, waves

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's own folder."""
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))


def numbers(total: int, steps: list[int | str]) -> list[int]:
    """How many servers each wave has."""
    servers = [f"web{number}" for number in range(total)]
    counted = Counter(waves.number(servers, server, steps) for server in servers)
    return [counted[wave] for wave in range(1, len(steps) + 1)]


@pytest.mark.parametrize(
    ("total", "steps", "sizes"),
    [
        (1, [1, "10%", "100%"], [1, 0, 0]),
        (2, [1, "10%", "100%"], [1, 1, 0]),
        (3, [1, "10%", "100%"], [1, 1, 1]),
        (200, [1, "10%", "100%"], [1, 20, 179]),
        (200, ["100%"], [200]),
        (200, [1], [200]),
        (10, ["30%", 2], [3, 7]),
        (10, [8, 8, 8], [8, 2, 0]),
    ],
)
def test_the_last_wave_takes_all_that_are_left(total: int, steps: list[int | str], sizes: list[int]) -> None:
    assert numbers(total, steps) == sizes


@pytest.mark.parametrize(
    "wish", [[], "10%", 1, [0], [-1], [True], ["0%"], ["101%"], ["10"], [1.5], [1] * 6, {}]
)
def test_what_is_no_list_of_waves_is_refused_with_the_certificates_name_and_an_example(wish: t.Any) -> None:
    with pytest.raises(
        AnsibleError, match=r"certificate_waves of shop must be .* such as \[1, '10%', '100%'\]"
    ):
        waves.steps(wish, "shop")


@pytest.mark.parametrize("wish", [-1, 101, "many", "\u00b2", True, 0.5])
def test_what_is_no_percentage_is_refused_with_the_certificates_name(wish: t.Any) -> None:
    with pytest.raises(AnsibleError, match="certificate_max_fail_percentage of shop"):
        waves.percentage(wish, "shop")


def hostvars(**more: t.Any) -> dict[str, dict[str, t.Any]]:
    """A certificate on four servers."""
    wishes = [{"server": f"web{number}", "service": "nginx"} for number in (4, 3, 2, 1, 1)]
    return {"shop": {"certificate_fingerprint": "ab" * 32, "certificate_deployments": wishes, **more}}


def test_the_first_server_is_the_one_that_the_play_has_first() -> None:
    play = ["web2", "web9", "web1", "web4", "web3"]
    found = {
        server: [one["wave"] for one in placements.deployments(hostvars(), ["shop"], server, play)]
        for server in play
    }
    assert found == {"web2": [1], "web9": [], "web1": [2, 2], "web4": [3], "web3": [3]}


def test_servers_that_the_play_leaves_out_have_no_part_in_the_waves() -> None:
    (one,) = placements.deployments(hostvars(), ["shop"], "web3", ["web3"])
    assert one["wave"] == 1


def test_a_policy_is_a_certificates_own_and_what_ends_soon_does_not_wait() -> None:
    play = ["web1", "web2", "web3", "web4"]
    shared = hostvars(certificate_waves=[2, "100%"], certificate_max_fail_percentage=50)
    shared["shop"]["certificate_deployments"][0]["urgent"] = True
    found = {server: placements.deployments(shared, ["shop"], server, play)[0] for server in play}
    assert {server: one["wave"] for server, one in found.items()} == {
        "web1": 1,
        "web2": 1,
        "web3": 2,
        "web4": 1,
    }
    assert {one["max_fail_percentage"] for one in found.values()} == {50}


def test_without_a_play_everything_is_of_one_wave() -> None:
    (one,) = placements.deployments(hostvars(), ["shop"], "web3")
    assert progress.turn("web3", [one], 1).mine == [one]


def wish(certificate: str = "shop", wave: int = 2, allowed: int = 0) -> dict[str, t.Any]:
    """A deployment of a later wave."""
    return {
        "certificate": certificate,
        "fingerprint": "ab" * 32,
        "wave": wave,
        "max_fail_percentage": allowed,
    }


def end(
    server: str, wave: int, *states: tuple[str, str], also: tuple[dict[str, t.Any], ...] = ()
) -> dict[str, t.Any]:
    """One wave on one server, in which each certificate comes to a state; what its result says."""
    wishes = [wish(certificate, wave) for certificate, _state in states]
    turn = progress.turn(server, [*wishes, *also], wave)
    outcomes = [
        {"certificate": certificate, "state": state, "message": f"{certificate} is {state}"}
        for certificate, state in states
    ]
    failed = any(state not in waves.FOR for _certificate, state in states)
    return turn.over(
        {"failed": failed, "msg": "; ".join(one["message"] for one in outcomes), "deployments": outcomes}
    )


def test_what_one_server_did_not_take_is_held_back_on_the_next_and_nothing_else_is() -> None:
    end("web1", 1, ("shop", "rolled_back"), ("blog", "deployed"))
    turn = progress.turn("web2", [wish("shop"), wish("blog"), wish("mail")], 2)
    assert [one["certificate"] for one in turn.mine] == ["blog", "mail"]
    ((held, why),) = turn.held
    assert held["certificate"] == "shop"
    assert why == "not tried, because an earlier server did not take it: web1: shop is rolled_back"


@pytest.mark.parametrize("state", ["blocked_by_host", "busy", "conflict", "refused", "planned", "held_back"])
def test_a_server_that_was_not_touched_says_nothing_against_a_certificate(state: str) -> None:
    end("web1", 1, ("shop", state))
    assert progress.turn("web2", [wish()], 2).held == []


def test_as_many_may_fail_as_the_policy_allows() -> None:
    for number in range(9):
        end(f"web{number}", 1, ("shop", "deployed"))
    end("web9", 1, ("shop", "broken"))
    assert progress.turn("late", [wish(allowed=10)], 2).held == []
    assert len(progress.turn("late", [wish(allowed=9)], 2).held) == 1
    end("web8", 1, ("shop", "rolled_back"))
    ((_wish, why),) = progress.turn("late", [wish(allowed=10)], 2).held
    assert why.endswith(", and 1 more")


def test_a_server_that_takes_it_in_a_later_play_of_the_run_no_longer_holds_anybody_back() -> None:
    end("web1", 1, ("shop", "rolled_back"))
    end("web1", 1, ("shop", "deployed"))
    assert progress.turn("web2", [wish()], 2).held == []


def test_another_version_of_the_certificate_begins_afresh() -> None:
    end("web1", 1, ("shop", "rolled_back"))
    assert progress.turn("web2", [{**wish(), "fingerprint": "cd" * 32}], 2).held == []


def test_a_host_fails_when_its_last_wave_is_over_and_says_all_that_failed() -> None:
    first = end("web1", 1, ("shop", "rolled_back"), also=(wish("blog", 2), wish("mail", 3)))
    assert (first["failed"], first["later"]) == (False, [2, 3])
    second = end("web1", 2, ("blog", "deployed"), also=(wish("mail", 3),))
    assert (second["failed"], second["later"]) == (False, [3])
    third = end("web1", 3, ("mail", "busy"))
    assert third["failed"] is True
    assert third["msg"] == "shop is rolled_back; in a later wave: mail is busy"


def test_a_host_that_took_everything_has_not_failed() -> None:
    end("web1", 1, ("shop", "deployed"), also=(wish("blog", 2),))
    assert end("web1", 2, ("blog", "unchanged"))["failed"] is False
