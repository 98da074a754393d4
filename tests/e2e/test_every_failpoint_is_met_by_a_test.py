"""A place where we can die and that nothing kills us at would be a place where nobody knows what happens."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import test_a_killed_control_plane_finishes_after_its_restart as plane
from tests.e2e import test_a_killed_run_is_finished_by_the_next_ticks as killed
from tests.torture import kill_points, markers
from tests.torture.rounds import AnsibleDiesAtPlane, AtHosts, PlaneDies, RunDies, Victim

TESTS = Path(__file__).parents[1]


def killed_at(*victims: Victim) -> set[str]:
    """The markers that `make torture` kills at, by who is killed there."""
    found = set()
    for one in kill_points.rounds():
        if one.victim not in victims:
            continue
        if isinstance(one, PlaneDies | RunDies | AnsibleDiesAtPlane):
            found.add(one.marker.name)
        elif isinstance(one, AtHosts):
            found |= {point.rstrip("0123456789") for _host, point in one.points}
    return {name if not name.endswith("-") else f"{name}%d" for name in found}


def test_a_every_failpoint_of_a_renewal_is_a_kill_point() -> None:
    passed = {marker.name for marker in markers.markers() if marker.stage not in kill_points.BY_HAND}
    assert killed_at(*Victim) == passed
    assert len(kill_points.points()) >= 40


def test_a_where_a_host_program_can_die_the_others_die_too() -> None:
    hosts = {marker.name for marker in markers.of(markers.Stage.DEPLOY, markers.Stage.SIGN)}
    for victim in Victim:
        assert killed_at(victim) >= hosts, victim


def test_a_failpoint_that_no_renewal_passes_is_named_by_a_test() -> None:
    said = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py") if path != Path(__file__))
    for marker in markers.of(*kill_points.BY_HAND):
        assert marker.name.partition("%d")[0] in said, marker.name


def test_what_the_stories_kill_at_exists() -> None:
    known = {marker.name for marker in markers.markers()}
    met = [*plane.PLANE_POINTS, *killed.ISSUER_POINTS]
    assert {point.partition(":")[0] for point in met} <= known
