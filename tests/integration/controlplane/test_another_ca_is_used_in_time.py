"""A CA that does not issue in time is not the end: another one does, and says why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from notafter.custody import keys
from notafter.custody.custodian import Place
from notafter.domain.certificate import Challenge, ChallengeType
from notafter.domain.errors import InvalidInput
from notafter.domain.job import Subject
from notafter.domain.outcome import FailureClass, IssueFailed
from notafter.lifecycle import adopt, due, handout, planning, signing, window
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.due import Limits
from notafter.lifecycle.ordering import Outlook
from notafter.runner import results
from notafter.store import accounts, certificates, items, jobs, requests
from notafter.store.tables import AccountRow

from tests.answering_ca import DIRECTORY, HERE, https
from tests.factories import DAY, binding

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from notafter.store.jobs import Claim

    from tests.integration.controlplane.stage import Stage

EAB_KEY = "canary-eab-Zm9vYmFyYmF6cXV4"


def with_two_cas(stage: Stage, left: timedelta, life: timedelta = 90 * DAY) -> None:
    """One certificate that ends so soon, with an account at each of two CAs."""
    pem = stage.ca.issue("shop.example", start=left - life, end=left).certificate
    stage.found("web1", (pem, binding(pem)))
    stage.make_account()
    add_account(stage, "second", "https://second.invalid/dir")
    with stage.database.write() as session:
        adopt.adopt(session, [1], terms("second"), stage.clock())


def add_account(stage: Stage, name: str, directory: str) -> None:
    """An account at another CA, tied to an external one."""
    with stage.database.write() as session:
        row = AccountRow(
            name=name,
            directory=directory,
            sealed_key="",
            thumbprint=f"thumbprint of {name}",
            eab_key_id="kid-1",
            created_at=stage.clock(),
        )
        session.add(row)
        session.flush()
        row.sealed_key = stage.custodian.seal(keys.account_pem(), Place("account", row.id, "sealed_key"))
        place = Place("account", row.id, "sealed_eab_hmac_key")
        row.sealed_eab_hmac_key = stage.custodian.seal(EAB_KEY.encode(), place)


def terms(*alternatives: str) -> Terms:
    return Terms(
        account="main",
        challenge=Challenge(ChallengeType.DNS_01, "dns_x"),
        credential="main",
        profile="short",
        preferred_chain="First Root",
        alternatives=alternatives,
    )


def ordered_with(stage: Stage, now: datetime) -> tuple[str | None, str]:
    """Which account a tick orders with, and the reason that it puts down."""
    (made,) = due.tick(stage.database, now, Limits())
    with stage.database.read() as session:
        (item,) = items.of_job(session, made, Subject.CERTIFICATE)
        return (item.account.name if item.account else None), item.due_reason


def fail(stage: Stage, failure: FailureClass, retry_after: float | None = None) -> datetime:
    """What was ordered fails; return when it is tried again."""
    claim = prepared(stage)
    stage.report(claim, IssueFailed("crt-1", failure, "no", retry_after))
    with stage.database.read() as session:
        row = certificates.get(session, 1)
        assert row.next_attempt_at is not None
        return row.next_attempt_at


def prepared(stage: Stage) -> Claim:
    claim = stage.claim()
    signing.prepare(stage.desk, claim, stage.clock())
    return claim


def test_c8_a_dead_ca_is_replaced_by_the_second_when_the_end_is_near(stage: Stage) -> None:
    with_two_cas(stage, left=20 * DAY)
    now = stage.clock()
    account, why = ordered_with(stage, now)
    assert account == "main"
    assert "with the CA account" not in why
    again = fail(stage, FailureClass.CA_UNAVAILABLE)
    assert timedelta(0) < again - now < timedelta(minutes=10)
    account, why = ordered_with(stage, again)
    assert account == "second"
    assert why.endswith("; with the CA account second, because the CA account main has failed it 1 times")


def test_c8_far_from_the_end_the_first_ca_is_waited_for(stage: Stage) -> None:
    with_two_cas(stage, left=28 * DAY)
    now = stage.clock()
    for _ in range(3):
        account, _ = ordered_with(stage, now)
        assert account == "main"
        now = fail(stage, FailureClass.CA_UNAVAILABLE)


@pytest.mark.parametrize(
    ("failure", "retry_after", "wait"),
    [
        (FailureClass.CAA, None, DAY),
        (FailureClass.RATE_LIMITED, 7200, timedelta(hours=2)),
    ],
)
def test_c1_a_ca_that_wants_to_be_left_alone_is_so_while_the_second_cannot_be_asked(
    stage: Stage, failure: FailureClass, retry_after: float | None, wait: timedelta
) -> None:
    with_two_cas(stage, left=10 * DAY)
    with stage.database.write() as session:
        accounts.by_name(session, "second").limits = {"account": 1}
    asked, now = [], stage.clock()
    for each, patience in ((failure, retry_after), (FailureClass.CA_UNAVAILABLE, None)):
        asked.append(ordered_with(stage, now)[0])
        now = fail(stage, each, patience)
    assert asked == ["main", "second"]
    assert now < stage.clock() + timedelta(minutes=10)
    assert due.tick(stage.database, now, Limits()) == [], "the second has no order left, the first its wish"
    with stage.database.read() as session:
        row = certificates.get(session, 1)
        told = Outlook(session, now).decision(row, certificates.facts(session, row))
    assert "the CA account main has refused it, and is asked again at" in told.reason.sentence
    with stage.database.write() as session:
        accounts.by_name(session, "second").limits = {"account": None}
    assert ordered_with(stage, now)[0] == "second"
    claim = prepared(stage)
    stage.report(claim, IssueFailed("crt-1", FailureClass.CA_UNAVAILABLE, "no"))
    assert ordered_with(stage, stage.clock() + wait * 1.2)[0] == "main"


def test_c8_two_dead_cas_are_asked_in_turn_and_neither_more_often_than_the_waits_allow(stage: Stage) -> None:
    with_two_cas(stage, left=20 * DAY)
    now, asked = stage.clock(), []
    for _ in range(6):
        account, _ = ordered_with(stage, now)
        asked.append(account)
        now = fail(stage, FailureClass.CA_UNAVAILABLE)
    assert asked == ["main", "second"] * 3


@pytest.mark.parametrize("failure", [FailureClass.CAA, FailureClass.ACCOUNT, FailureClass.RATE_LIMITED])
def test_c8_what_the_first_ca_refuses_for_days_is_asked_of_the_second_when_the_end_is_near(
    stage: Stage, failure: FailureClass
) -> None:
    with_two_cas(stage, left=24 * DAY)
    now = stage.clock()
    account, _ = ordered_with(stage, now)
    assert account == "main"
    retry_after = 2 * 86400.0 if failure is FailureClass.RATE_LIMITED else None
    again = fail(stage, failure, retry_after)
    assert DAY <= again - now <= 1.6 * DAY, "the first one is waited for, and not longer than the second is"
    near = now + 1.6 * DAY
    account, why = ordered_with(stage, near)
    assert account == "second"
    told = "refused it, and is" if failure is FailureClass.RATE_LIMITED else "failed it 1 times"
    assert f"because the CA account main has {told}" in why


def test_what_is_not_the_cas_fault_is_no_reason_for_another_one(stage: Stage) -> None:
    with_two_cas(stage, left=20 * DAY)
    now = stage.clock()
    for _ in range(2):
        account, _ = ordered_with(stage, now)
        assert account == "main"
        now = fail(stage, FailureClass.CHALLENGE_FAILED)


def test_c11_the_second_ca_is_given_its_own_account_and_nothing_that_only_the_first_knows(
    stage: Stage,
) -> None:
    with_two_cas(stage, left=20 * DAY)
    with stage.database.write() as session:
        row = certificates.get(session, 1)
        assert row.current is not None
        row.current.account_id = row.account_id
        # the first account has issued it, with a key of ours: with that account it would be replaced
        place = Place("version", row.current.id, "sealed_key")
        row.current.sealed_key = stage.custodian.seal(b"a key", place)
    assert ordered_with(stage, stage.clock())[0] == "main"
    claim = prepared(stage)
    with stage.database.write() as session:
        first = planning.plan(session, claim.job_id, stage.clock()).certificates[0].signing
    assert first is not None
    assert first.replaces_pem is not None
    assert (first.profile, first.preferred_chain) == ("short", "First Root")
    stage.report(claim, IssueFailed("crt-1", FailureClass.CA_UNAVAILABLE, "no"))
    with stage.database.read() as session:
        again = certificates.get(session, 1).next_attempt_at
    assert again is not None
    assert ordered_with(stage, again)[0] == "second"
    claim = prepared(stage)
    with stage.database.write() as session:
        second = planning.plan(session, claim.job_id, stage.clock()).certificates[0].signing
        credentials = handout.credentials(session, stage.custodian, jobs.get(session, claim.job_id), "crt-1")
        attempt = requests.open_of(session, 1)
        assert attempt is not None
        answer = {"attempt": attempt.key, "certificate": stage.ca.answer(attempt.csr_pem)}
    assert second is not None
    assert second.authority.directory == "https://second.invalid/dir"
    assert (second.authority.eab_key_id, second.thumbprint) == ("kid-1", "thumbprint of second")
    assert (second.replaces_pem, second.profile, second.preferred_chain) == (None, None, None)
    assert (first.check_caa, second.check_caa) == (False, True)
    assert credentials.eab_hmac_key == EAB_KEY
    assert second.attempt != first.attempt, "an attempt is one account's"
    stage.report(claim, results.signed("crt-1", answer))
    with stage.database.read() as session:
        current = certificates.get(session, 1).current
        assert current is not None
        assert current.account_id == 2
        assert planning.replaces(certificates.get(session, 1), 1) is None, "never across accounts"
        assert planning.replaces(certificates.get(session, 1), 2) is not None


def test_the_next_step_says_with_which_account_and_why(stage: Stage) -> None:
    with_two_cas(stage, left=20 * DAY)
    ordered_with(stage, stage.clock())
    again = fail(stage, FailureClass.CA_UNAVAILABLE)
    with stage.database.read() as session:
        row = certificates.get(session, 1)
        told = Outlook(session, again).decision(row, certificates.facts(session, row))
    assert told.due
    assert "with the CA account second, because" in told.reason.sentence


@pytest.mark.parametrize(
    ("name", "told"), [("nobody", "no CA account 'nobody'"), ("twin", "at the same CA as")]
)
def test_an_alternative_is_a_known_account_at_another_ca(stage: Stage, name: str, told: str) -> None:
    with_two_cas(stage, left=20 * DAY)
    add_account(stage, "twin", "https://ca.invalid/dir")
    with stage.database.write() as session, pytest.raises(Exception, match=told) as refused:
        adopt.adopt(session, [1], terms("second", name), stage.clock())
    assert isinstance(refused.value, InvalidInput) == (name == "twin")


def test_terms_that_are_changed_are_tried_at_once(stage: Stage) -> None:
    with_two_cas(stage, left=20 * DAY)
    ordered_with(stage, stage.clock())
    fail(stage, FailureClass.REJECTED_IDENTIFIER)
    with stage.database.write() as session:
        adopt.adopt(session, [1], terms(), stage.clock())
        assert certificates.get(session, 1).alternatives == []
    assert ordered_with(stage, stage.clock())[0] == "main"


def test_the_window_of_a_version_is_asked_of_the_ca_that_has_issued_it(stage: Stage, tmp_path: Path) -> None:
    with_two_cas(stage, left=20 * DAY)
    now = stage.clock()
    span = {"start": (now + DAY).isoformat(), "end": (now + 2 * DAY).isoformat()}
    with https(tmp_path) as ca:
        ca.says({**DIRECTORY, "renewalInfo": ca.url, "suggestedWindow": span})
        with stage.database.write() as session:
            second = accounts.by_name(session, "second")
            second.directory, second.bundle_pem = ca.url, ca.root
            current = certificates.get(session, 1).current
            assert current is not None
            current.account_id = second.id
        assert window.ask(stage.database, now, HERE) == 1, "the first one's directory answers nobody"
