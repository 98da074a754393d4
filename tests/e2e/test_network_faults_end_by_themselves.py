"""N1-N3: what a cut, a bad line or a stranger in a host's place does to a run; who is served stays served."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import send
from tests.lab.link import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.e2e.conftest import Story

#: Where a deploy is when its host falls off the network, each on the host of one site.
POINTS = {"www": "reloaded", "wiki": "staged", "edge": "verified"}


def items(story: Story, job: int) -> list[tuple[str, str, str]]:
    """What became of the items of a job."""
    details = story.job(job)["details"]
    return [(item["subject"], item["state"], item["reason"]) for item in details]


def served_inside(story: Story, key: str) -> str | None:
    """What a site's clients would get, asked on the host itself: nothing else reaches it."""
    site = story.site(key)
    host = story.lab.hosts[site.hosts[0]]
    asked = {"address": "127.0.0.1", "port": site.port, "starttls": None, "name": site.probe_name}
    (answer,) = send(host, {"op": "probe", "endpoints": [asked]})["endpoints"]
    found: str | None = answer["fingerprint_sha256"]
    return found


@pytest.mark.parametrize(
    "points",
    [{"www": "reloaded"}, pytest.param(POINTS, marks=pytest.mark.long)],
    ids=["after its reload", "each elsewhere"],
)
def test_n1_hosts_that_are_cut_off_in_a_deploy_finish_alone_and_are_found_by_their_fingerprint(
    story: Story, points: dict[str, str]
) -> None:
    lab, orders = story.lab, story.lab.ca.orders()
    hosts = {key: story.site(key).hosts[0] for key in points}
    with ExitStack() as healing:
        for key, point in points.items():
            story.hold(hosts[key], point)
        before = story.renew(*points)
        for host in hosts.values():
            story.wait_for_hold(host)
            lab.cut(host)
            healing.callback(lab.heal, host)
            story.let_go(host)
        for key, host in hosts.items():
            finished = partial(served_inside_is, story, key, story.certificate(key)["fingerprint"])
            lab.hosts[host].wait_until(finished, "it does not finish what it has begun")
        job = story.wait_for_job(story.newest_job("renew")["id"])
        failed = [item for item in job["details"] if item["subject"] == "deployment"]
        assert {item["reason"] for item in failed} == {"unreachable"}
        assert failures(story, points) == [1] * len(points)
    story.let_back_offs_pass()
    story.plane.wait_until(lambda: not any(failures(story, points)), "not looked at again")
    story.wait_until_done(before)
    again = story.newest_job("deploy")
    assert {item["reason"] for item in again["details"]} == {"unchanged"}, "nothing is put there twice"
    assert lab.ca.orders() - orders == len(points)


def served_inside_is(story: Story, key: str, fingerprint: str) -> bool:
    """Whether the host itself shows this certificate."""
    return served_inside(story, key) == fingerprint


def failures(story: Story, keys: Iterable[str]) -> list[int]:
    """How often in a row the one deployment of each has failed."""
    return [story.certificate(key)["places"][0]["failures"] for key in keys]


@pytest.mark.long
@pytest.mark.parametrize(
    "line", [{"delay": 1.0, "loss": 0.05}], ids=["two seconds for an answer, one packet in twenty lost"]
)
def test_n2_a_bad_line_makes_a_run_slow_and_nothing_else(story: Story, line: dict[str, Any]) -> None:
    orders = story.lab.ca.orders()
    with Link(story.lab, "web1", **line) as bad:
        before = story.renew("apps")
        story.plane.wait_until(story.settled, "the run does not end", 300)
        assert items(story, story.newest_job("renew")["id"]) == [
            ("certificate", "succeeded", "issued"),
            ("deployment", "succeeded", "deployed"),
        ]
        assert bad.dropped
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders == 1


@pytest.mark.long
def test_n2_a_line_that_loses_large_packets_is_given_up_in_time_and_used_when_it_is_well(
    story: Story,
) -> None:
    with Link(story.lab, "web1", largest=1000) as bad:
        before = story.renew("apps")
        story.plane.wait_until(story.settled, "the run does not end", 300)
        told = items(story, story.newest_job("renew")["id"])
        assert told == [("certificate", "succeeded", "issued"), ("deployment", "failed", "unreachable")]
        assert bad.dropped
        assert served_inside(story, "apps") == before["apps"]
    story.let_back_offs_pass()
    story.wait_until_done(before)


def test_n3_a_host_that_shows_another_key_is_left_alone_and_told(story: Story) -> None:
    lab, host = story.lab, story.lab.hosts["web1"]
    known_hosts = lab.folder / "known_hosts"
    known, before = known_hosts.read_bytes(), story.served("www")
    keep = "mkdir -m 700 /root/kept && mv /etc/ssh/ssh_host_* /root/kept/"
    host.run(["sh", "-c", f"{keep} && ssh-keygen -A && systemctl restart ssh"])
    try:
        asked = story.renew("www")
        story.plane.wait_until(story.settled, "the run does not end")
        job = story.newest_job("renew")["id"]
        assert items(story, job)[-1] == ("deployment", "failed", "host_key_changed"), story.job(job)[
            "details"
        ][-1]["message"]
        assert "another SSH key" in story.job(job)["details"][-1]["message"]
        assert story.served("www") == before
        assert known_hosts.read_bytes() == known, "nothing is accepted by itself"
    finally:
        put_back = "rm /etc/ssh/ssh_host_* && mv /root/kept/* /etc/ssh/ && rmdir /root/kept"
        host.run(["sh", "-c", f"{put_back} && systemctl restart ssh"])
    story.let_back_offs_pass()
    story.wait_until_done(asked)
