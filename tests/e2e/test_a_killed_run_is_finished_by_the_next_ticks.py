"""K1, K6: `kill -9` of Ansible and of the host program, between due and served.

The next ticks finish the work: no host without a working certificate (I1), no
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

ISSUER_POINTS = ["before-acme-sh", "signed", "before-answer"]
#: One round each: where the host program is killed on web1, apache1 and haproxy1 at the same time.
TARGET_POINTS = [("staged", "swapped-1", "reloaded"), ("verified", "committed", "swapped-0")]
TARGETS = {"www": "web1", "wiki": "apache1", "edge": "haproxy1"}


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
    assert len(story.new_versions("apps", before)) == 1


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
    story.hold(host, point)
    before = story.renew("www")
    story.wait_for_hold(host)
    assert kill_ansible(story) > 0
    story.let_go(host)
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders in (1, 2)
    assert len(story.new_versions("www", before)) == 1
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
