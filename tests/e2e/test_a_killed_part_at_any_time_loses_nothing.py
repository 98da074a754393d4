"""K1: somebody is killed at any moment of a renewal, and whatever is left goes on; a sample at random.

`make torture` kills hundreds, at every point that the code marks and at random times.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from notafter.store import accounts

from tests.lab.proxy import Proxy
from tests.plane import ACCOUNT
from tests.torture.lane import Lane
from tests.torture.rounds import AtRandom
from tests.torture.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Story

KILLS = 2


@contextmanager
def through(story: Story, proxy: Proxy) -> Iterator[None]:
    """The account's CA is asked through a proxy, which counts."""
    with story.rows() as session:
        row = accounts.by_name(session, ACCOUNT)
        before = (row.directory, row.bundle_pem, row.url)
        row.directory, row.bundle_pem, row.url = proxy.directory_url, proxy.https_root_pem, None
    try:
        yield
    finally:
        with story.rows() as session:
            row = accounts.by_name(session, ACCOUNT)
            row.directory, row.bundle_pem, row.url = before


def test_k1_kills_at_any_time_lose_nothing_and_order_nothing_twice(story: Story) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed:x}")
    with (
        Proxy.before(story.lab) as proxy,
        Watch.of(story.lab, story.lab.ca.issuing_root_pem()) as watch,
        through(story, proxy),
    ):
        lane = Lane(story.lab, proxy, story.plane, watch)
        _kills, judged = AtRandom(seed, KILLS).play(lane)
        assert judged.wrong == []
        assert watch.made > 0
