"""K1, K6: deaths one after the other, runs that are killed, hang, or are in the way of a stop.

Whatever ends a run, its job ends with a reason, nothing of it stays behind, and what it was to do
is done later, with one order (I3) and one new version (I2).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import by_hand
from tests.e2e.conftest import HOST_FAILPOINT
from tests.e2e.test_a_killed_control_plane_finishes_after_its_restart import point_for

if TYPE_CHECKING:
    from tests.e2e.conftest import Story

#: One start of the control plane each, and where it dies; the work goes on from death to death.
DEATHS = [
    "work.before_claim",
    "run.prepared",
    "recovery.ended",
    "work.planned",
    "record.uncommitted:kill:2",
    "finish.committed",
]
#: Where not the control plane dies, but the process of a run.
RUN_DIES = "process.started"
#: Where the host program dies that keeps keys itself, because there is no control plane.
CUSTODY_POINTS = ["promoted"]
CUSTODY = "/var/lib/notafter/certificates/wiki"


def items(story: Story, job: int) -> list[tuple[str, str, str]]:
    """What became of the items of a job."""
    details = story.job(job)["details"]
    return [(item["subject"], item["state"], item["reason"]) for item in details]


def newest(story: Story, kind: str) -> int:
    """The number of the newest job of a kind."""
    number: int = story.newest_job(kind)["id"]
    return number


def assert_done_once(story: Story, key: str, before: dict[str, str], orders: int) -> None:
    """The work is finished, with one order, and nothing is left running."""
    story.wait_until_done(before)
    assert story.lab.ca.orders() - orders == 1, story.lab.ca.told()
    assert len(story.new_versions(key, before)) == 1
    assert story.run_processes() == []


def test_k1_killed_at_every_start_the_control_plane_still_finishes(story: Story) -> None:
    plane, orders = story.plane, story.lab.ca.orders()
    before: dict[str, str] = {}
    for point in DEATHS:
        plane.stop()
        plane.start({"NOTAFTER_FAILPOINT": point_for(point)}, wait=not before)
        before = before or story.renew_from_outside("www")
        plane.wait_for_death()
        assert plane.process is not None
        assert plane.process.returncode == -signal.SIGKILL, point
        assert story.served("www"), "a client is still served"
    plane.start()
    assert_done_once(story, "www", before, orders)
    assert {job["state"] for job in plane.jobs()[:4]} >= {"lost", "succeeded"}
    assert story.certificate("www")["failures"] == 0, "a death of ours is no failure of the certificate"


def test_k6_a_run_that_dies_before_ansible_starts_is_tried_again(story: Story) -> None:
    plane, orders = story.plane, story.lab.ca.orders()
    plane.stop()
    plane.start({"NOTAFTER_FAILPOINT": f"{RUN_DIES}:kill"})
    before = story.renew("www")
    job = newest(story, "renew")
    assert story.wait_for_job(job)["state"] == "failed"
    assert items(story, job) == [
        ("certificate", "failed", "run_failed"),
        ("deployment", "skipped", "issue_failed"),
    ]
    assert story.certificate("www")["next_step"]["code"] == "backing_off"
    plane.stop()
    plane.start()
    story.let_back_offs_pass()
    assert_done_once(story, "www", before, orders)


def test_k6_the_process_of_a_run_is_killed(story: Story) -> None:
    orders = story.lab.ca.orders()
    story.hold("web1", "staged")
    before = story.renew("www")
    job = newest(story, "renew")
    story.wait_for_hold("web1")
    killed = [pid for pid in story.run_processes() if b"notafter.runner.process" in words_of(pid)]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert killed
    story.wait_for_job(job)
    assert items(story, job) == [
        ("certificate", "succeeded", "issued"),
        ("deployment", "failed", "run_failed"),
    ]
    assert story.run_processes() == [], "what it had started was ended"
    story.let_go("web1")
    story.let_back_offs_pass()
    assert_done_once(story, "www", before, orders)


def test_k6_a_run_that_hangs_is_ended_and_says_so(story: Story) -> None:
    plane, orders = story.plane, story.lab.ca.orders()
    plane.stop()
    plane.start({"NOTAFTER_JOB_TIMEOUT_SECONDS": "10"})
    story.hold("issuer", "before-acme-sh")
    before = story.renew("www")
    job = newest(story, "renew")
    told = story.wait_for_job(job)
    assert items(story, job) == [
        ("certificate", "failed", "timed_out"),
        ("deployment", "skipped", "issue_failed"),
    ]
    assert "took too long" in told["details"][0]["message"]
    assert story.run_processes() == []
    story.forget_failpoints()
    plane.stop()
    plane.start()
    story.let_back_offs_pass()
    assert_done_once(story, "www", before, orders)


def test_told_to_stop_it_lets_a_run_end(story: Story) -> None:
    plane = story.plane
    story.hold("web1", "staged", 3)
    before = story.renew("www")
    job = newest(story, "renew")
    story.wait_for_hold("web1")
    assert stopped(story) == 0
    plane.start()
    assert story.job(job)["state"] == "succeeded"
    assert story.done(before), "nothing had to be done again"


def test_told_to_stop_it_cancels_a_run_that_takes_too_long_and_the_next_start_goes_on(story: Story) -> None:
    plane, orders = story.plane, story.lab.ca.orders()
    plane.stop()
    plane.start({"NOTAFTER_DRAIN_SECONDS": "0.5"})
    story.hold("web1", "staged")
    before = story.renew("www")
    job = newest(story, "renew")
    story.wait_for_hold("web1")
    assert stopped(story) == 0
    assert story.run_processes() == []
    story.let_go("web1")
    plane.start()
    assert story.job(job)["state"] == "cancelled"
    assert items(story, job)[1] == ("deployment", "cancelled", "cancelled")
    assert story.certificate("www")["places"][0]["failures"] == 0, "stopping is no failure of the host"
    assert_done_once(story, "www", before, orders)


def test_a_person_cancels_a_renewal_in_the_middle_of_a_deploy(story: Story) -> None:
    plane, orders = story.plane, story.lab.ca.orders()
    story.hold("web1", "switched")
    before = story.renew("www")
    job = newest(story, "renew")
    story.wait_for_hold("web1")
    asked = plane.ask("POST", f"/api/v1/jobs/{job}/cancel", {"reason": "the wrong hour"})
    assert asked["cancel_wanted_at"] is not None
    told = story.wait_for_job(job)
    assert (told["state"], told["message"]) == ("cancelled", "token:tests wanted it: the wrong hour")
    assert items(story, job) == [
        ("certificate", "succeeded", "issued"),
        ("deployment", "cancelled", "cancelled"),
    ]
    assert story.run_processes() == []
    assert story.served("www"), "a client is still served"
    place = story.certificate("www")["places"][0]
    assert place["failures"] == 0, "it is no failure of the host"
    story.let_go("web1")
    assert_done_once(story, "www", before, orders)


@pytest.mark.parametrize("point", CUSTODY_POINTS)
def test_k1_the_issuer_is_killed_while_it_takes_a_certificate_over(
    story: Story, tmp_path: Path, point: str
) -> None:
    """Without a control plane: the next run finds what was signed, and the next renewal is a new one."""
    lab, issuer, orders = story.lab, story.lab.hosts["issuer"], story.lab.ca.orders()
    arguments = by_hand.write(lab, [story.site("wiki")], tmp_path)
    try:
        issuer.write(HOST_FAILPOINT, f"{point}:kill")
        assert by_hand.playbook(lab, "issue", arguments, check=False).returncode != 0
        by_hand.playbook(lab, "issue", arguments)
        first = issuer.read(f"{CUSTODY}/current/certificate.pem")
        assert lab.ca.orders() - orders == 1
        by_hand.playbook(lab, "issue", [*arguments, "-e", "issue_force=true"])
        assert issuer.read(f"{CUSTODY}/current/certificate.pem") != first
        assert lab.ca.orders() - orders == 2
    finally:
        (tmp_path / "secrets.json").unlink()
    assert issuer.run(["ls", f"{CUSTODY}/pending"]).stdout == "", "no request is left open"


def stopped(story: Story) -> int | None:
    """Tells the control plane to stop, as an init system would; what it ends with."""
    process = story.plane.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def words_of(pid: int) -> bytes:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
