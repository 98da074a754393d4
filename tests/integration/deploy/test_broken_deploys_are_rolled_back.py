"""N, M: deploys that must fail, a sample at random: clients see the old certificate all the time.

`make torture` has a hundred of them.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.torture import rollbacks
from tests.torture.breaks import BREAKS

if TYPE_CHECKING:
    from tests.authority import Authority
    from tests.lab.lab import Lab

SAMPLE = 4
SITES = ("www", "wiki", "edge")


def test_n_apache_never_reloads_what_it_could_not_load(small_lab: Lab, authority: Authority) -> None:
    """Its own test reads no key, and a reload with the wrong one ends the whole server."""
    ways = [way for way in BREAKS if way.name in {"key of another", "kinds exchanged"}]
    score = rollbacks.run(small_lab, authority, {"wiki": ways}, seed=1)
    assert {one.broken.name: one.wrong for one in score.tried} == {way.name: [] for way in ways}
    assert score.failed == []


def test_n_a_sample_of_broken_deploys_leaves_every_server_as_it_was(
    small_lab: Lab, authority: Authority
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed:x}: python -m tests.torture --rollbacks --seed {seed:x}")
    drawn = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    sites = [small_lab.site(key) for key in SITES]
    ways = [way for way in BREAKS if "hangs" not in way.name]  # that takes its time
    score = rollbacks.run(small_lab, authority, rollbacks.plan(drawn, sites, SAMPLE, ways=ways), seed)
    assert {f"{one.site} {one.broken}": one.wrong for one in score.tried if one.wrong} == {}
    assert (len(score.tried), score.failed) == (SAMPLE, [])
    assert score.made > SAMPLE
