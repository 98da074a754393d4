"""K3, K7: several schedulers and workers at one database, and one that stood still while others went on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from notafter.domain.errors import ClaimLost
from notafter.domain.job import ItemState, JobState
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import due, recovery, request, signing
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.recovery import Watch
from notafter.runner import processes
from notafter.runner.processes import Life
from notafter.store import certificates, items, jobs
from notafter.store.tables import RequestRow
from sqlalchemy import func, select

from tests.factories import binding
from tests.integration.controlplane.stage import ROOT, Stage, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from notafter.store.jobs import Claim

SERVERS = 6
CONTENDERS = 3


def contend(stage: Stage) -> list[subprocess.Popen[str]]:
    """Starts schedulers and workers in processes of their own, and lets them all go at once."""
    sign = stage.folder / "go"
    words = [stage.url, str(stage.data / "kek"), str(sign)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.controlplane.contender", *words],
            cwd=ROOT,
            env={**stage.environment(), "PYTHONPATH": f"{ROOT}:{ROOT / 'controlplane'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _contender in range(CONTENDERS)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    sign.touch()
    return started


def test_k3_several_schedulers_and_workers_at_one_database_begin_each_renewal_once(stage: Stage) -> None:
    for number in range(SERVERS):
        pem = stage.ca.issue(f"shop{number}.example").certificate
        stage.found(f"web{number}", (pem, binding(pem)))
    keys = stage.adopt_all()
    with stage.database.write() as session:
        for key in keys:
            row = certificates.by_key(session, key)
            row.renew_at = row.first_renewal_at = stage.clock() - timedelta(hours=1)
    told = [process.communicate(timeout=120) for process in contend(stage)]
    assert [said for _lines, said in told] == [""] * CONTENDERS, "nobody finds the database locked"
    taken = [json.loads(line) for lines, _said in told for line in lines.splitlines()]
    assert max(Counter(job for job, _attempts in taken).values()) == 1, "no job is carried through twice"
    attempts = sorted(attempt for _job, found in taken for attempt in found)
    assert attempts == sorted({f"req-{number + 1}" for number in range(SERVERS)})
    with stage.database.read() as session:
        assert session.scalar(select(func.count()).select_from(RequestRow)) == SERVERS


@contextmanager
def held_at(stage: Stage, point: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real process, which waits at a failpoint until the file `held` is taken away."""
    extra = {"NOTAFTER_FAILPOINT": f"{point}:hold={stage.folder / 'held'}"}
    with (stage.folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "notafter", "serve"],
            env={**stage.environment(), **extra},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        (stage.folder / "held").unlink(missing_ok=True)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_k7_a_worker_that_stood_still_beyond_its_lease_is_fenced_when_it_goes_on(stage: Stage) -> None:
    stage.one_certificate()
    with stage.database.write() as session:
        job = request.renew(session, [1], "test", stage.clock()).id
    with held_at(stage, "work.planned") as process:
        wait_for((stage.folder / "held").exists, 60)
        os.kill(process.pid, signal.SIGSTOP)
        now, later = stage.clock(), stage.clock() + timedelta(hours=3)
        assert recovery.recover(stage.database, stage.workshop, frozenset(), now, Watch()) == [], "it lives"
        assert recovery.recover(stage.database, stage.workshop, frozenset(), later, Watch()) == [job]
        (second,) = due.tick(stage.database, later, Limits())
        claim = stage.claim()
        assert claim.job_id == second
        signing.prepare(stage.desk, claim, later)
        (stage.folder / "held").unlink()
        os.kill(process.pid, signal.SIGCONT)
        log = stage.folder / "serve.log"
        wait_for(lambda: "job lost" in log.read_text("utf-8"), 90)
        with stage.database.read() as session:
            first = jobs.get(session, job)
            assert first.state is JobState.LOST
            assert {item.state for item in items.of_job(session, job)} == {ItemState.LOST}
            assert jobs.get(session, second).state is JobState.RUNNING, "nobody took it from the other"
            assert certificates.get(session, 1).failures == 0
            assert session.scalar(select(func.count()).select_from(RequestRow)) == 1, "one attempt for both"
        finish(stage.database, claim, RunEnd(RunState.COMPLETED), later)


def elsewhere(stage: Stage) -> tuple[Claim, str]:
    """A job that a process on another machine holds, and the name of that process."""
    stage.one_certificate()
    with stage.database.write() as session:
        request.renew(session, [1], "test", stage.clock())
    claim, other = stage.claim(), f"other-{processes.identity()}"
    with stage.database.write() as session:
        jobs.get(session, claim.job_id).worker = other
    return claim, other


def looked_at(stage: Stage, watch: Watch, begins: datetime, ends: datetime) -> list[int]:
    """What is lost when this machine looks every 20 seconds."""
    lost = []
    while begins < ends:
        lost += recovery.recover(stage.database, stage.workshop, frozenset(), begins, watch)
        begins += recovery.BEAT
    return lost


def test_a_job_of_another_machine_is_its_own_as_long_as_it_says_so(stage: Stage) -> None:
    claim, other = elsewhere(stage)
    now, watch = stage.clock(), Watch()
    later = now + recovery.LEASE - timedelta(seconds=5)
    assert looked_at(stage, watch, now, later) == []
    with stage.database.write() as session:
        jobs.beat(session, other, later)
    recovery.beat(stage.database, later)
    again = later + recovery.LEASE - timedelta(seconds=5)
    assert looked_at(stage, watch, later, again) == [], "it has beaten"
    assert looked_at(stage, watch, again, again + timedelta(minutes=1)) == [claim.job_id]
    with pytest.raises(ClaimLost), stage.database.write() as session:
        jobs.holding(session, claim)


def test_when_nobody_could_beat_nobody_is_lost(stage: Stage) -> None:
    """The database was away for longer than a lease; clocks that do not agree matter no more."""
    elsewhere(stage)
    watch, now = Watch(), stage.clock()
    assert looked_at(stage, watch, now, now + timedelta(minutes=1)) == []
    after = now + timedelta(minutes=10)
    assert looked_at(stage, watch, after, after + timedelta(minutes=1)) == []


def test_a_process_says_that_it_holds_its_jobs(stage: Stage) -> None:
    stage.one_certificate()
    with stage.database.write() as session:
        request.renew(session, [1], "test", stage.clock())
    claim = stage.claim()
    later = stage.clock() + timedelta(minutes=1)
    recovery.beat(stage.database, later)
    with stage.database.read() as session:
        assert jobs.get(session, claim.job_id).beat_at == later


def test_what_is_known_of_a_process_from_here() -> None:
    boot, name_space, number, started = processes.identity().split("/")
    for name, life in (
        ((boot, name_space, number, started), Life.RUNS),
        ((boot, name_space, number, "1"), Life.ENDED),
        ((boot, name_space, "4194303", started), Life.ENDED),
        (("another-boot", name_space, number, started), Life.ELSEWHERE),
        ((boot, "pid:[1]", number, started), Life.ELSEWHERE),
        (("nonsense",), Life.ELSEWHERE),
    ):
        assert processes.life("/".join(name)) is life, name
