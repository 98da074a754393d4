"""T1: the disk, or its inodes, become full at each write; the old files stay what they are, and serve."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.deploy.conftest import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.deploy.conftest import Target

STATE = "/var/lib/notafter"
#: More pages, or inodes, than any deploy here needs.
ENOUGH = 40


@contextmanager
def small_disk(drawn: Target, folder: str) -> Iterator[None]:
    """The folder, as it is, on a file system of its own; the server runs on with what it has in memory."""
    host = drawn.host
    host.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=4000,mode=755", "tmpfs", "/mnt"])
    host.run(["sh", "-c", f"mkdir -p {folder}; cp -a {folder}/. /mnt/ && mount --bind /mnt {folder}"])
    host.run(["sh", "-c", "head -c 4096 /dev/zero > /mnt/filler"])  # to tmpfs a size of 0 is no limit
    drawn.start_from_cold()
    try:
        yield
    finally:
        host.run(["mount", "-o", "remount,size=8m,nr_inodes=4000", "/mnt"])
        host.run(["sh", "-c", f"rm -f /mnt/filler; cp -a /mnt /tmp/kept; systemctl stop {drawn.unit}"])
        host.run(
            ["sh", "-c", f"umount {folder} && umount /mnt && cp -a /tmp/kept/. {folder}/; rm -r /tmp/kept"]
        )
        drawn.start_from_cold()


def leave(drawn: Target, what: str, free: int) -> None:
    """Lets only so many pages or inodes be free."""
    block = "set -- $(stat -f -c '%b %f %c %d' /mnt); "
    limit = (
        f"size=$(( ($1 - $2 + {free}) * 4 ))k" if what == "pages" else f"nr_inodes=$(( $3 - $4 + {free} ))"
    )
    drawn.host.run(["sh", "-c", f"{block} mount -o remount,size=8m,nr_inodes=4000,{limit} /mnt"])


@pytest.mark.parametrize("where", ["certificates", "journal"])
@pytest.mark.parametrize("what", ["pages", "inodes"])
def test_t1_a_disk_that_is_full_at_any_write_changes_nothing(drawn: Target, where: str, what: str) -> None:
    folder = drawn.path("key", "combined").rpartition("/")[0] if where == "certificates" else STATE
    states: dict[int, str] = {}
    seed = random.getrandbits(32)
    print(f"seed {seed:x}")
    draw = random.Random(seed)  # noqa: S311 - it draws cases, no secrets
    drawn.deploy(drawn.issue())  # so that the lock and the folders are there, as on any host but a new one
    with small_disk(drawn, folder):
        free = 0
        while "deployed" not in states.values() and free < ENOUGH:
            before, served = drawn.snapshot(), drawn.served()
            leave(drawn, what, free)
            outcome = drawn.deploy(drawn.issue())
            states[free] = outcome["state"]
            if outcome["state"] != "deployed":
                assert outcome["reason"] == "no_space", outcome
                assert outcome["state"] in ("blocked_by_host", "rolled_back"), outcome
                assert drawn.served() == served
                leave(drawn, what, 200)
                assert drawn.snapshot() == before
            free += 1 if WHOLE else 1 + draw.randrange(4)
        leave(drawn, what, 200)
        assert drawn.settled(), drawn.left()
    assert list(states.values())[-1] == "deployed"
    assert len(states) > 1
