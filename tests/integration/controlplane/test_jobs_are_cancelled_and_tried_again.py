"""A person ends a job before its time, or has tried again what one has not brought about."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.domain.deployment import DeployState
from notafter.domain.outcome import FailureClass, HostFailed, IssueFailed
from notafter.domain.revocation import RevocationReason
from notafter.domain.run import RunEnd, RunState
from notafter.domain.user import Right
from notafter.lifecycle import due, request
from notafter.lifecycle.cancel import Leash
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record import record
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.request import RevocationWish
from notafter.runner import results
from notafter.store import certificates, jobs, lines, revocations, tokens, versions
from sqlalchemy import text

from tests.factories import scan_result
from tests.integration.controlplane.stage import Stage, wait_for
from tests.integration.controlplane.test_a_version_goes_no_further_than_it_is_taken import (
    issued,
    result,
    stopped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "na_test-" + "7Qx" * 12
#: A playbook whose only task goes on until it is ended.
ENDLESS = """
- hosts: servers
  gather_facts: false
  connection: local
  tasks:
    - name: Wait
      ansible.builtin.command: sleep 600
"""


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as made:
        yield made


def cancel(client: httpx.Client, job: int, status: int = 202) -> Any:
    answer = client.post(f"/api/v1/jobs/{job}/cancel", json={"reason": "the wrong hour"})
    assert answer.status_code == status, answer.text
    return answer.json()


def retry(client: httpx.Client, job: int, status: int = 202) -> Any:
    answer = client.post(f"/api/v1/jobs/{job}/retry")
    assert answer.status_code == status, answer.text
    return answer.json()


def items(client: httpx.Client, job: int) -> list[tuple[str, str, str | None]]:
    details = client.get(f"/api/v1/jobs/{job}").json()["details"]
    return [(one["subject"], one["state"], one["reason"]) for one in details]


def due_now(stage: Stage) -> list[int]:
    return due.tick(stage.database, stage.clock(), Limits())


# -- cancelling


def test_a_job_that_waits_is_cancelled_at_once_and_twice_is_the_same_as_once(
    client: httpx.Client, stage: Stage
) -> None:
    stage.one_certificate()
    job = client.post("/api/v1/certificates/1/renew").json()["id"]
    first = cancel(client, job)
    assert (first["state"], first["message"]) == ("cancelled", "token:test wanted it: the wrong hour")
    assert first["cancel_wanted_by"] == "token:test"
    assert cancel(client, job) == first
    assert items(client, job) == [
        ("certificate", "cancelled", "cancelled"),
        ("deployment", "cancelled", "cancelled"),
    ]
    with stage.database.write() as session:
        assert jobs.claim(session, "worker", "run", stage.clock()) is None


def test_a_wish_that_was_cancelled_is_taken_back_and_what_policy_says_is_not(
    client: httpx.Client, stage: Stage
) -> None:
    stage.one_certificate()
    cancel(client, client.post("/api/v1/certificates/1/renew").json()["id"])
    assert client.get("/api/v1/certificates/1").json()["next_step"]["code"] == "not_yet"
    assert due_now(stage) == [], "it does not come back by itself"
    with stage.database.write() as session:
        row = certificates.get(session, 1)
        row.renew_at = row.first_renewal_at = stage.clock()
    (job,) = due_now(stage)
    cancel(client, job)
    assert len(due_now(stage)) == 1, "its time has come, whoever does not like it"


def test_a_revocation_that_nobody_has_begun_is_forgotten(client: httpx.Client, stage: Stage) -> None:
    stage.one_certificate()
    with stage.database.write() as session:
        (version,) = versions.of_certificate(session, 1)
        wish = RevocationWish(
            1, version.fingerprint, RevocationReason.SUPERSEDED, force_because="a mistake of mine"
        )
        request.revoke(session, wish, "ops", stage.clock())
    (job,) = client.get("/api/v1/jobs?kind=revoke").json()["items"]
    cancel(client, job["id"])
    assert due_now(stage) == []
    with stage.database.read() as session:
        (version,) = versions.of_certificate(session, 1)
        assert (version.revoked_at, revocations.of_version(session, version.id)) == (None, None)


def test_a_job_that_has_ended_is_not_cancelled(client: httpx.Client, stage: Stage) -> None:
    stage.found("web1")
    assert "job 1 has ended, it is succeeded" in cancel(client, 1, 409)["detail"]
    assert client.post("/api/v1/jobs/99/cancel", json={"reason": "x"}).status_code == 404
    for body in ({}, {"reason": ""}, {"reason": "x", "y": 1}):
        assert client.post("/api/v1/jobs/1/cancel", json=body).status_code == 422


def test_what_was_done_before_the_end_of_a_cancelled_run_counts_and_the_rest_is_due_again(
    client: httpx.Client, stage: Stage
) -> None:
    stage.one_certificate("web1", "web2")
    claim = stage.renewing()
    record(stage.desk, claim, issued(stage, ["shop.example"]), stage.clock())
    asked = cancel(client, claim.job_id)
    assert (asked["state"], asked["cancel_reason"]) == ("running", "the wrong hour")
    assert cancel(client, claim.job_id) == asked
    finish(stage.database, claim, RunEnd(RunState.BROKEN, "killed"), stage.clock())
    told = client.get(f"/api/v1/jobs/{claim.job_id}").json()
    assert (told["state"], told["message"]) == ("cancelled", "token:test wanted it: the wrong hour")
    assert items(client, claim.job_id) == [
        ("certificate", "succeeded", "issued"),
        ("deployment", "cancelled", "cancelled"),
        ("deployment", "cancelled", "cancelled"),
    ]
    assert "the wrong hour" in told["details"][1]["message"]
    places = client.get("/api/v1/certificates/1").json()["places"]
    assert [place["failures"] for place in places] == [0, 0], "it is no failure of theirs"
    assert len(due_now(stage)) == 1, "the new version is to be deployed"


def test_a_run_that_was_over_before_it_could_be_stopped_ended_as_it_did(
    client: httpx.Client, stage: Stage
) -> None:
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    claim = stage.claim()
    cancel(client, claim.job_id)
    stage.report(claim, results.scanned("web1", scan_result()))
    assert client.get(f"/api/v1/jobs/{claim.job_id}").json()["state"] == "succeeded"


def test_whatever_is_wrong_with_the_database_a_run_goes_on_until_its_process_stops(stage: Stage) -> None:
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    stop = threading.Event()
    leash = Leash(stage.database, stage.claim(), stop, every=0)
    assert not leash.is_pulled()
    with stage.database.write() as session:
        session.execute(text("ALTER TABLE job RENAME TO gone"))
    assert not leash.is_pulled()
    stop.set()
    assert leash.is_pulled()


def test_a_run_of_another_process_is_ended_and_nothing_of_it_stays(stage: Stage) -> None:
    (stage.folder / "project" / "playbooks").mkdir(parents=True)
    for name in ("scan", "renew"):
        (stage.folder / "project" / "playbooks" / f"{name}.yml").write_text(ENDLESS)
    stage.project = stage.folder / "project"
    with stage.serve():
        with stage.database.write() as session:
            job = request.scan(session, ["web1"], "test", stage.clock()).id
        wait_for(lambda: "TASK Wait" in log_of(stage, job))
        done = stage.command("cancel", str(job), "--reason", "it takes too long")
        assert (done.returncode, done.stdout) == (0, f"job {job} is asked to end\n")
        state = wait_for(lambda: ended(stage, job), 60)
        assert state == ("cancelled", "command line wanted it: it takes too long")
        assert stage.command("cancel", str(job)).stdout == f"job {job} is cancelled\n"
        wait_for(lambda: list(stage.workshop.runtime.iterdir()) == [])


def log_of(stage: Stage, job: int) -> str:
    with stage.database.read() as session:
        return "".join(row.text for row in lines.of_job(session, job, 0, 100))


def ended(stage: Stage, job: int) -> tuple[str, str | None] | None:
    with stage.database.read() as session:
        row = jobs.get(session, job)
        return (row.state.value, row.message) if row.finished_at else None


# -- trying again


def test_what_failed_is_tried_again_and_what_succeeded_is_not(client: httpx.Client, stage: Stage) -> None:
    with stage.database.write() as session:
        request.scan(session, ["web1", "web2"], "test", stage.clock())
    claim = stage.claim()
    failed = HostFailed("web2", "unreachable", "no route")
    stage.report(claim, results.scanned("web1", scan_result()), failed)
    made = retry(client, claim.job_id)
    (job,) = made["jobs"]
    assert (job["kind"], job["state"], job["items"], made["omitted"]) == ("scan", "queued", 1, [])
    assert job["reason"] == f"retry of job {claim.job_id} asked by token:test"
    (item,) = client.get(f"/api/v1/jobs/{job['id']}").json()["details"]
    assert (item["server"], item["due_reason"]) == ("web2", job["reason"])
    told = retry(client, claim.job_id, 409)["detail"]
    assert told == f"nothing of job {claim.job_id} can be tried again: web2: job {job['id']} is at it"


def test_a_job_without_a_failure_or_that_is_open_is_not_tried_again(
    client: httpx.Client, stage: Stage
) -> None:
    stage.found("web1")
    assert "nothing of job 1 has failed" in retry(client, 1, 409)["detail"]
    stage.one_certificate("web9")
    job = client.post("/api/v1/certificates/1/renew").json()["id"]
    assert f"job {job} is queued: wait for its end" in retry(client, job, 409)["detail"]
    retry(client, 99, 404)


def test_a_renewal_that_failed_is_tried_again_at_once_with_its_places(
    client: httpx.Client, stage: Stage
) -> None:
    stage.one_certificate()
    claim = stage.renewing()
    stage.report(claim, IssueFailed("crt-1", FailureClass.CHALLENGE_FAILED, "no record"))
    assert client.get("/api/v1/certificates/1").json()["next_step"]["code"] == "backing_off"
    (job,) = retry(client, claim.job_id)["jobs"]
    assert (job["kind"], job["items"]) == ("renew", 2)
    again = stage.claim()
    assert again.job_id == job["id"]
    stage.report(again, issued(stage, ["shop.example"]), result(1, DeployState.DEPLOYED, "ab" * 32))
    told = retry(client, claim.job_id, 409)["detail"]
    assert "crt-1: it has another version since" in told, "nothing is renewed twice"


def test_what_was_issued_and_not_deployed_is_deployed_and_not_issued_again(
    client: httpx.Client, stage: Stage
) -> None:
    stopped(stage)
    made = retry(client, 5)
    (job,) = made["jobs"]
    assert (job["kind"], job["items"]) == ("deploy", 1), "the first server alone"
    assert [one["what"] for one in made["omitted"]] == ["dep-2", "dep-3", "dep-4"]
    assert all("waits for web1" in one["why"] for one in made["omitted"])
    assert client.get("/api/v1/certificates/1").json()["failures"] == 0


def test_some_of_it_may_be_in_the_hands_of_another_job(client: httpx.Client, stage: Stage) -> None:
    with stage.database.write() as session:
        request.scan(session, ["web1", "web2"], "test", stage.clock())
    claim = stage.claim()
    failed = [HostFailed(name, "unreachable", "no route") for name in ("web1", "web2")]
    stage.report(claim, *failed)
    other = client.post("/api/v1/scan", json={"servers": ["web1"]}).json()["id"]
    made = retry(client, claim.job_id)
    assert made["omitted"] == [{"what": "web1", "why": f"job {other} is at it"}]
    assert made["jobs"][0]["items"] == 1


def test_a_run_that_somebody_else_started_is_not_tried_again_here(client: httpx.Client, stage: Stage) -> None:
    stage.found("web1")
    told = client.post("/api/v1/runs", json={"run": "a" * 32, "outcomes": []}).json()
    assert "somebody else started" in retry(client, told["job"], 409)["detail"]


def test_a_scan_of_the_whole_fleet_that_never_began_is_tried_again_as_one(
    client: httpx.Client, stage: Stage
) -> None:
    job = client.post("/api/v1/scan").json()["id"]
    cancel(client, job)
    (again,) = retry(client, job)["jobs"]
    assert (again["kind"], again["items"]) == ("scan", 0)
    assert f"job {again['id']} is scanning the whole fleet" in retry(client, job, 409)["detail"]
    done = stage.command("retry", str(job))
    assert (done.returncode, "is scanning the whole fleet" in done.stderr) == (1, True)


def test_the_command_line_tries_again_too(client: httpx.Client, stage: Stage) -> None:
    stopped(stage)
    done = stage.command("retry", "5")
    assert done.stdout.splitlines()[0] == "tried again by job 6"
    assert done.stdout.splitlines()[1].startswith("not tried again: dep-2: waits for web1")
    assert client.get("/api/v1/jobs/6").json()["requested_by"] == "command line"


# -- finding


def test_jobs_are_found_by_state_kind_who_server_and_certificate(client: httpx.Client, stage: Stage) -> None:
    stage.one_certificate("web1", "web2")
    renewal = client.post("/api/v1/certificates/1/renew").json()["id"]

    def found(**wanted: Any) -> list[int]:
        answer = client.get("/api/v1/jobs", params=wanted)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["items"]]

    assert found() == [renewal, 2, 1]
    assert found(state="queued") == [renewal]
    assert found(kind="scan") == [2, 1]
    assert found(requested_by="token:test") == [renewal]
    assert found(server="web1") == [renewal, 1]
    assert found(server="web1", kind="scan") == [1]
    assert found(certificate="crt-1") == [renewal]
    assert found(certificate="crt-9999999999") == []
    assert found(server="nobody") == []
    assert found(kind="scan", before=2) == [1]
    page = client.get("/api/v1/jobs", params={"kind": "scan", "limit": 1}).json()
    assert ([one["id"] for one in page["items"]], page["next"]) == ([2], 2)
    for wrong in ({"state": "x"}, {"kind": ""}, {"certificate": "1"}, {"server": ""}):
        assert client.get("/api/v1/jobs", params=wrong).status_code == 422
