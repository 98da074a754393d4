"""Each server is looked at again in its turn, the inventory for new ones; a whole fleet never at once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from notafter.domain.job import JobState, Subject
from notafter.domain.server import next_scan
from notafter.lifecycle import due, request
from notafter.lifecycle.due import Limits
from notafter.lifecycle.work import Worker
from notafter.store import items, jobs, servers

from tests.factories import DAY

if TYPE_CHECKING:
    from datetime import datetime

    from tests.integration.controlplane.stage import Stage

HOSTS = [f"web{number:02}" for number in range(48)]
LIMITS = Limits(scan_interval=DAY)


def scanned_of(stage: Stage, made: list[int]) -> list[str]:
    """The servers that these jobs look at."""
    with stage.database.read() as session:
        found = [item for job in made for item in items.of_job(session, job, Subject.SERVER)]
        return [item.server.name for item in found if item.server]


def fleet(stage: Stage, moment: datetime) -> None:
    """As if the whole fleet had been scanned at a moment, because a person wished it."""
    with stage.database.write() as session:
        job = request.scan(session, [], "test", moment)
        job.state, job.finished_at = JobState.SUCCEEDED, moment
        for row in servers.enrol(session, HOSTS, moment):
            row.last_scan_at = row.last_seen_at = moment


def test_within_a_day_each_server_is_looked_at_once_and_never_all_together(stage: Stage) -> None:
    start = stage.clock()
    fleet(stage, start)
    assert due.tick(stage.database, start + timedelta(hours=11), LIMITS) == [], (
        "half an interval is left alone"
    )
    looked: list[str] = []
    for quarter in range(48, 145):
        now = start + timedelta(minutes=15 * quarter)
        made = due.tick(stage.database, now, Limits(scan_interval=DAY))
        names = scanned_of(stage, made)
        assert len(names) <= 8
        looked += names
        with stage.database.write() as session:
            for number in made:
                job = jobs.get(session, number)
                job.state, job.finished_at = JobState.SUCCEEDED, now
            for name in names:
                servers.by_name(session, name).last_scan_at = now
            session.connection().exec_driver_sql("UPDATE item SET state = 'succeeded'")
    assert sorted(set(looked)) == HOSTS
    assert len(looked) < 1.2 * len(HOSTS)


def test_a_server_that_cannot_be_looked_at_is_asked_again_as_its_failures_allow(stage: Stage) -> None:
    start = stage.clock()
    fleet(stage, start)
    later = max(next_scan(name, start, DAY) for name in HOSTS) + timedelta(seconds=1)
    with stage.database.write() as session:
        for name in HOSTS[1:]:
            servers.by_name(session, name).last_scan_at = later
        servers.by_name(session, HOSTS[0]).scan_wanted_at = later + timedelta(hours=1)
    limits = Limits(scan_interval=2 * DAY)
    assert due.tick(stage.database, later, limits) == []
    assert scanned_of(stage, due.tick(stage.database, later + timedelta(hours=1), limits)) == [HOSTS[0]]


def test_without_an_interval_nothing_is_looked_at_by_itself(stage: Stage) -> None:
    start = stage.clock()
    fleet(stage, start)
    assert due.tick(stage.database, start + 30 * DAY, Limits()) == []


def test_a_new_server_of_the_inventory_is_found_and_one_that_left_is_not_asked(stage: Stage) -> None:
    start = stage.clock() - 2 * DAY
    fleet(stage, start)
    stage.inventory.write_text(json.dumps({"servers": {"hosts": {"new": {}, HOSTS[0]: {}}}}))
    made = due.tick(stage.database, stage.clock(), LIMITS)
    with stage.database.write() as session:
        (look,) = [job for job in (jobs.get(session, number) for number in made) if job.whole_fleet]
        for number in made:
            if number != look.id:
                jobs.get(session, number).state = JobState.SUCCEEDED
        session.connection().exec_driver_sql("UPDATE item SET state = 'succeeded'")
        number = look.id
    Worker(stage.desk, stage.workshop, stage.clock)._expand()
    assert scanned_of(stage, [number]) == ["new"]
    with stage.database.write() as session:
        assert servers.by_name(session, HOSTS[1]).left_at is not None
        assert servers.by_name(session, HOSTS[0]).left_at is None
        jobs.get(session, number).state = JobState.SUCCEEDED
        session.connection().exec_driver_sql("UPDATE item SET state = 'succeeded'")
        servers.by_name(session, "new").last_scan_at = stage.clock()
    later = stage.clock() + 3 * DAY
    names = scanned_of(stage, due.tick(stage.database, later, LIMITS))
    assert sorted(names) == ["new", HOSTS[0]]


def test_an_inventory_without_news_is_no_job_that_waits_for_ever(stage: Stage) -> None:
    with stage.database.write() as session:
        old = request.scan(session, [], "test", stage.clock() - 2 * DAY)
        old.state = JobState.SUCCEEDED
        (row,) = servers.enrol(session, ["web1"], stage.clock())
        row.last_scan_at = stage.clock()
    (number,) = due.tick(stage.database, stage.clock(), LIMITS)
    Worker(stage.desk, stage.workshop, stage.clock)._expand()
    with stage.database.read() as session:
        job = jobs.get(session, number)
        assert (job.state, len(job.items)) == (JobState.SUCCEEDED, 0)
        assert "no server that was not looked at" in (job.message or "")
