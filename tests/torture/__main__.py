"""`python -m tests.torture`: the random tests in full, with a scoreboard. `--faults` is one part of them."""

from __future__ import annotations

import argparse
import random
import sys

from tests.torture import faults


def main() -> int:
    """Runs the parts that were asked for, or all; 1 when something ended otherwise than it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument(
        "--faults", action="store_true", help="only the faults of the CA, at every step of ACME"
    )
    parser.add_argument("--seed", type=lambda text: int(text, 16), default=random.getrandbits(32))
    parser.add_argument("--size", type=int, help="how many cases, drawn by the seed; all if left out")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    wish = parser.parse_args()
    print(f"seed {wish.seed:x}", flush=True)
    return int(faults.main(wish.seed, wish.size, wish.only) > 0)


if __name__ == "__main__":
    sys.exit(main())
