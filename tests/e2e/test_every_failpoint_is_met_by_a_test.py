"""A place where we can die and that no test names would be a place where nobody knows what happens."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e import test_a_killed_control_plane_finishes_after_its_restart as plane
from tests.e2e import test_a_killed_run_is_finished_by_the_next_ticks as killed
from tests.e2e import test_a_run_that_breaks_off_is_tried_again as broken_off
from tests.integration.deploy import test_a_killed_deploy_is_finished_by_the_next as deploy

TREE = Path(__file__).parents[2]


def named(folder: Path, call: str) -> set[str]:
    """The failpoints of the programs below a folder; `%d` is any number."""
    pattern = re.compile(rf"(?<!def ){call}\(\"([^\"]+)\"")
    found = {name for path in folder.rglob("*.py") for name in pattern.findall(path.read_text())}
    assert found, folder
    return found


def plain(points: list[str]) -> set[str]:
    """Failpoints without what is to happen there, and without their number."""
    return {re.sub(r"-\d+$", "-%d", point.partition(":")[0]) for point in points}


def test_every_failpoint_of_the_control_plane_is_met_by_a_story() -> None:
    met = plain([*plane.PLANE_POINTS, *broken_off.DEATHS, broken_off.RUN_DIES])
    assert named(TREE / "controlplane" / "notafter", "failpoint") == met


def test_every_failpoint_of_the_host_program_is_met_by_a_test() -> None:
    met = plain([*killed.ISSUER_POINTS, *broken_off.CUSTODY_POINTS, *deploy.POINTS])
    assert named(TREE / "collection" / "plugins" / "module_utils" / "host", r"state\.failpoint") == met
