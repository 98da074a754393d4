"""What hosts and CAs do wrong is reported with their own reason, backed off, and never spreads."""

import json
import threading
from dataclasses import replace

from notafter.domain.job import ItemState, JobKind, Subject
from notafter.domain.version import Origin
from notafter.domain.x509 import read_leaf
from notafter.lifecycle import request
from notafter.store import certificates, deployments, items, jobs, servers, versions
from notafter.store.tables import ItemRow

from tests.factories import binding
from tests.integration.controlplane.stage import Stage, one_certificate, wait_for


def items_of_last_job(stage: Stage) -> dict[str, ItemRow]:
    with stage.database.read() as session:
        job = jobs.page(session, None, 1)[0]
        return {
            (item.server.name if item.server else item.certificate.key if item.certificate else ""): item
            for item in items.of_job(session, job.id)
        }


def renew(stage: Stage) -> None:
    stage.make_due()
    with stage.api():
        stage.tick()
        stage.work()


def test_one_bad_host_of_four_leaves_the_others_finished_and_is_never_reissued_for(
    wide_stage: Stage,
) -> None:
    stage = wide_stage
    key = one_certificate(stage, "web1", "web2", "web3", "web4")
    stage.world.behave(web2="unreachable", web3="rolled_back", web4="blocked_by_host")
    renew(stage)
    ended = items_of_last_job(stage)
    assert ended[key].state is ItemState.SUCCEEDED
    assert ended["web1"].state is ItemState.SUCCEEDED
    assert (ended["web2"].state, ended["web2"].reason) == (ItemState.FAILED, "unreachable")
    assert ended["web2"].message == "no route to host"
    assert (ended["web3"].state, ended["web3"].reason) == (ItemState.FAILED, "not_served")
    assert (ended["web4"].state, ended["web4"].reason) == (ItemState.FAILED, "blocked_by_host")
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert row.failures == 0, "the certificate itself is fine"
        assert [place.failures for place in row.deployments] == [0, 1, 1, 1]
        assert stage.tick() == [], "they are backed off"
        later = max(place.next_attempt_at for place in row.deployments if place.next_attempt_at)
    stage.world.behave()
    stage.offset = later - stage.clock()
    with stage.api():
        (job_id,) = stage.tick()
        stage.work()
    with stage.database.read() as session:
        assert jobs.get(session, job_id).kind is JobKind.DEPLOY
        row = certificates.by_key(session, key)
        assert row.current is not None
        assert {place.live_fingerprint for place in row.deployments} == {row.current.fingerprint}
    assert stage.world.orders() == ["req-1"], "nothing was issued again for a deploy failure"


def test_a_failed_order_backs_off_skips_its_deployments_and_keeps_its_attempt(stage: Stage) -> None:
    key = one_certificate(stage)
    failure = {"class": "rate_limited", "message": "too many", "retry_after": 7200}
    stage.world.behave(**{key.replace("-", "_"): "fail:" + json.dumps(failure)})
    renew(stage)
    ended = items_of_last_job(stage)
    assert (ended[key].state, ended[key].reason) == (ItemState.FAILED, "rate_limited")
    assert (ended["web1"].state, ended["web1"].reason) == (ItemState.SKIPPED, "issue_failed")
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert row.failures == 1
        assert row.last_problem == "too many"
        assert row.next_attempt_at is not None
        wait = (row.next_attempt_at - stage.clock()).total_seconds()
        assert 7100 < wait <= 7200, "Retry-After is obeyed"
        assert row.deployments[0].failures == 0
    stage.world.behave()
    renew(stage)
    assert stage.world.orders() == ["req-1"], "the retry asked under the same name"


def test_a_spoilt_attempt_is_given_up_and_the_next_one_has_a_new_key(stage: Stage) -> None:
    key = one_certificate(stage)
    failure = {"class": "wrong_certificate", "message": "another key"}
    stage.world.behave(**{key.replace("-", "_"): "fail:" + json.dumps(failure)})
    renew(stage)
    stage.world.behave()
    renew(stage)
    assert stage.world.orders() == ["req-2"]


