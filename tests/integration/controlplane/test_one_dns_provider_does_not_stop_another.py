"""D1: three certificates that fail at a DNS provider leave it alone, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notafter.domain.outcome import FailureClass, IssueFailed
from notafter.domain.reason import ReasonCode
from notafter.lifecycle import account, signing
from notafter.store import certificates

from tests.integration.controlplane.test_what_is_due_and_waits_says_why import (
    fleet,
    make_due,
    next_step,
    taken,
)

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage


def test_d1_certificates_of_another_provider_are_ordered_while_one_is_left_alone(stage: Stage) -> None:
    keys = fleet(stage, 6)
    other = account.create_credential(
        stage.database, stage.desk.custodian, "other", "dns_y", {"Y_TOKEN": "planted"}, stage.clock()
    )
    with stage.database.write() as session:
        for key in keys[3:]:
            certificates.by_key(session, key).credential_id = other.id
    assert taken(stage, stage.clock()) == 6
    claim = stage.claim()
    signing.prepare(stage.desk, claim, stage.clock())
    stage.report(
        claim,
        *(IssueFailed(key, FailureClass.DNS_PROVIDER, "it answers 503", 600.0) for key in keys[:3]),
        *(IssueFailed(key, FailureClass.CHALLENGE_FAILED, "no", None) for key in keys[3:]),
    )
    make_due(stage)
    assert taken(stage, stage.clock()) == 3
    told = next_step(stage, keys[0], stage.clock())
    assert told.reason.code == ReasonCode.BREAKER_OPEN
    assert "dns_provider" in told.reason.sentence
