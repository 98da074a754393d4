"""A version is taken back: who may ask, what the job is told, what its end means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from notafter.domain.errors import Conflict, NotFound
from notafter.domain.job import ItemState, JobKind
from notafter.domain.outcome import FailureClass, IssueFailed
from notafter.domain.reason import ReasonCode
from notafter.domain.renewal import why_due
from notafter.domain.revocation import RevocationBy, RevocationReason
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import due, handout, planning, request
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.request import RevocationWish
from notafter.runner import results
from notafter.runner.plan import inventory
from notafter.store import certificates, deployments, items, jobs, requests, revocations, versions

from tests.factories import DAY

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage

BECAUSE = "the key was in a public repository"


def wish(
    stage: Stage, force_because: str | None = None, by: RevocationBy = RevocationBy.ACCOUNT
) -> RevocationWish:
    """The wish that the only version of the only certificate be revoked."""
    with stage.database.read() as session:
        (version,) = versions.of_certificate(session, 1)
        return RevocationWish(1, version.fingerprint, RevocationReason.KEY_COMPROMISE, by, force_because)


def ask(stage: Stage, asked: RevocationWish) -> None:
    with stage.database.write() as session:
        request.revoke(session, asked, "ops", stage.clock())


def revoked(asked: RevocationWish, *, already: bool = False) -> Any:
    """What the module reports."""
    told = {"fingerprint_sha256": asked.fingerprint, "already": already}
    return results.signed("crt-1", {"revoked": told, "seconds": 1.5})


def test_h1_a_version_that_serves_is_revoked_only_with_a_reason_for_it(stage: Stage) -> None:
    stage.one_certificate()
    with pytest.raises(Conflict, match=r"still serves at web1 nginx /etc/ssl/shop\.pem: renew and deploy"):
        ask(stage, wish(stage))
    with stage.database.read() as session:
        assert jobs.page(session, None, 1)[0].kind is JobKind.SCAN, "no job was made"
    ask(stage, wish(stage, BECAUSE))
    with stage.database.read() as session:
        (found,) = revocations.due(session, stage.clock())
        assert (found.forced_because, found.asked_by) == (BECAUSE, "ops")


def test_h6_a_fingerprint_of_another_certificate_confirms_nothing(stage: Stage) -> None:
    stage.one_certificate()
    asked = RevocationWish(1, "00" * 32, RevocationReason.SUPERSEDED)
    with pytest.raises(NotFound, match="crt-1 has no version 0000"):
        ask(stage, asked)


def test_the_job_is_told_which_certificate_why_and_by_whom_and_no_secret(stage: Stage) -> None:
    stage.one_certificate()
    asked = wish(stage, BECAUSE)
    ask(stage, asked)
    claim = stage.claim()
    with stage.database.write() as session:
        plan = planning.plan(session, claim.job_id, stage.clock())
        pem = versions.of_certificate(session, 1)[0].pem
    assert plan.kind is JobKind.REVOKE
    hosts = json.loads(inventory(plan, Path("/run/job")).replace("__ansible_unsafe", "_"))["certificates"][
        "hosts"
    ]
    assert hosts["crt-1"]["certificate_revocation"] == {
        "pem": {"_": pem},
        "reason": {"_": "keyCompromise"},
        "by": {"_": "account"},
    }
    assert hosts["crt-1"]["certificate_ca"]["directory"] == {"_": "https://ca.invalid/dir"}
    assert "certificate_csr" not in hosts["crt-1"]
    assert "certificate_fingerprint" not in hosts["crt-1"], "nothing is deployed"


def test_the_current_version_that_was_revoked_is_renewed_at_once_and_brought_nowhere(stage: Stage) -> None:
    key = stage.one_certificate()
    asked = wish(stage, BECAUSE)
    ask(stage, asked)
    claim = stage.claim()
    assert due.tick(stage.database, stage.clock(), Limits()) == [], "one thing at a time"
    stage.report(claim, revoked(asked))
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert row.current is not None
        assert row.current.revoked_at is not None
        decision = why_due(certificates.facts(session, row), stage.clock())
        assert decision.reason.code == ReasonCode.REVOKED
        assert revocations.due(session, stage.clock() + 9 * DAY) == []
        assert deployments.behind(session, stage.clock()) == []
    (made,) = due.tick(stage.database, stage.clock(), Limits())
    with stage.database.read() as session:
        assert jobs.get(session, made).kind is JobKind.RENEW


def test_what_was_revoked_before_is_success(stage: Stage) -> None:
    stage.one_certificate()
    asked = wish(stage, BECAUSE)
    ask(stage, asked)
    claim = stage.claim()
    stage.report(claim, revoked(asked, already=True))
    with stage.database.read() as session:
        (item,) = items.of_job(session, claim.job_id)
        assert (item.state, item.message) == (ItemState.SUCCEEDED, "revoked before: keyCompromise")


def test_a_host_cannot_say_of_another_version_that_it_was_revoked(stage: Stage) -> None:
    stage.one_certificate()
    ask(stage, wish(stage, BECAUSE))
    claim = stage.claim()
    stage.report(claim, revoked(RevocationWish(1, "00" * 32, RevocationReason.SUPERSEDED)))
    with stage.database.read() as session:
        (item,) = items.of_job(session, claim.job_id)
        assert item.state is ItemState.FAILED
        assert versions.of_certificate(session, 1)[0].revoked_at is None


@pytest.mark.parametrize("broken", [True, False])
def test_a_wish_that_failed_is_tried_again_and_counts_nothing_against_the_certificate(
    stage: Stage, *, broken: bool
) -> None:
    key = stage.one_certificate()
    ask(stage, wish(stage, BECAUSE))
    claim = stage.claim()
    if broken:
        finish(stage.database, claim, RunEnd(RunState.BROKEN, "no Ansible"), stage.clock())
    else:
        stage.report(claim, IssueFailed(key, FailureClass.CA_UNAVAILABLE, "no answer"))
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert (row.failures, row.last_problem) == (0, None)
        assert revocations.due(session, stage.clock()) == []
    (made,) = due.tick(stage.database, stage.clock() + DAY, Limits())
    with stage.database.read() as session:
        assert jobs.get(session, made).kind is JobKind.REVOKE
        (item,) = items.of_job(session, made)
        assert item.attempt == 2


def test_asking_twice_is_one_wish(stage: Stage) -> None:
    stage.one_certificate()
    for _ in range(2):
        ask(stage, wish(stage, BECAUSE))
    stage.claim()
    with stage.database.read() as session:
        assert not jobs.ready(session)


def issued(stage: Stage) -> str:
    """A version whose key is in custody; its fingerprint."""
    stage.one_certificate()
    claim = stage.renewing()
    with stage.database.read() as session:
        attempt = requests.open_of(session, 1)
        assert attempt is not None
        answer = {"attempt": attempt.key, "certificate": stage.ca.answer(attempt.csr_pem)}
    stage.report(claim, results.signed("crt-1", answer))
    with stage.database.read() as session:
        current = certificates.get(session, 1).current
        assert current is not None
        return current.fingerprint


def test_a_wish_that_the_account_cannot_fulfil_is_asked_again_by_the_key_at_once(stage: Stage) -> None:
    asked = RevocationWish(1, issued(stage), RevocationReason.KEY_COMPROMISE, RevocationBy.ACCOUNT, BECAUSE)
    ask(stage, asked)
    claim = stage.claim()
    with pytest.raises(Conflict, match=r"a job is revoking .* \(keyCompromise, by account\): ask again"):
        ask(stage, replace(asked, by=RevocationBy.KEY))
    stage.report(claim, IssueFailed("crt-1", FailureClass.ACCOUNT, "it is not the account's"))
    ask(stage, replace(asked, by=RevocationBy.KEY, force_because=None))
    with stage.database.write() as session:
        (one,) = planning.plan(session, stage.claim().job_id, stage.clock()).certificates
        assert one.revocation is not None
        assert (one.revocation.by, one.revocation.pem) == (
            "key",
            versions.of_certificate(session, 1)[0].pem,
        )


def test_what_has_expired_meanwhile_is_not_tried_for_ever(stage: Stage) -> None:
    stage.one_certificate()
    ask(stage, wish(stage, BECAUSE))
    stage.report(stage.claim(), IssueFailed("crt-1", FailureClass.ACCOUNT, "it is not the account's"))
    with stage.database.read() as session:
        (version,) = versions.of_certificate(session, 1)
        assert revocations.due(session, version.not_after - DAY / 24)
        assert revocations.due(session, version.not_after + DAY) == []


def test_a_renewal_while_a_version_is_being_revoked_is_refused_with_the_reason(stage: Stage) -> None:
    stage.one_certificate()
    ask(stage, wish(stage, BECAUSE))
    with stage.database.write() as session, pytest.raises(Conflict, match="is being revoked"):
        request.renew(session, [1], "ops", stage.clock())


def test_a_key_that_is_not_in_custody_revokes_nothing(stage: Stage) -> None:
    stage.one_certificate()
    with pytest.raises(Conflict, match="not in custody: revoke it by account"):
        ask(stage, wish(stage, BECAUSE, RevocationBy.KEY))


@pytest.mark.parametrize("by", RevocationBy)
def test_a_revoke_job_is_given_the_key_of_that_version_only_if_it_is_to_sign_with_it(
    stage: Stage, by: RevocationBy
) -> None:
    fingerprint = issued(stage)
    ask(stage, RevocationWish(1, fingerprint, RevocationReason.KEY_COMPROMISE, by, BECAUSE))
    claim = stage.claim()
    with stage.database.read() as session:
        job = jobs.get(session, claim.job_id)
        if by is RevocationBy.KEY:
            bundle = handout.bundle(session, stage.custodian, job, "crt-1", None)
            assert bundle.fingerprint == fingerprint
            assert "PRIVATE KEY" in bundle.private_key
        else:
            with pytest.raises(NotFound):
                handout.bundle(session, stage.custodian, job, "crt-1", fingerprint)
        credentials = handout.credentials(session, stage.custodian, job, "crt-1")
        assert credentials.variables == {}, "revoking proves no names"
