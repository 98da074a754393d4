"""Rounds of a lane: one renewal each, and a kill -9 of some part of the whole at a known point of it."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.lab.proxy import Exchange, Fault, Kind, Step
from tests.torture.lane import ISSUER, PATIENCE, Begun, Judged, Lane
from tests.torture.markers import Marker, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = ("www", "wiki", "edge")
HOSTS = {"www": "web1", "wiki": "apache1", "edge": "haproxy1"}
#: Seconds from the wish to the end of an undisturbed round: random kills fall into them.
SPAN = 14.0


class Victim(StrEnum):
    """Who is killed."""

    PLANE = "control plane"
    ANSIBLE = "ansible"
    HOST = "host program"


@dataclass(frozen=True)
class Round(ABC):
    """One renewal of some sites with something that happens to it."""

    @property
    def victim(self) -> Victim:
        """Who is killed."""
        return Victim.PLANE

    @property
    def keys(self) -> tuple[str, ...]:
        """The sites that are renewed."""
        return ("www",)

    @abstractmethod
    def act(self, lane: Lane, begun: Begun) -> int:
        """Asks for the renewals and kills; returns how many kills have hit."""

    def play(self, lane: Lane) -> tuple[int, Judged]:
        """The whole round: how many were killed, and what is wrong after it."""
        lane.rest()
        begun = lane.begin(*self.keys)
        kills = self.act(lane, begun)
        lane.settle(begun)
        return kills, lane.judge(begun, kills)


@dataclass(frozen=True)
class PlaneDies(Round):
    """The control plane dies at a marker of its own; what is before it, a start that is killed as well."""

    marker: Marker
    turn: int = 1

    @override
    def __str__(self) -> str:
        return f"control plane at {self.marker}" + (f" for the {self.turn}nd time" if self.turn > 1 else "")

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        kills = 1
        if self.marker.stage is Stage.RECOVERY:  # there must be something to recover
            lane.restart("work.planned:kill")
            lane.ask(begun)
            lane.plane.wait_for_death(PATIENCE)
            kills = 2
        lane.restart(f"{self.marker}:kill:{self.turn}")
        if self.marker.stage is Stage.DUE:
            lane.let_come(begun)
        elif self.marker.stage is Stage.PLANE:
            lane.ask(begun)
        lane.plane.wait_for_death(PATIENCE)
        lane.restart()
        return kills


@dataclass(frozen=True)
class RunDies(Round):
    """The process that carries the run of Ansible dies at a marker of its own."""

    marker: Marker

    @override
    def __str__(self) -> str:
        return f"process of the run at {self.marker}"

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        lane.restart(f"{self.marker}:kill")
        lane.plane.wait_until(lane.plane._ready, "the control plane is not ready", 60)
        lane.ask(begun)
        lane.plane.wait_until(lambda: self._ended(lane, begun), "the run does not die", PATIENCE)
        lane.restart()
        return 1

    @staticmethod
    def _ended(lane: Lane, begun: Begun) -> bool:
        newest = lane.story.newest_job("renew")
        return bool(newest["id"] > begun.last_job) and lane.story.settled()


@dataclass(frozen=True)
class AnsibleDiesAtPlane(Round):
    """Ansible dies while the control plane is at one of its markers."""

    marker: Marker

    @property
    @override
    def victim(self) -> Victim:
        return Victim.ANSIBLE

    @override
    def __str__(self) -> str:
        return f"ansible at {self.marker}"

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        sign = lane.plane.folder / "held"
        lane.restart(f"{self.marker}:hold={sign}")
        lane.plane.wait_until(lane.plane._ready, "the control plane is not ready", 60)
        lane.ask(begun)
        lane.plane.wait_until(sign.exists, f"nothing comes to {self.marker}", PATIENCE)
        try:
            lane.plane.wait_until(lambda: lane.kill_ansible() > 0, "no Ansible runs", 60)
        finally:
            sign.unlink()
        return 1


@dataclass(frozen=True)
class AtHosts(Round):
    """Host programs get to points of theirs, and are killed there, or somebody else while they wait there."""

    who: Victim
    points: tuple[tuple[str, str], ...]  #: host and point

    @property
    @override
    def victim(self) -> Victim:
        return self.who

    @property
    @override
    def keys(self) -> tuple[str, ...]:
        hosts = dict(self.points)
        return ALL if ISSUER not in hosts else ("wiki",)

    @override
    def __str__(self) -> str:
        return f"{self.victim} at " + ", ".join(f"{point} ({host})" for host, point in self.points)

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        points = dict(self.points)
        if self.victim is Victim.HOST:
            for host, point in points.items():
                lane.die_at(host, point)
            lane.ask(begun)
            lane.wait_for_deaths(list(points))
            return len(points)
        lane.hold(points)
        lane.ask(begun)
        lane.wait_for_holds(points)
        if self.victim is Victim.PLANE:
            lane.plane.kill()
            lane.let_go(points)
            lane.plane.start()
            return 1
        killed = lane.kill_ansible()
        lane.let_go(points)
        return int(killed > 0)


@dataclass(frozen=True)
class AtCa(Round):
    """Somebody dies just before the CA hears a request, or when it has done what it says and not answered."""

    who: Victim
    step: Step
    done: bool

    @property
    @override
    def victim(self) -> Victim:
        return self.who

    @property
    @override
    def keys(self) -> tuple[str, ...]:
        return ("wiki",)

    @override
    def __str__(self) -> str:
        return f"{self.victim} {'after' if self.done else 'before'} {self.step}"

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        killed: list[int] = []

        def act(exchange: Exchange) -> None:
            if self.done:
                answer = exchange.forward()
                killed.append(self._kill(lane))
            else:
                killed.append(self._kill(lane))
                answer = exchange.forward()
            with suppress(OSError):  # who has asked may be dead
                exchange.reply(answer)

        lane.proxy.faults = (Fault(Kind(f"kill-{self}", act), self.step, 1),)
        lane.ask(begun)
        lane.plane.wait_until(lambda: bool(killed), f"nobody asks for {self.step}", PATIENCE)
        if self.victim is Victim.PLANE:
            lane.plane.start()
        return killed[0]

    def _kill(self, lane: Lane) -> int:
        if self.victim is Victim.PLANE:
            lane.plane.kill()
            return 1
        if self.victim is Victim.ANSIBLE:
            return int(lane.kill_ansible() > 0)
        return lane.kill_programs(ISSUER, "python3", "acme.sh", "curl")


@dataclass(frozen=True)
class AtRandom(Round):
    """Kills at any time, of anybody, several in one renewal of all sites."""

    seed: int
    number: int

    @property
    @override
    def keys(self) -> tuple[str, ...]:
        return ALL

    @override
    def __str__(self) -> str:
        return f"{self.number} random kills, seed {self.seed:x}"

    @override
    def act(self, lane: Lane, begun: Begun) -> int:
        drawn = random.Random(self.seed)  # noqa: S311 -- repeatable, not secret
        moments = sorted(drawn.uniform(0, SPAN) for _kill in range(self.number))
        lane.ask(begun)
        start, hit = time.monotonic(), 0
        for moment in moments:
            kill = drawn.choice(list(_anybody(lane)))
            time.sleep(max(0.0, start + moment - time.monotonic()))
            hit += kill()
        return hit


def _anybody(lane: Lane) -> list[Callable[[], int]]:
    """Everybody who can be killed at random, the ones with more to lose more often."""
    return [
        lane.kill_plane,
        lane.kill_plane,
        lambda: int(lane.kill_ansible() > 0),
        lambda: int(lane.kill_ansible(b"notafter.runner.process") > 0),
        lambda: lane.kill_programs(ISSUER, "python3"),
        lambda: lane.kill_programs(ISSUER, "acme.sh"),
        lambda: lane.kill_programs(ISSUER),
        *(lambda host=host: lane.kill_programs(host) for host in HOSTS.values()),
    ]
