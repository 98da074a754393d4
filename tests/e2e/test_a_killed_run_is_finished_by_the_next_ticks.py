"""K1, K6: `kill -9` of the control plane, of Ansible and of the host program, between due and served.

After a restart the next ticks finish the work: no host without a working certificate (I1), no
version lost (I2), at most one extra order (I3), every job ended (I4), nothing left running.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import HOST_FAILPOINT

if TYPE_CHECKING:
    from tests.e2e.conftest import Story

PLANE_POINTS = [
    "work.claimed",
    "signing.made",
    "signing.stored",
    "work.planned",
    "run.started",
    "record.before",
    "record.uncommitted",
    "record.committed",
    "record.before:kill:2",
    "record.committed:kill:2",
    "work.ran",
    "finish.before",
]
ISSUER_POINTS = ["before-acme-sh", "signed", "before-answer"]
#: One round each: where the host program is killed on web1, apache1 and haproxy1 at the same time.
TARGET_POINTS = [("staged", "swapped-1", "reloaded"), ("verified", "committed", "swapped-0")]
TARGETS = {"www": "web1", "wiki": "apache1", "edge": "haproxy1"}


def point_for(words: str) -> str:
    """A failpoint of the control plane that kills unless it says otherwise."""
    return words if ":" in words else f"{words}:kill"


@pytest.mark.parametrize("point", PLANE_POINTS)
def test_k1_the_control_plane_is_killed(story: Story, point: str) -> None:
    plane = story.plane
    orders = story.lab.ca.orders()
    plane.stop()
    plane.start({"NOTAFTER_FAILPOINT": point_for(point)})
    before = story.renew_from_outside("www")
    plane.wait_for_death()
    assert story.served("www"), "a client is still served"
    plane.start()
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders in (1, 2)
    assert len(new_versions(story, "www", before)) == 1
    assert story.run_processes() == []


@pytest.mark.parametrize("point", ISSUER_POINTS)
def test_k1_the_host_program_is_killed_while_it_signs(story: Story, point: str) -> None:
    orders = story.lab.ca.orders()
    story.lab.hosts["issuer"].write(HOST_FAILPOINT, f"{point}:kill")
    before = story.renew("apps")
    issuer = story.lab.hosts["issuer"]
    story.plane.wait_until(
        lambda: not issuer.exists(HOST_FAILPOINT), "the host program does not get there", 90
    )
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders in (1, 2)
    assert len(new_versions(story, "apps", before)) == 1


@pytest.mark.parametrize("points", TARGET_POINTS, ids="+".join)
def test_k1_the_host_program_is_killed_while_it_deploys(story: Story, points: tuple[str, ...]) -> None:
    orders = story.lab.ca.orders()
    for host, point in zip(TARGETS.values(), points, strict=True):
        story.lab.hosts[host].write(HOST_FAILPOINT, f"{point}:kill")
    before = story.renew(*TARGETS)
    story.plane.wait_until(lambda: not any_failpoint(story), "the host programs do not get there", 90)
    for key in TARGETS:
        assert story.served(key), "a client is still served"
    story.wait_until_done(before, 200)
    assert story.lab.ca.orders() - orders == len(TARGETS), "a failed deploy never leads to another order"


@pytest.mark.parametrize(
    ("host", "point"), [("issuer", "before-acme-sh"), ("web1", "staged"), ("web1", "reloaded")]
)
def test_k6_ansible_is_killed(story: Story, host: str, point: str) -> None:
    orders = story.lab.ca.orders()
    story.lab.hosts[host].write(HOST_FAILPOINT, f"{point}:sleep=3")
    before = story.renew("www")
    story.plane.wait_until(
        lambda: not story.lab.hosts[host].exists(HOST_FAILPOINT), "the run does not get there", 60
    )
    assert kill_ansible(story) > 0
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders in (1, 2)
    assert len(new_versions(story, "www", before)) == 1
    assert story.run_processes() == []


def any_failpoint(story: Story) -> bool:
    """Whether a host has a failpoint that was not met yet."""
    return any(story.lab.hosts[host].exists(HOST_FAILPOINT) for host in TARGETS.values())


def kill_ansible(story: Story) -> int:
    """SIGKILL for every ansible-playbook of this control plane's runs; how many there were."""
    killed = 0
    for pid in story.run_processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"ansible-playbook" in words:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def new_versions(story: Story, key: str, before: dict[str, str]) -> list[str]:
    """The versions that were made since: none may be lost, none made twice."""
    fingerprints = [version["fingerprint"] for version in story.certificate(key)["versions"]]
    order = sorted(
        story.certificate(key)["versions"], key=lambda version: version["created_at"], reverse=True
    )
    newest_first = [version["fingerprint"] for version in order]
    assert before[key] in fingerprints
    return newest_first[: newest_first.index(before[key])]
