"""Whether a place shows what it should."""

from dataclasses import replace
from typing import Any

import pytest
from notafter.domain.deployment import DeploymentFacts, Sync, sync, why_deploy
from notafter.domain.reason import ReasonCode

from tests.factories import DAY, NOW, version

NEW, OLD = "ab" * 32, "cd" * 32
FACTS = DeploymentFacts(
    adopted=True,
    absent=False,
    in_progress=False,
    wanted=version(fingerprint=NEW),
    live_fingerprint=NEW,
    file_fingerprint=NEW,
)


@pytest.mark.parametrize(
    ("change", "code", "due"),
    [
        ({"adopted": False}, ReasonCode.NOT_ADOPTED, False),
        ({"absent": True}, ReasonCode.ABSENT, False),
        ({"wanted": None}, ReasonCode.NO_KEY, False),
        ({"wanted": version(has_key=False)}, ReasonCode.NO_KEY, False),
        ({}, ReasonCode.IN_SYNC, False),
        ({"live_fingerprint": OLD, "in_progress": True}, ReasonCode.IN_PROGRESS, False),
        ({"live_fingerprint": OLD, "next_attempt_at": NOW + DAY}, ReasonCode.BACKING_OFF, False),
        ({"live_fingerprint": OLD}, ReasonCode.BEHIND, True),
        ({"file_fingerprint": OLD}, ReasonCode.BEHIND, True),
        ({"live_fingerprint": None, "file_fingerprint": None}, ReasonCode.BEHIND, True),
        ({"live_fingerprint": None}, ReasonCode.IN_SYNC, False),
    ],
)
def test_the_first_check_that_speaks_gives_the_reason(
    change: dict[str, Any], code: ReasonCode, due: bool
) -> None:
    decision = why_deploy(replace(FACTS, **change), NOW)
    assert (decision.due, decision.reason.code) == (due, code)


def test_a_place_is_summed_up_in_one_word() -> None:
    assert sync(FACTS) is Sync.IN_SYNC
    assert sync(replace(FACTS, live_fingerprint=OLD)) is Sync.BEHIND
    assert sync(replace(FACTS, live_fingerprint=OLD, failures=1)) is Sync.FAILED
    assert sync(replace(FACTS, adopted=False)) is Sync.UNMANAGED
    assert sync(replace(FACTS, absent=True)) is Sync.ABSENT
