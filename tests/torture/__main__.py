"""`python -m tests.torture`: what the tests do a little of, in full, with a scoreboard; parts have flags."""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.stateful import histories
from tests.torture import faults, hosts, kills, pebble, rollbacks, scoreboard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.scoreboard import Block


@dataclass(frozen=True)
class Part:
    """One part of the torture: its flag, what it does, and how."""

    flag: str
    help: str
    run: Callable[[argparse.Namespace], Block]


PARTS = (
    Part(
        "faults",
        "the faults of the CA, at every step of ACME",
        lambda wish: faults.main(wish.seed, wish.size, wish.only),
    ),
    Part("pebble", "the CA's own habits, by pairs", lambda _wish: pebble.main()),
    Part(
        "kills",
        "kill -9 of everybody at every known point, then at random times",
        lambda wish: kills.main(wish.seed, wish.size, wish.only, wish.random, wish.lanes),
    ),
    Part(
        "rollbacks",
        "deploys that must fail, on several servers at once",
        lambda wish: rollbacks.main(wish.seed, wish.size or rollbacks.NUMBER, wish.only),
    ),
    Part(
        "hosts",
        "every row that a host must survive, with each kind of server, at every point",
        lambda wish: hosts.main(wish.seed, wish.only),
    ),
    Part(
        "stateful",
        "random histories of a fleet: due, issue, deploy, crash, clock and edit in any order",
        lambda wish: histories.main(wish.seed, wish.size or histories.NUMBER),
    ),
)


def main() -> int:
    """Runs the parts that were asked for, or all; 1 when something ended otherwise than it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    for part in PARTS:
        parser.add_argument(f"--{part.flag}", action="store_true", help=f"only {part.help}")
    parser.add_argument("--seed", type=lambda text: int(text, 16), default=random.getrandbits(32))
    parser.add_argument("--size", type=int, help="how many cases of a part, drawn by the seed")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--random", type=int, default=kills.RANDOM, help="kills at random times")
    parser.add_argument("--lanes", type=int, default=kills.LANES, help="fleets at once that are killed in")
    wish = parser.parse_args()
    print(f"seed {wish.seed:x}", flush=True)
    chosen = [part for part in PARTS if getattr(wish, part.flag)] or PARTS
    blocks = [part.run(wish) for part in chosen]
    print(scoreboard.told(blocks, wish.seed))
    return int(any(block.wrong for block in blocks))


if __name__ == "__main__":
    sys.exit(main())
