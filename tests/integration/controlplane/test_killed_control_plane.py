"""K1, K6: killed at any point between due and served, the next start finishes the work.

Nothing is lost (I2), nothing is ordered twice (I3), every job ends (I4), nothing is left running.
"""

import os
import re
import signal
from pathlib import Path

import pytest
from notafter.domain.job import JobState
from notafter.runner import processes
from notafter.store import certificates, jobs, versions

from tests.integration.controlplane.stage import ROOT, Stage, in_sync, one_certificate, wait_for

POINTS = [
    "work.before_claim",
    "work.claimed",
    "signing.made",
    "signing.stored",
    "work.planned",
    "run.prepared",
    "run.started",
    "record.before",
    "record.uncommitted",
    "record.committed",
    "record.before:kill:2",
    "record.uncommitted:kill:2",
    "record.committed:kill:2",
    "work.ran",
    "finish.before",
    "finish.committed",
]
#: Reached in other processes or states than the ones above; each has a test of its own below.
ELSEWHERE = {"process.started", "recovery.ended"}


def test_every_failpoint_of_the_code_has_a_test() -> None:
    sources = (ROOT / "controlplane" / "notafter").rglob("*.py")
    found = {name for path in sources for name in re.findall(r'failpoint\("([^"]+)"\)', path.read_text())}
    assert found == {point.split(":")[0] for point in POINTS} | ELSEWHERE


def marked_processes(stage: Stage) -> list[int]:
    with stage.database.read() as session:
        runs = [job.run_id for job in jobs.page(session, None, 50) if job.run_id]
    return [pid for run_id in runs for pid in processes.marked(run_id)]


def assert_all_is_well(stage: Stage, key: str) -> None:
    orders = stage.world.orders()
    assert len(orders) == 1, "at most one order, although the work was begun twice"
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        issued = [one for one in versions.of_certificate(session, row.id) if one.sealed_key]
        assert len(issued) == 1
        assert stage.world.served(row.deployments[0].key) == issued[0].fingerprint
        assert row.failures == 0, "a crash of ours is no failure of the certificate"
    assert marked_processes(stage) == []
    assert not any(stage.workshop.runtime.glob("*"))


@pytest.mark.parametrize("point", POINTS)
def test_the_work_is_finished_after_a_restart(stage: Stage, point: str) -> None:
    key = one_certificate(stage)
    stage.make_due()
    wish = point if ":" in point else f"{point}:kill"
    with stage.serve(NOTAFTER_FAILPOINT=wish) as process:
        assert wait_for(process.poll) == -9
    with stage.serve():
        wait_for(lambda: in_sync(stage, key))
    assert_all_is_well(stage, key)


def test_killed_again_while_it_recovers_it_still_finishes(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    for point in ("work.planned", "recovery.ended"):
        with stage.serve(NOTAFTER_FAILPOINT=f"{point}:kill") as process:
            assert wait_for(process.poll) == -9
    with stage.serve():
        wait_for(lambda: in_sync(stage, key))
    assert_all_is_well(stage, key)


def test_a_run_that_dies_before_ansible_starts_is_tried_again(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    with stage.serve(NOTAFTER_FAILPOINT="process.started:kill"):
        wait_for(lambda: failed_with(stage, "run_failed"))
    stage.make_due()
    with stage.serve():
        wait_for(lambda: in_sync(stage, key))
    assert stage.world.orders() == ["req-1"]


@pytest.mark.parametrize("behaviour", ["crt_1", "web1"])
def test_a_run_whose_controller_was_killed_is_ended_before_the_next_one_starts(
    stage: Stage,
    behaviour: str,
) -> None:
    key = one_certificate(stage)
    stage.make_due()
    stage.world.behave(**{behaviour: "sleep30"})
    with stage.serve() as process:
        wait_for(lambda: [pid for pid in marked_processes(stage) if b"ansible" in command_line(pid)])
        if behaviour == "web1":
            wait_for(lambda: issued(stage, key))
        process.kill()
        process.wait()
    stage.world.behave()
    wait_for(lambda: not marked_processes(stage))
    with stage.serve():
        wait_for(lambda: in_sync(stage, key))
    with stage.database.read() as session:
        assert JobState.LOST in {job.state for job in jobs.page(session, None, 50)}
    assert_all_is_well(stage, key)


def test_a_killed_runner_process_or_ansible_ends_the_job_and_leaves_nothing(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    stage.world.behave(web1="sleep30")
    with stage.serve():
        wait_for(lambda: issued(stage, key))
        for pid in marked_processes(stage):
            if b"notafter.runner.process" in command_line(pid):
                kill(pid)
        stage.world.behave()
        wait_for(lambda: failed_with(stage, "run_failed"))
        wait_for(lambda: not marked_processes(stage))
        stage.make_due_deployments()
        wait_for(lambda: in_sync(stage, key))
    assert len(stage.world.orders()) == 1


def test_a_killed_ansible_playbook_ends_the_job_with_a_reason(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    stage.world.behave(web1="sleep30")
    with stage.serve():
        wait_for(lambda: issued(stage, key))
        for pid in marked_processes(stage):
            if b"ansible-playbook" in command_line(pid):
                kill(pid)
        stage.world.behave()
        wait_for(lambda: failed_with(stage, "run_failed"))
        stage.make_due_deployments()
        wait_for(lambda: in_sync(stage, key))
    assert len(stage.world.orders()) == 1


def test_told_to_stop_it_cancels_what_runs_and_the_next_start_goes_on(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    stage.world.behave(web1="sleep30")
    with stage.serve(NOTAFTER_DRAIN_SECONDS="0.5") as process:
        wait_for(lambda: issued(stage, key))
        process.terminate()
        assert process.wait(30) == 0
    assert marked_processes(stage) == []
    with stage.database.read() as session:
        (job,) = jobs.page(session, None, 1)
        assert job.state is JobState.CANCELLED
        place = certificates.by_key(session, key).deployments[0]
        assert place.failures == 0, "stopping is no failure of the host"
    stage.world.behave()
    with stage.serve():
        wait_for(lambda: in_sync(stage, key))
    assert_all_is_well(stage, key)


def issued(stage: Stage, key: str) -> bool:
    with stage.database.read() as session:
        current = certificates.by_key(session, key).current
        return current is not None and current.sealed_key is not None


def failed_with(stage: Stage, reason: str) -> bool:
    with stage.database.read() as session:
        return any(item.reason == reason for job in jobs.page(session, None, 5) for item in job.items)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
