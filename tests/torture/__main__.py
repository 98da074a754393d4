"""`python -m tests.torture`: what the tests do a little of, in full, with a scoreboard; parts have flags."""

from __future__ import annotations

import argparse
import random
import sys

from tests.torture import faults, pebble


def main() -> int:
    """Runs the parts that were asked for, or all; 1 when something ended otherwise than it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--faults", action="store_true", help="only the faults of the CA, at every step of ACME"
    )
    parser.add_argument("--pebble", action="store_true", help="only the CA's own habits, by pairs")
    parser.add_argument("--seed", type=lambda text: int(text, 16), default=random.getrandbits(32))
    parser.add_argument("--size", type=int, help="how many cases, drawn by the seed; all if left out")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    wish = parser.parse_args()
    print(f"seed {wish.seed:x}", flush=True)
    every = not (wish.faults or wish.pebble)
    bad = faults.main(wish.seed, wish.size, wish.only) if wish.faults or every else 0
    bad += pebble.main() if wish.pebble or every else 0
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
