"""The roll-backs part of the torture: deploys that must fail, on several servers at once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.authority import Authority, pem_of
from tests.integration.deploy.conftest import Target
from tests.lab.fleet import Fleet, Host, Layout, Service, Site
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.torture.breaks import BREAKS, LIES, ROLLED_BACK
from tests.torture.scoreboard import Block
from tests.torture.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.torture.breaks import Break

#: Seconds from the beginning of a deploy until the old certificate must serve again.
LIMIT = 30
NUMBER = 100
FLEET = Fleet(
    "rollbacks",
    hosts=(
        *(Host(f"web{number}", (Service.NGINX,)) for number in (1, 2)),
        *(Host(f"apache{number}", (Service.APACHE,)) for number in (1, 2)),
        *(Host(f"haproxy{number}", (Service.HAPROXY,)) for number in (1, 2)),
    ),
    sites=(
        *(Site(f"www{number}", (f"www{number}.lab.test",), (f"web{number}",)) for number in (1, 2)),
        Site("wiki1", ("wiki1.lab.test",), ("apache1",), Service.APACHE, layout=Layout.SEPARATE_CHAIN),
        Site("wiki2", ("wiki2.lab.test",), ("apache2",), Service.APACHE),
        *(
            Site(f"edge{number}", (f"edge{number}.lab.test",), (f"haproxy{number}",), Service.HAPROXY)
            for number in (1, 2)
        ),
    ),
)


@dataclass(frozen=True)
class Tried:
    """One broken deploy, and how it ended."""

    site: str
    broken: Break
    state: str
    reason: str
    seconds: float
    wrong: list[str]

    @property
    def lied(self) -> bool:
        """Whether it calls deployed what no client sees."""
        return self.state == "deployed"


@dataclass
class Score:
    """The figures of this part."""

    tried: list[Tried] = field(default_factory=list)
    made: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return sum(bool(one.wrong) for one in self.tried) + len(self.failed)

    def lines(self) -> list[str]:
        """What the scoreboard has of it."""
        back = [one for one in self.tried if not one.wrong]
        rolled = [one for one in back if one.state == ROLLED_BACK]
        lies = [one for one in self.tried if one.broken.name in LIES]
        slowest = max((one.seconds for one in self.tried), default=0)
        ways = Counter(str(one.broken) for one in self.tried)
        return [
            f"broken deploys: {len(self.tried)} tried, {len(back)} as before, the slowest {slowest:.1f} s",
            f"of these {len(rolled)} were rolled back, the others stopped before anything was touched",
            f"ways: {', '.join(f'{way} {number}' for way, number in ways.most_common())}",
            f"hosts that lie: {len(lies)}, called deployed all the same: {sum(one.lied for one in lies)}",
            f"handshakes while rolling back: {self.made} made, {len(self.failed)} failed",
        ]


def plan(
    drawn: random.Random, sites: Iterable[Site], number: int, only: str = "", ways: Iterable[Break] = BREAKS
) -> dict[str, list[Break]]:
    """So many broken deploys, spread over the sites: first each way at each site, then by chance."""
    planned: dict[str, list[Break]] = {site.key: [] for site in sites}
    every = [
        (site.key, way)
        for way in ways
        for site in sites
        if site.service in way.services and only in f"{site.key} {way}"
    ]
    first = drawn.sample(every, len(every))
    for number_of, (key, way) in enumerate([*first, *(drawn.choice(every) for _more in range(number))]):
        if number_of < number:
            planned[key].append(way)
    return planned


def run(lab: Lab, authority: Authority, planned: dict[str, list[Break]], seed: int) -> Score:
    """Carries the plan out, every host for itself, under the eyes of clients that trust this authority."""
    score, lock = Score(), threading.Lock()
    targets = {key: Target(lab, key, authority) for key in planned}
    for target in targets.values():
        target.host.run(["rm", "-f", "/run/notafter-failpoint"])
        outcome = target.deploy(target.issue())
        if outcome["state"] != "deployed":
            raise AssertionError(f"{target.site.key} is not fit: {outcome}")

    def work(key: str) -> None:
        drawn = random.Random(f"{seed}-{key}")  # noqa: S311 -- repeatable, not secret
        for tried in _tries(targets[key], planned[key], drawn):
            told = "; ".join(tried.wrong) or "as it must"
            with lock:
                score.tried.append(tried)
                print(
                    f"{key:6} {tried.broken!s:24} {tried.state:16} {tried.seconds:5.1f} s  {told}", flush=True
                )

    with Watch.of(lab, pem_of(authority.root)) as watch, ThreadPoolExecutor(len(planned)) as pool:
        list(pool.map(work, planned))
    score.made, score.failed = watch.made, watch.failed
    return score


def _tries(target: Target, ways: Iterable[Break], drawn: random.Random) -> Iterable[Tried]:
    for way in ways:
        before, metadata, served = target.bytes_on_disk(), target.metadata(), target.served()
        issued = target.issue()
        with way.apply(target, issued, drawn) as changes:
            start = time.monotonic()
            outcome = target.deploy(issued, **changes)
            seconds = time.monotonic() - start
            now = target.served()
            checks = {
                f"serves {now[:8]} and not the old {served[:8]}": now != served,
                "the files are not the old ones": target.bytes_on_disk() != before,
                "owner, mode or ACL is not as before": target.metadata() != metadata,
                f"ended {outcome['state']}, {outcome['reason']}: {outcome['message']}": (
                    outcome["state"] not in way.states or outcome["reason"] not in way.reasons
                ),
                f"took {seconds:.1f} s": seconds > LIMIT,
            }
        wrong = [told for told, holds in checks.items() if holds]
        yield Tried(target.site.key, way, outcome["state"], outcome["reason"], seconds, wrong)


def main(seed: int, number: int, only: str) -> Block:
    """Raises a fleet, breaks its deploys, and prints each; how many went wrong, and the figures."""
    install(say=lambda _: None)
    drawn = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    with Lab.up("torture-rollbacks", FLEET, initial_validity=86400 * 30) as lab:
        score = run(lab, Authority(), plan(drawn, lab.sites, number, only), seed)
    for failure in score.failed[:20]:
        print(f"    a handshake failed: {failure}", flush=True)
    return Block("roll-backs", score.wrong, score.lines())
