"""The kills part of the torture: kill -9 at every known point and at random times, in several fleets."""

from __future__ import annotations

import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from tests.lab.image import install
from tests.torture import kill_points
from tests.torture.lane import Judged, Lane
from tests.torture.rounds import AtRandom
from tests.torture.scoreboard import Block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.rounds import Round

LANES = 3
RANDOM = 200
#: Kills in one renewal, at random times; some find nothing to kill.
MOST = 4


@dataclass(frozen=True)
class Played:
    """A round that is over, and what it cost."""

    round: Round
    kills: int
    judged: Judged
    seconds: float


@dataclass(frozen=True)
class Score:
    """The figures of this part."""

    played: list[Played]
    made: int
    failed: int
    working: int  #: endpoints that serve a valid certificate at the end
    endpoints: int

    @property
    def wrong(self) -> int:
        return sum(bool(one.judged.wrong) for one in self.played) + self.endpoints - self.working

    def lines(self) -> list[str]:
        """What the scoreboard has of it."""
        kills = sum(one.kills for one in self.played)
        lost, double, repeated = (
            sum(getattr(one.judged, name) for one in self.played) for name in ("lost", "double", "repeated")
        )
        return [
            f"kills: {kills} in {len(self.played)} renewals, {self.wrong} of them wrong",
            f"known kill points: {len(kill_points.points())}",
            f"lost certificates: {lost}",
            f"hosts without a working certificate: {self.endpoints - self.working} of {self.endpoints}",
            f"double orders: {double} signed twice; {repeated} begun again that a kill had left unsigned",
            f"most attempts beyond the first: {max((one.judged.attempts for one in self.played), default=0)}",
            f"handshakes while killing: {self.made} made, {self.failed} failed",
        ]


def main(seed: int, size: int | None, only: str, number: int, lanes: int = LANES) -> Block:
    """Plays the rounds with these words in their names, or a sample of them, and so many random kills."""
    install(say=lambda _: None)
    drawn = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    known = [one for one in kill_points.rounds() if only in str(one)]
    chosen = known if size is None else drawn.sample(known, min(size, len(known)))
    queue: SimpleQueue[Round] = SimpleQueue()
    for one in chosen:
        queue.put(one)
    wanted = _Wanted(drawn, number)
    with ThreadPoolExecutor(lanes) as pool:
        scores = list(pool.map(lambda lane: _lane(lane, queue, wanted), range(lanes)))
    score = Score(
        [one for score in scores for one in score.played],
        *(
            sum(getattr(score, name) for score in scores)
            for name in ("made", "failed", "working", "endpoints")
        ),
    )
    return Block("kills", score.wrong, score.lines())


class _Wanted:
    """Random rounds until so many kills have hit."""

    def __init__(self, drawn: random.Random, number: int) -> None:
        self._drawn = drawn
        self.left = number

    def next(self) -> Round | None:
        if self.left <= 0:
            return None
        return AtRandom(self._drawn.getrandbits(32), min(self._drawn.randint(1, MOST), self.left))

    def hit(self, played: Played) -> None:
        if isinstance(played.round, AtRandom):
            self.left -= max(played.kills, 1)


def _lane(number: int, queue: SimpleQueue[Round], wanted: _Wanted) -> Score:
    played: list[Played] = []
    with (
        tempfile.TemporaryDirectory(prefix="notafter-torture-") as folder,
        Lane.up(f"torture-kills-{number}", Path(folder)) as lane,
    ):
        for one in _rounds(queue, wanted):
            ended = play(lane, one)
            wanted.hit(ended)
            played.append(ended)
            told = "; ".join(ended.judged.wrong) or "as it must"
            print(f"{ended.round!s:60} {ended.kills} killed {ended.seconds:5.1f} s  {told}", flush=True)
        made, failed = lane.watch.count()
        endpoints = lane.watch.endpoints
        working = sum(lane.lab.served(one.host, one.port, one.name) != "" for one in endpoints)
    return Score(played, made, failed, working, len(endpoints))


def _rounds(queue: SimpleQueue[Round], wanted: _Wanted) -> Iterator[Round]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            break
    while (one := wanted.next()) is not None:
        yield one


def play(lane: Lane, one: Round) -> Played:
    """One round; one that does not come to its end is wrong for that."""
    start = time.monotonic()
    try:
        kills, judged = one.play(lane)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other rounds go on
        kills, judged = 0, Judged([f"{type(error).__name__}: {error}"])
    return Played(one, kills, judged, time.monotonic() - start)
