"""Random histories of a small fleet, drawn by a seed: a few in each test run, many by `make torture`."""

from __future__ import annotations

import traceback

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import FIGURES, Fleet
from tests.torture.scoreboard import Block

STEPS = 30
NUMBER = 500


def play(seed: int, histories: int) -> None:
    """Plays so many histories; raises what goes wrong, with the shortest history in which it does."""
    print(f"seed {seed:x}, {histories} histories", flush=True)
    wish = settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Fleet), settings=wish)


def main(seed: int, histories: int) -> Block:
    """Plays them for the scoreboard: a history that goes wrong is printed, and ends the part."""
    FIGURES.clear()
    wrong = 0
    try:
        play(seed, histories)
    except Exception:  # noqa: BLE001 - an invariant or the code itself, whatever it raised
        wrong = 1
        print(traceback.format_exc(), flush=True)
    return Block("histories", wrong, [f"{name}: {count}" for name, count in FIGURES.items()])
