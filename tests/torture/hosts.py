"""Every row of faults.md that a host must survive, with nginx, Apache and HAProxy, at every point.

The rows are the tests of `tests/integration/deploy/`, which draw a few cells in `make test`. Here all
are run; the random choices of pytest's order and of the cells come from the seed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

from tests.torture.scoreboard import Block

ROOT = Path(__file__).parents[2]
FOLDER = "tests/integration/deploy"
_ROW = re.compile(r"test((?:_[a-z]\d*)+)_")
_HOURS = 3600


def main(seed: int, only: str) -> Block:
    """Runs all cells, or those with `only` in their name, and counts them by row and by server."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        arguments = ["-q", "-n", "2", f"--randomly-seed={seed}", f"--junit-xml={report}"]
        chosen = ["-k", only] if only else []
        subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, *chosen, FOLDER],
            check=False,
            cwd=ROOT,
            env={**os.environ, "NOTAFTER_WHOLE_MATRIX": "1"},
            timeout=_HOURS,
        )
        return _counted(report)


def _counted(report: Path) -> Block:
    """The scoreboard's lines from pytest's report."""
    if not report.exists():
        return Block("hosts", 1, ["pytest wrote no report"])
    rows: Counter[str] = Counter()
    bad: list[str] = []
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest has just written it
        name = str(case.get("name"))
        row = row_of(name)
        rows[row] += 1
        if case.find("failure") is not None or case.find("error") is not None:
            bad.append(f"wrong: {name}")
    told = ", ".join(f"{row} {rows[row]}" for row in sorted(rows, key=_place))
    return Block("hosts", len(bad), [f"cells: {sum(rows.values())} ({told})", *bad])


def row_of(name: str) -> str:
    """The row that a test is named after, such as T11; those without one are counted together."""
    found = _ROW.match(name)
    return found.group(1).split("_")[1].upper() if found else "others"


def _place(row: str) -> tuple[str, int]:
    return row[:1], int(row[1:] or 0) if row[1:].isdigit() else 0
