"""A year of renewals in minutes: `make simulate`. Prints the figures and the seed that brings them back."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

from tests.simulate.figures import page, table
from tests.simulate.play import Play
from tests.simulate.scenarios import SCENARIOS

#: What is played when none is named: some minutes.
_USUAL = ("year", "revocation")
_PAGE = Path("build/simulation.html")


def main() -> None:
    """Plays the scenarios that are named, and fails when one does not hold what the policy promises."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"of {', '.join(SCENARIOS)}; else {' and '.join(_USUAL)}",
    )
    parser.add_argument("--certificates", type=int, default=None, help="else as many as the scenario has")
    parser.add_argument("--seed", default=None)
    parser.add_argument("--page", type=Path, default=_PAGE, help="where the page with the plots goes")
    wish = parser.parse_args()
    unknown = set(wish.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    seed = wish.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    many, failed = [], False
    for name in wish.scenarios or _USUAL:
        began = time.monotonic()
        scenario = SCENARIOS[name]
        figures = Play(scenario.small(wish.certificates or scenario.certificates), seed).run()
        many.append(figures)
        print(f"\n{name}: {figures.scenario.tells}\n{table(figures)}", flush=True)
        for sentence in figures.wrong():
            failed = True
            print(f"  WRONG: {sentence}")
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    page(many, seed, wish.page)
    print(f"\nplots: {wish.page}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
