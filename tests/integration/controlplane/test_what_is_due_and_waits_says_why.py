"""What is due is not always ordered: limits, a CA that is down; the next step of each says so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from notafter.domain.budget import Key
from notafter.domain.job import ItemState, Subject
from notafter.domain.outcome import FailureClass, IssueFailed
from notafter.domain.reason import ReasonCode
from notafter.lifecycle import due, signing
from notafter.lifecycle.due import Limits
from notafter.lifecycle.ordering import Outlook, means
from notafter.store import accounts, certificates, items, jobs

from tests.factories import binding

if TYPE_CHECKING:
    from notafter.domain.deployment import Decision

    from tests.integration.controlplane.stage import Stage

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
MINUTE = timedelta(minutes=1)


def fleet(
    stage: Stage, count: int, directory: str | None = None, *, names: str = "n{}.shop.example"
) -> list[str]:
    """So many certificates, each on a server of its own, all due."""
    for number in range(count):
        name = names.format(number)
        pem = stage.ca.issue(name).certificate
        stage.found(f"web{number}", (pem, binding(pem, names=(name,))))
    keys = stage.adopt_all()
    with stage.database.write() as session:
        if directory is not None:
            accounts.by_name(session, "main").directory = directory
    make_due(stage)
    return keys


def make_due(stage: Stage) -> None:
    """Their time has come, and nothing that failed keeps them back."""
    with stage.database.write() as session:
        for row in certificates.page(session, 0, 100):
            row.first_renewal_at = row.renew_at = stage.clock() - MINUTE
            row.next_attempt_at = None


def fail(stage: Stage, failure: FailureClass, retry_after: float | None = None) -> None:
    """A worker takes the oldest job, and all its certificates fail."""
    claim = stage.claim()
    signing.prepare(stage.desk, claim, stage.clock())
    with stage.database.read() as session:
        keys = dict.fromkeys(
            item.certificate.key for item in items.of_job(session, claim.job_id) if item.certificate
        )
    stage.report(claim, *(IssueFailed(key, failure, "no", retry_after) for key in keys))
    make_due(stage)


def taken(stage: Stage, now: datetime, limits: Limits | None = None) -> int:
    """How many certificates a tick takes."""
    made = due.tick(stage.database, now, limits or Limits())
    with stage.database.read() as session:
        return sum(item.subject is Subject.CERTIFICATE for job in made for item in items.of_job(session, job))


def next_step(stage: Stage, key: str, now: datetime) -> Decision:
    """What people are told of a certificate."""
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        return Outlook(session, now).decision(row, certificates.facts(session, row))


def test_a_ca_that_failed_three_certificates_is_left_alone_and_then_asked_by_one(stage: Stage) -> None:
    keys = fleet(stage, 4)
    now = stage.clock()
    assert taken(stage, now) == 4
    fail(stage, FailureClass.CA_UNAVAILABLE)
    assert taken(stage, stage.clock()) == 0
    told = next_step(stage, keys[0], stage.clock())
    assert told.reason.code == ReasonCode.BREAKER_OPEN
    assert "the CA account main is not asked: ca_unavailable" in told.reason.sentence
    assert told.at is not None
    later = told.at + MINUTE
    assert next_step(stage, keys[0], later).due
    assert taken(stage, later) == 1
    assert "tries whether it works again" in next_step(stage, keys[1], later).reason.sentence


def test_what_one_certificate_does_wrong_does_not_stop_the_others(stage: Stage) -> None:
    fleet(stage, 4)
    assert taken(stage, stage.clock()) == 4
    fail(stage, FailureClass.CHALLENGE_FAILED)
    assert taken(stage, stage.clock()) == 4


def test_a_name_that_cannot_be_proved_is_not_ordered_beyond_the_cas_limit(stage: Stage) -> None:
    (key,) = fleet(stage, 1, LETS_ENCRYPT)
    for _ in range(4):
        assert taken(stage, stage.clock()) == 1
        fail(stage, FailureClass.CHALLENGE_FAILED)
    assert taken(stage, stage.clock()) == 0
    told = next_step(stage, key, stage.clock())
    assert told.reason.code == ReasonCode.OVER_BUDGET
    assert "5 failed authorisations per name in 1 h: n0.shop.example has had 4" in told.reason.sentence
    assert taken(stage, stage.clock() + timedelta(minutes=61)) == 1


def test_another_ca_has_no_limits_of_its_own(stage: Stage) -> None:
    fleet(stage, 1)
    for _ in range(8):
        assert taken(stage, stage.clock()) == 1
        fail(stage, FailureClass.CHALLENGE_FAILED)


def test_one_tick_takes_the_most_pressing_ones_and_the_next_one_the_others(stage: Stage) -> None:
    fleet(stage, 3)
    limits = Limits(certificates_per_tick=2)
    assert taken(stage, stage.clock(), limits) == 2
    with stage.database.read() as session:
        assert jobs.ready(session)
    fail(stage, FailureClass.CHALLENGE_FAILED)
    assert taken(stage, stage.clock(), limits) == 2


def test_the_patience_that_the_ca_asked_for_is_remembered_whatever_becomes_of_the_certificates(
    stage: Stage,
) -> None:
    keys = fleet(stage, 3, names="www.n{}.example")
    assert taken(stage, stage.clock()) == 3
    before = stage.clock()
    fail(stage, FailureClass.RATE_LIMITED, 1800)
    told = next_step(stage, keys[0], stage.clock())
    assert told.reason.code == ReasonCode.BREAKER_OPEN
    assert told.at is not None
    assert timedelta(0) <= told.at - before - 30 * MINUTE < 5 * MINUTE


def test_a_failure_after_which_there_may_be_a_certificate_counts_as_one(stage: Stage) -> None:
    (key,) = fleet(stage, 1, LETS_ENCRYPT)
    for _ in range(4):
        assert taken(stage, stage.clock()) == 1
        fail(stage, FailureClass.WRONG_CERTIFICATE)
    assert taken(stage, stage.clock()) == 0
    told = next_step(stage, key, stage.clock())
    assert told.reason.code == ReasonCode.OVER_BUDGET
    assert "5 certificates per exact set of names in 7 days" in told.reason.sentence


def test_tries_that_take_up_one_attempt_count_as_one_certificate_at_most(stage: Stage) -> None:
    fleet(stage, 1, LETS_ENCRYPT)
    for _ in range(6):
        assert taken(stage, stage.clock()) == 1
        fail(stage, FailureClass.CA_UNAVAILABLE)
    assert spent(stage, "certificates per exact set of names", "n0.shop.example") == 1


def test_what_an_order_was_to_the_ca_when_it_was_made_is_what_it_counts_as(stage: Stage) -> None:
    keys = fleet(stage, 2, LETS_ENCRYPT)
    with stage.database.write() as session:
        row = certificates.by_key(session, keys[0])
        assert row.current is not None
        row.current.account_id = row.account_id  # this account has issued it: the same names again
    assert taken(stage, stage.clock()) == 2
    assert spent(stage, "new orders per account", "the CA account main") == 1
    assert spent(stage, "certificates per exact set of names", "n0.shop.example") == 1


def spent(stage: Stage, limit: str, subject: str) -> int:
    """How much of a limit is spent."""
    with stage.database.read() as session:
        budget = means(session, stage.clock()).budgets["the CA account main"]
    (found,) = (one for one in budget.limits if one.name == limit)
    return len(budget.ledger.within(found, subject, stage.clock()))


def test_a_tick_keeps_a_fifth_of_its_room_for_what_cannot_wait(stage: Stage) -> None:
    keys = fleet(stage, 6)
    with stage.database.write() as session:
        row = certificates.by_key(session, keys[5])
        row.wanted_at, row.wanted_by = stage.clock(), "somebody"
    limits = Limits(certificates_per_tick=5)
    made = due.tick(stage.database, stage.clock(), limits)
    with stage.database.read() as session:
        found = [
            item.certificate.key for job in made for item in items.of_job(session, job) if item.certificate
        ]
    assert keys[5] in found
    assert len(set(found)) == 4


TOO_MANY = (
    "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-22 15:00:00 UTC"
)


def test_c1_when_the_ca_names_the_accounts_limit_none_of_its_certificates_asks_before_the_time(
    stage: Stage,
) -> None:
    keys = fleet(stage, 3, LETS_ENCRYPT)
    assert taken(stage, stage.clock(), Limits(certificates_per_tick=1)) == 1
    claim = stage.claim()
    signing.prepare(stage.desk, claim, stage.clock())
    with stage.database.read() as session:
        (sent_away,) = [
            item.certificate.key
            for item in items.of_job(session, claim.job_id, Subject.CERTIFICATE)
            if item.certificate
        ]
    stage.report(claim, IssueFailed(sent_away, FailureClass.RATE_LIMITED, TOO_MANY, 3600))
    told = next_step(stage, sent_away, stage.clock())
    assert told.reason.code == ReasonCode.DEFERRED
    assert "put off by its CA (too many new orders" in told.reason.sentence
    with stage.database.read() as session:
        (item,) = items.of_job(session, claim.job_id, Subject.CERTIFICATE)
        assert (item.state, item.limited_by) == (ItemState.DEFERRED, Key.ACCOUNT)
        assert certificates.by_key(session, sent_away).failures == 0
    others = [key for key in keys if key != sent_away]
    for after, allowed in ((1, 0), (30, 0), (59, 0), (70, 3)):
        now = stage.clock() + after * MINUTE
        if not allowed:
            told = next_step(stage, others[0], now)
            assert told.reason.code == ReasonCode.OVER_BUDGET
            assert "of which the CA takes no more until" in told.reason.sentence
        assert taken(stage, now) == allowed


def test_c1_a_name_limit_of_one_domain_leaves_the_other_domains_alone(stage: Stage) -> None:
    fleet(stage, 3, LETS_ENCRYPT, names="www.n{}.example")
    limit = 'too many certificates (50) already issued for "n0.example" in the last 168h0m0s'
    assert taken(stage, stage.clock()) == 3
    claim = stage.claim()
    signing.prepare(stage.desk, claim, stage.clock())
    stage.report(claim, IssueFailed("crt-1", FailureClass.RATE_LIMITED, limit, 86400))
    make_due(stage)
    later = stage.clock() + 60 * MINUTE
    assert next_step(stage, "crt-1", later).reason.code == ReasonCode.OVER_BUDGET
    assert next_step(stage, "crt-2", later).due


def test_c7_an_account_that_is_refused_is_tried_once_a_day_by_one_certificate(stage: Stage) -> None:
    fleet(stage, 5)
    assert taken(stage, stage.clock()) == 5
    fail(stage, FailureClass.ACCOUNT)
    now = stage.clock()
    assert [taken(stage, now + hours * 60 * MINUTE) for hours in (1, 6, 12, 23)] == [0, 0, 0, 0]
    assert taken(stage, now + 25 * 60 * MINUTE) == 1
