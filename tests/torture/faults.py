"""The faults x steps part of the torture: runs the matrix, or a sample of it, several attempts at a time."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from tests.lab.fleet import Fleet, Host
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.torture import matrix
from tests.torture.attempt import Issuer
from tests.torture.scoreboard import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FLEET = Fleet("issuer-only", (Host("issuer", issuer=True),))
PARALLEL = 6


def sample(seed: int, size: int | None, only: str = "") -> list[matrix.Case]:
    """So many cases, drawn and ordered by the seed; all of them without a size."""
    found = [case for case in matrix.cases() if only in str(case)]
    drawn = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    return drawn.sample(found, min(size or len(found), len(found)))


def run(issuer: Issuer, cases: Iterable[matrix.Case]) -> Iterator[matrix.Verdict]:
    """The verdicts, as they come in; acme.sh mostly waits, so several run at once."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        yield from pool.map(partial(matrix.judge, issuer), cases)


def main(seed: int, size: int | None, only: str) -> Block:
    """Prints every case; how many ended otherwise than they must, and the figures."""
    install(say=lambda _: None)
    verdicts = []
    with Lab.up("torture-faults", FLEET) as lab:
        for verdict in run(Issuer.on(lab), sample(seed, size, only)):
            verdicts.append(verdict)
            told = "; ".join(verdict.wrong) or "as it must"
            print(
                f"{verdict.case!s:38} {verdict.ended.outcome:19} {verdict.ended.seconds:5.1f} s  {told}",
                flush=True,
            )
            if verdict.wrong and verdict.ended.outcome != "signed":
                print(f"    {verdict.ended.result['failure']}", flush=True)
    wrong = sum(bool(verdict.wrong) for verdict in verdicts)
    return Block("faults of the CA", wrong, figures(verdicts))


def figures(verdicts: list[matrix.Verdict]) -> list[str]:
    """One line of figures, and one of classes."""
    faults = {verdict.case.fault.kind for verdict in verdicts}
    steps = {verdict.case.fault.step for verdict in verdicts}
    classes = Counter(verdict.ended.outcome for verdict in verdicts)
    return [
        f"faults x steps: {len(faults)} kinds x {len(steps)} steps = {len(verdicts)} attempts",
        f"requests before Retry-After: {sum(verdict.early for verdict in verdicts)}",
        f"double orders: {sum(verdict.double for verdict in verdicts)}",
        f"classes: {', '.join(f'{name} {number}' for name, number in classes.most_common())}",
    ]
