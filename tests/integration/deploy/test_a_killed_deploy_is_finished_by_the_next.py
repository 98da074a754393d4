"""K1: the module on the host is killed at every one of its steps; the next run finishes the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

if TYPE_CHECKING:
    from tests.integration.deploy.conftest import Target

POINTS = ["staged", "swapping", "swapped-0", "swapped-1", "tested", "reloaded", "verified", "committed"]


@pytest.mark.parametrize("point", POINTS)
def test_k1_a_kill_leaves_a_working_certificate_and_the_next_run_deploys(target: Target, point: str) -> None:
    if point == "swapped-1" and len(target.site.files) == 1:
        point = "swapped-0"  # one combined file is swapped by one rename
    before, metadata = target.served(), target.metadata()
    issued = target.issue()
    target.fail_at(point)
    with pytest.raises(HostProgramError) as caught:
        target.deploy(issued)
    assert caught.value.kind == "no_answer"
    assert target.served() in (before, issued.fingerprint)
    outcome = target.deploy(issued)
    assert outcome["state"] in ("deployed", "unchanged"), outcome
    assert target.served() == issued.fingerprint
    assert target.metadata() == metadata
    for file in target.site.files:
        folder = target.host.run(["ls", "-A", file.path.rpartition("/")[0]]).stdout
        assert ".notafter-" not in folder


@pytest.mark.parametrize("point", ["swapping", "swapped-0", "tested", "reloaded"])
def test_k1_after_a_kill_even_a_run_with_nothing_to_do_puts_the_old_files_back(
    nginx: Target, point: str
) -> None:
    before = nginx.bytes_on_disk()
    nginx.fail_at(point)
    with pytest.raises(HostProgramError):
        nginx.deploy(nginx.issue())
    answer = nginx.send(nginx.request(nginx.issue(), deployments=[]))
    assert len(answer["recovered"]) == 1
    assert nginx.bytes_on_disk() == before
    nginx.host.run(["nginx", "-t"])


def test_n1_the_run_goes_on_to_its_end_when_the_connection_that_brought_it_is_gone(nginx: Target) -> None:
    issued = nginx.issue()
    nginx.fail_at("staged", "sleep=2")
    script = "python3 -I -S -B - </tmp/payload >/dev/null 2>&1 & sleep 1; kill -HUP $!; wait $!"
    nginx.host.write("/tmp/payload", carrier.payload(nginx.request(issued)), mode=0o600)
    try:
        nginx.host.run(["sh", "-c", script], check=False)
    finally:
        nginx.host.run(["rm", "-f", "/tmp/payload"])
    assert nginx.served() == issued.fingerprint
