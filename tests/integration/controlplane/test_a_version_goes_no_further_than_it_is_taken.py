"""Waves as a control plane keeps them: terms of a certificate, what is held back, what is due again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from notafter.domain.deployment import DeployState, why_deploy
from notafter.domain.job import ItemState, Subject
from notafter.domain.outcome import Deployed, DeployResult, Issued
from notafter.domain.rollout import WavePolicy
from notafter.domain.user import Right
from notafter.lifecycle import due, planning
from notafter.lifecycle.due import Limits
from notafter.store import certificates, deployments, items, requests, tokens

from tests.stateful.world import Authority

if TYPE_CHECKING:
    from datetime import datetime

    from notafter.store.database import Session
    from notafter.store.tables import DeploymentRow

    from tests.integration.controlplane.stage import Stage

TOKEN = "na_test-" + "7Qx" * 12
SERVERS = ("web1", "web2", "web3", "web4")


def issued(stage: Stage, names: list[str]) -> Issued:
    """What the CA makes of the open attempt."""
    with stage.database.read() as session:
        attempt = requests.open_of(session, 1)
        assert attempt is not None
    key = x509.load_pem_x509_csr(attempt.csr_pem.encode()).public_key()
    return Issued("crt-1", attempt.key, Authority().certify(names, key, stage.clock()), "")


def result(number: int, state: DeployState, fingerprint: str | None = None) -> Deployed:
    """What the server of a place tells of it."""
    told = DeployResult(f"dep-{number}", state, "", f"it is {state}", fingerprint)
    return Deployed(SERVERS[number - 1], (told,))


def stopped(stage: Stage, state: DeployState = DeployState.ROLLED_BACK) -> None:
    """A renewal that its first server does not take."""
    stage.one_certificate(*SERVERS)
    claim = stage.renewing()
    held = [result(number, DeployState.HELD_BACK) for number in (2, 3, 4)]
    stage.report(claim, issued(stage, ["shop.example"]), result(1, state), *held)


def said(stage: Stage, now: datetime) -> dict[str, str]:
    """What happens next at each place, in one word."""
    with stage.database.read() as session:
        return {
            place.server.name: str(why_deploy(deployments.facts(session, place), now).reason.code)
            for place in places(session)
        }


def places(session: Session) -> list[DeploymentRow]:
    """All places of the certificate."""
    return list(certificates.get(session, 1).deployments)


def serve_old(stage: Stage) -> None:
    """As found: the scans of these tests make no handshakes."""
    with stage.database.write() as session:
        for place in places(session):
            place.live_fingerprint = place.file_fingerprint


def test_what_is_held_back_is_no_failure_and_waits_for_the_one_that_failed(stage: Stage) -> None:
    stopped(stage)
    now = stage.clock()
    assert said(stage, now) == {"web1": "backing_off", **dict.fromkeys(SERVERS[1:], "held_back")}
    assert due.tick(stage.database, now, Limits()) == [], "no storm"
    with stage.database.read() as session:
        found = items.of_job(session, 5, Subject.DEPLOYMENT)
        assert [item.state for item in found] == [ItemState.FAILED, *[ItemState.SKIPPED] * 3]
        assert [place.failures for place in places(session)] == [1, 0, 0, 0]


def test_the_failed_one_is_tried_alone_and_the_others_follow_it(stage: Stage) -> None:
    stopped(stage)
    later = stage.clock() + timedelta(hours=1)
    assert len(due.tick(stage.database, later, Limits())) == 1
    claim = stage.claim()
    with stage.database.read() as session:
        assert [item.server.name for item in items.of_job(session, claim.job_id) if item.server] == ["web1"]
        wanted = certificates.get(session, 1).current
        assert wanted is not None
    stage.report(claim, result(1, DeployState.DEPLOYED, wanted.fingerprint))
    assert said(stage, later) == {"web1": "in_sync", **dict.fromkeys(SERVERS[1:], "behind")}
    (job,) = due.tick(stage.database, later, Limits())
    with stage.database.read() as session:
        assert [item.server.name for item in items.of_job(session, job) if item.server] == list(SERVERS[1:])


@pytest.mark.parametrize("state", [DeployState.BLOCKED_BY_HOST, DeployState.BUSY, DeployState.REFUSED])
def test_a_server_that_was_not_touched_holds_nobody_back(stage: Stage, state: DeployState) -> None:
    stopped(stage, state)
    assert said(stage, stage.clock()) == {"web1": "backing_off", **dict.fromkeys(SERVERS[1:], "behind")}


def test_another_policy_or_the_end_of_what_is_served_lets_them_go(stage: Stage) -> None:
    stopped(stage)
    serve_old(stage)
    now = stage.clock()
    assert set(said(stage, now + timedelta(days=27)).values()) == {"behind"}, (
        "30 days, of which the last fifth"
    )
    with stage.database.write() as session:
        certificates.get(session, 1).max_fail_percentage = 100
    assert list(said(stage, now).values()) == ["backing_off", *["behind"] * 3]


def test_a_certificates_places_are_one_job_however_many_they_are(stage: Stage) -> None:
    stopped(stage, DeployState.BUSY)
    (job,) = due.tick(stage.database, stage.clock() + timedelta(hours=1), Limits(deployments_per_job=1))
    with stage.database.read() as session:
        assert len(items.of_job(session, job)) == 4


def test_the_plan_says_how_far_at_a_time_and_what_cannot_wait(stage: Stage) -> None:
    stage.one_certificate(*SERVERS)
    claim = stage.renewing()
    with stage.database.write() as session:
        certificates.get(session, 1).waves = [2, "100%"]
        (now_plan,) = planning.plan(session, claim.job_id, stage.clock()).certificates
        (late_plan,) = planning.plan(session, claim.job_id, stage.clock() + timedelta(days=27)).certificates
    assert now_plan.rollout == WavePolicy((2, "100%"), 0)
    assert {place.urgent for place in now_plan.deployments} == {False}
    assert {place.urgent for place in late_plan.deployments} == {True}


def test_waves_are_terms_of_adoption_and_absurd_ones_are_refused(stage: Stage) -> None:
    stage.one_certificate("web1")
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    wish: dict[str, Any] = {
        "account": "main",
        "challenge": "dns-01",
        "credential": "main",
        "provider": "dns_x",
    }
    with stage.api() as url, httpx.Client(base_url=url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"

        def adopt(**more: Any) -> httpx.Response:
            return client.post("/api/v1/certificates/1/adopt", json={**wish, **more})

        found = adopt().json()
        assert (found["waves"], found["max_fail_percentage"]) == ([1, "10%", "100%"], 0)
        found = adopt(waves=[3, "50%"], max_fail_percentage=10).json()
        assert (found["waves"], found["max_fail_percentage"]) == ([3, "50%"], 10)
        wishes: list[dict[str, Any]] = [{"waves": []}, {"waves": [0]}, {"waves": ["200%"]}]
        for absurd in [*wishes, {"max_fail_percentage": 101}]:
            answer = adopt(**absurd)
            assert answer.status_code == 422, absurd
            assert next(iter(absurd)) in answer.text
