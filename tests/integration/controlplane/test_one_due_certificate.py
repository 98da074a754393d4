"""The main job, end to end, with everything real but the collection."""

from datetime import timedelta

from notafter.domain.job import ItemState, JobKind, JobState
from notafter.store import certificates, deployments, jobs, lines, servers
from notafter.store.database import Session
from notafter.store.tables import JobRow

from tests.factories import binding
from tests.integration.controlplane.stage import Stage, one_certificate


def last_job(session: Session) -> JobRow:
    return jobs.page(session, None, 1)[0]


def test_a_scan_finds_the_server_the_certificate_and_where_it_serves(stage: Stage) -> None:
    pem = stage.world.ca.certificate_for("shop.example", "www.shop.example")
    stage.world.serve_on("web1", (pem, binding(pem)))
    stage.scan()
    with stage.database.read() as session:
        (row,) = certificates.page(session, 0, 10)
        assert row.names == ["shop.example", "www.shop.example"]
        assert row.adopted_at is None
        (place,) = row.deployments
        assert (place.server.name, place.service, place.path) == ("web1", "nginx", "/etc/ssl/shop.pem")
        assert servers.by_name(session, "web1").last_seen_at is not None
        assert last_job(session).state is JobState.SUCCEEDED


def test_a_due_certificate_is_signed_deployed_and_recorded(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    with stage.api():
        assert len(stage.tick()) == 1
        assert stage.tick() == [], "a second tick makes nothing twice"
        assert stage.work() == 1
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        job = last_job(session)
        assert (job.kind, job.state) == (JobKind.RENEW, JobState.SUCCEEDED), job.message
        assert row.current is not None
        assert row.current.sealed_key is not None
        assert row.current.account_id == row.account_id
        (place,) = row.deployments
        assert place.live_fingerprint == row.current.fingerprint == stage.world.served(place.key)
        assert row.account is not None
        assert row.account.url == "https://ca.invalid/account/1"
        assert not deployments.facts(session, place).behind
        assert row.renew_at is not None
        assert row.renew_at > stage.clock() + timedelta(days=60)
        told = [line.text for line in lines.of_job(session, job.id, 0, 100)]
        assert any("TASK" in text for text in told)
    assert stage.world.orders() == ["req-1"]
    with stage.api():
        assert stage.tick() == []
    assert not any(stage.workshop.runtime.iterdir()), "no folder is left"


def test_a_version_is_renewed_again_when_its_own_time_comes(stage: Stage) -> None:
    key = one_certificate(stage)
    stage.make_due()
    with stage.api():
        stage.tick()
        stage.work()
        stage.offset = timedelta(days=80)
        assert len(stage.tick()) == 1
        stage.work()
    assert stage.world.orders() == ["req-1", "req-2"]
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert last_job(session).items[0].state is ItemState.SUCCEEDED
        assert row.current is not None
        assert row.current.replaced_by_id is None