def test_an_unreachable_issuer_fails_the_certificate_with_that_reason(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.world.behave(**{key.replace("-", "_"): "unreachable"})
    renew(stage)
    assert items_of_last_job(stage)[key].reason == "unreachable"


def test_an_unreachable_server_is_missed_and_looked_at_again_later(wide_stage: Stage) -> None:
    stage = wide_stage
    for host in ("web1", "web2", "web3", "web4"):
        stage.world.serve_on(host)
    stage.world.behave(web2="unreachable")
    stage.scan()
    ended = items_of_last_job(stage)
    assert ended["web1"].state is ItemState.SUCCEEDED
    assert (ended["web2"].state, ended["web2"].reason) == (ItemState.FAILED, "unreachable")
    with stage.database.read() as session:
        row = servers.by_name(session, "web2")
        assert row.last_missed_at is not None
        assert row.scan_wanted_at is not None
        assert row.scan_wanted_at > stage.clock()


def test_a_conflict_asks_for_a_new_scan_of_that_server(stage: Stage) -> None:
    one_certificate(stage)
    stage.world.behave(web1="conflict")
    renew(stage)
    stage.world.behave()
    (job_id,) = stage.tick()
    with stage.database.read() as session:
        job = jobs.get(session, job_id)
        assert job.kind is JobKind.SCAN
        assert [item.subject for item in job.items] == [Subject.SERVER]


def test_a_result_too_large_for_ansible_runner_is_a_failure_with_a_reason(stage: Stage) -> None:
    pem = stage.world.ca.certificate_for("shop.example")
    huge = binding(pem, names=tuple(f"{'x' * 60}{n}.example" for n in range(12_000)))
    stage.world.serve_on("web1", (pem, huge))
    stage.scan()
    item = items_of_last_job(stage)["web1"]
    assert (item.state, item.reason) == (ItemState.FAILED, "result_unreadable")
    assert item.message is not None
    assert "too large" in item.message


def test_a_playbook_that_breaks_fails_every_item_with_ansibles_own_words(stage: Stage) -> None:
    stage.world.serve_on("web1")
    (stage.project / "playbooks" / "scan.yml").write_text("- hosts: servers\n  tasks: 17\n")
    stage.scan()
    item = items_of_last_job(stage)["web1"]
    assert (item.state, item.reason) == (ItemState.FAILED, "run_failed")
    assert item.message is not None
    assert "tasks" in item.message


def test_a_playbook_that_matches_no_host_is_not_a_success(stage: Stage) -> None:
    stage.world.serve_on("web1")
    (stage.project / "playbooks" / "scan.yml").write_text("- hosts: nobody\n  tasks: []\n")
    stage.scan()
    item = items_of_last_job(stage)["web1"]
    assert (item.state, item.reason) == (ItemState.FAILED, "no_hosts")


def test_a_missing_playbook_is_named(stage: Stage) -> None:
    (stage.project / "playbooks" / "scan.yml").unlink()
    stage.scan()
    item = items_of_last_job(stage)["web1"]
    assert item.message is not None
    assert "scan.yml" in item.message
    assert "NOTAFTER_PROJECT" in item.message


def test_a_run_that_takes_too_long_is_stopped_and_says_so(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.workshop = replace(stage.workshop, timeout=3)
    stage.world.behave(web1="sleep30")
    renew(stage)
    ended = items_of_last_job(stage)
    assert ended[key].state is ItemState.SUCCEEDED
    assert (ended["web1"].state, ended["web1"].reason) == (ItemState.FAILED, "timed_out")


def test_a_version_that_comes_while_an_older_one_is_deployed_is_not_taken_for_deployed(
    stage: Stage,
) -> None:
    key = one_certificate(stage)
    renew(stage)
    with stage.database.write() as session:
        place = certificates.by_key(session, key).deployments[0]
        place.live_fingerprint = place.file_fingerprint = "00" * 32
    (job_id,) = stage.tick()
    stage.world.behave(web1="sleep2")
    pem = stage.world.ca.certificate_for("shop.example", not_before=stage.clock())
    with stage.api():
        thread = threading.Thread(target=stage.work)
        thread.start()
        wait_for(lambda: deployment_of(stage, job_id).wanted_fingerprint)
        with stage.database.write() as session:
            row = certificates.by_key(session, key)
            newer = versions.add(session, row.id, read_leaf(pem), "", Origin.ISSUED, stage.clock())
            newer.sealed_key = "sealed"
            row.current_version_id = newer.id
        thread.join()
    assert deployment_of(stage, job_id).state is ItemState.SUCCEEDED
    with stage.database.read() as session:
        place = certificates.by_key(session, key).deployments[0]
        assert deployments.facts(session, place).behind


def deployment_of(stage: Stage, job_id: int) -> ItemRow:
    with stage.database.read() as session:
        return items.of_job(session, job_id, Subject.DEPLOYMENT)[0]


def test_verify_tells_what_is_really_served(stage: Stage) -> None:
    key = one_certificate(stage)
    renew(stage)
    (stage.world.folder / "served-dep-1").write_text("00" * 32)
    with stage.database.write() as session:
        request.verify(session, [certificates.by_key(session, key).id], "test", stage.clock())
    stage.work()
    item = items_of_last_job(stage)["web1"]
    assert (item.state, item.reason) == (ItemState.FAILED, "not_served")
    with stage.api():
        (job_id,) = stage.tick()
    with stage.database.read() as session:
        assert jobs.get(session, job_id).kind is JobKind.DEPLOY
