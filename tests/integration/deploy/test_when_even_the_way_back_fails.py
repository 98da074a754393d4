"""T17: a roll-back that fails is loud, has steps that work, and the back-up is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.deploy.test_somebody_else_is_at_work import deploy_held_at

if TYPE_CHECKING:
    from tests.integration.deploy.conftest import Target


def test_t17_a_roll_back_that_fails_says_what_to_do_and_that_works(drawn: Target) -> None:
    """Somebody makes the last file immutable after the swap, and then the configuration test fails."""
    path = drawn.site.files[-1].path
    served, before = drawn.served(), drawn.bytes_on_disk()
    try:
        with deploy_held_at(drawn, "tested", drawn.issue()) as outcome:
            drawn.host.run(["chattr", "+i", path])
            drawn.fail_at("reloaded", "raise")
    finally:
        drawn.host.run(["chattr", "-i", path])
    assert outcome["state"] == "broken", outcome
    assert path in outcome["message"]
    steps: list[str] = re.findall(r"`([^`]+)`", outcome["message"])
    assert steps, outcome["message"]
    for step in steps:
        drawn.host.run(["sh", "-ec", step])
    drawn.host.run(["systemctl", "reload", drawn.unit])
    drawn.host.wait_until(lambda: drawn.served() == served, "the old certificate does not serve again")
    assert drawn.bytes_on_disk() == before
    issued = drawn.issue()
    assert drawn.deploy(issued)["state"] == "deployed"
    assert drawn.served() == issued.fingerprint
    assert not drawn.left()


def test_t17_while_nothing_can_be_put_back_no_other_deploy_is_tried(drawn: Target) -> None:
    path = drawn.site.files[-1].path
    before = drawn.bytes_on_disk()
    drawn.fail_at("tested")
    with pytest.raises(HostProgramError):
        drawn.deploy(drawn.issue())
    drawn.host.run(["chattr", "+i", path])
    try:
        with pytest.raises(HostProgramError) as caught:
            drawn.deploy(drawn.issue())
        assert caught.value.kind == "recovery_failed"
        assert path in str(caught.value)
        assert "/var/lib/notafter/transactions/" in str(caught.value)
    finally:
        drawn.host.run(["chattr", "-i", path])
    drawn.send(drawn.request(drawn.issue(), deployments=[]))
    assert drawn.bytes_on_disk() == before
