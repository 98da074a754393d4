"""K1: `kill -9` of the control plane at each step between due and served.

After a restart the next ticks finish the work: no host without a working certificate (I1), no
version lost (I2), at most one extra order (I3), every job ended (I4), nothing left running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
    assert len(story.new_versions("www", before)) == 1
    assert story.run_processes() == []
