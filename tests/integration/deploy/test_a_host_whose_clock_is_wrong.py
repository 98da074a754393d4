"""T10: the controller's clock decides what is valid; a host that is a year off takes what it is given."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.notafter.tls.plugins.action import certificate_deploy
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier

from tests.authority import Authority
from tests.integration.deploy import test_previous

if TYPE_CHECKING:
    from tests.integration.deploy.conftest import Target

DAY = timedelta(days=1)
SKEWS = {"a day ahead": DAY, "a day behind": -DAY, "a year ahead": 365 * DAY, "a year behind": -365 * DAY}
#: The clock that the host program sees.
_CLOCK = """
import time
_right = time.time
time.time = lambda: _right() + {seconds}
"""


def send(target: Target, request: dict[str, Any], skew: timedelta) -> dict[str, Any]:
    """The answer of the host program on a host whose clock is wrong by so much."""
    program = _CLOCK.format(seconds=int(skew.total_seconds())) + carrier.payload(request).decode()
    done = target.host.run(
        ["/usr/bin/python3", "-I", "-S", "-B", "-"], input=program, check=False, timeout=180
    )
    return carrier.parse(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "skew", [pytest.param(skew, marks=[pytest.mark.long] if "day" in skew else []) for skew in SKEWS]
)
def test_t10_a_host_whose_clock_is_wrong_is_deployed_to_like_any_other(nginx: Target, skew: str) -> None:
    issued = nginx.issue()
    (outcome,) = send(nginx, nginx.request(issued), SKEWS[skew])["deployments"]
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint)
    assert nginx.served() == issued.fingerprint

    by_the_right_clock = nginx.deploy(nginx.issue())
    assert by_the_right_clock["state"] == "deployed", by_the_right_clock
    undone = test_previous.back(nginx)
    assert (undone["state"], undone["live_fingerprint"]) == ("deployed", issued.fingerprint), undone
    assert nginx.served() == issued.fingerprint


def test_t10_a_certificate_that_is_not_yet_valid_by_the_controllers_clock_waits() -> None:
    authority = Authority()
    reason = certificate_deploy._unfit(authority.issue("shop.example", start=DAY).bundle())
    assert reason is not None
    assert reason[0] == "not_yet_valid"
    assert "valid from" in reason[1]
    assert certificate_deploy._unfit(authority.issue("shop.example").bundle()) is None
