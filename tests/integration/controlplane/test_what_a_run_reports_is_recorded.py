"""What a run reports decides what is tried again, when, and under which name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from notafter.domain.deployment import DeployState
from notafter.domain.errors import ClaimLost
from notafter.domain.job import ItemState, JobKind, Subject
from notafter.domain.outcome import ACCOUNT_LOST, Deployed, DeployResult, FailureClass, Issued, IssueFailed
from notafter.lifecycle import due, handout
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record import record
from notafter.runner import results
from notafter.store import accounts, certificates, items, jobs, requests

if TYPE_CHECKING:
    from notafter.store.jobs import Claim

    from tests.integration.controlplane.stage import Stage


def states(stage: Stage, claim: Claim) -> list[tuple[Subject, ItemState, str | None]]:
    """How the items of a job stand."""
    with stage.database.read() as session:
        return [(item.subject, item.state, item.reason) for item in items.of_job(session, claim.job_id)]


def test_c1_a_retry_after_is_obeyed_and_is_no_failure_and_the_attempt_keeps_its_name(stage: Stage) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    stage.report(claim, IssueFailed(key, FailureClass.RATE_LIMITED, "too many", retry_after=7200))
    assert states(stage, claim) == [
        (Subject.CERTIFICATE, ItemState.DEFERRED, "rate_limited"),
        (Subject.DEPLOYMENT, ItemState.SKIPPED, "issue_failed"),
    ]
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert (row.failures, row.last_problem) == (0, "too many"), "to be sent away is no attempt"
        assert row.next_attempt_at is not None
        assert 7100 < (row.next_attempt_at - stage.clock()).total_seconds() <= 7200 + 600
        assert row.deployments[0].failures == 0, "nothing is wrong with the host"
        before = requests.open_of(session, row.id)
    assert due.tick(stage.database, stage.clock(), Limits()) == [], "it is waited for"
    stage.renewing()
    with stage.database.read() as session:
        after = requests.open_of(session, 1)
        assert before is not None
        assert after is not None
        assert (after.id, after.csr_pem) == (before.id, before.csr_pem)


def test_a_spoilt_attempt_is_given_up_and_the_next_one_has_a_new_key(stage: Stage) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    with stage.database.read() as session:
        before = requests.open_of(session, 1)
    stage.report(claim, IssueFailed(key, FailureClass.WRONG_CERTIFICATE, "another key"))
    stage.renewing()
    with stage.database.read() as session:
        after = requests.open_of(session, 1)
        assert before is not None
        assert after is not None
        assert after.id != before.id
        assert after.csr_pem != before.csr_pem
        old = requests.by_key(session, f"req-{before.id}")
        assert old is not None
        assert old.sealed_key is None, "its key is gone"


@pytest.mark.parametrize("problem", [ACCOUNT_LOST, "urn:ietf:params:acme:error:unauthorized"])
def test_c7_an_account_that_its_ca_has_lost_is_registered_again_by_the_next_try(
    stage: Stage, problem: str
) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    with stage.database.write() as session:
        accounts.by_name(session, "main").url = "https://ca.invalid/account/1"
    failure = {"class": "account", "message": "who?", "type": problem}
    stage.report(claim, results.signed(key, {"failed": True, "failure": failure}))
    claim = stage.renewing()
    with stage.database.read() as session:
        given = handout.credentials(session, stage.custodian, jobs.get(session, claim.job_id), key)
    assert (given.account_url is None) == (problem == ACCOUNT_LOST)
    assert "PRIVATE KEY" in given.private_key, "the key stays"


def test_a_certificate_for_another_key_is_not_taken(stage: Stage) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    other = stage.ca.issue("shop.example")
    stage.report(claim, Issued(key, "req-1", other.certificate, other.chain))
    assert states(stage, claim)[0] == (Subject.CERTIFICATE, ItemState.FAILED, "wrong_certificate")
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert row.current is not None
        assert row.current.fingerprint != other.fingerprint


def test_a_host_speaks_for_its_own_places_alone(stage: Stage) -> None:
    stage.one_certificate("web1", "web2")
    claim = stage.renewing()
    stage.report(claim, Deployed("web2", (DeployResult("dep-1", DeployState.DEPLOYED, "", "", "ab" * 32),)))
    with stage.database.read() as session:
        first, second = certificates.get(session, 1).deployments
        assert (first.server.name, first.live_fingerprint) == ("web1", None)
        assert second.live_fingerprint is None
        assert first.deployed_at is None


def test_what_comes_after_the_claim_was_lost_changes_nothing(stage: Stage) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    with stage.database.write() as session:
        jobs.holding(session, claim).fence += 1
    with pytest.raises(ClaimLost):
        record(stage.desk, claim, IssueFailed(key, FailureClass.INTERNAL, "late"), stage.clock())
    with stage.database.read() as session:
        assert certificates.by_key(session, key).failures == 0


def test_what_was_never_reached_says_so(stage: Stage) -> None:
    stage.one_certificate()
    claim = stage.renewing()
    stage.report(claim)
    assert states(stage, claim) == [
        (Subject.CERTIFICATE, ItemState.FAILED, "not_reached"),
        (Subject.DEPLOYMENT, ItemState.SKIPPED, "issue_failed"),
    ]
    with stage.database.read() as session:
        assert jobs.get(session, claim.job_id).kind is JobKind.RENEW
