"""K1: the module on the host is killed at every one of its steps; the next run finishes the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.deploy.conftest import HELD
from tests.torture.breaks import reload_that_does

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


@pytest.mark.parametrize("point", ["restoring", "restored-0", "put-back"])
def test_k1_a_roll_back_that_is_killed_is_ended_by_the_next_run(nginx: Target, point: str) -> None:
    before, served = nginx.bytes_on_disk(), nginx.served()
    with reload_that_does(nginx.host, "nginx", "/bin/true"):
        nginx.fail_at(point)
        with pytest.raises(HostProgramError):
            nginx.deploy(nginx.issue(), verify_seconds=1)
    answer = nginx.send(nginx.request(nginx.issue(), deployments=[]))
    assert len(answer["recovered"]) == 1
    assert (nginx.bytes_on_disk(), nginx.served()) == (before, served)


def test_n1_the_run_goes_on_to_its_end_when_the_connection_that_brought_it_is_gone(nginx: Target) -> None:
    issued = nginx.issue()
    nginx.fail_at("staged", "hold=60")
    script = (
        "python3 -I -S -B - </tmp/payload >/dev/null 2>&1 &"
        " for try in $(seq 300); do test -e $1 && break; sleep 0.1; done; kill -HUP $!; rm $1; wait $!"
    )
    nginx.host.write("/tmp/payload", carrier.payload(nginx.request(issued)), mode=0o600)
    try:
        nginx.host.run(["sh", "-c", script, "sh", HELD], check=False)
    finally:
        nginx.host.run(["rm", "-f", "/tmp/payload", HELD])
    assert nginx.served() == issued.fingerprint


def test_t9_a_server_that_went_down_between_two_renames_is_brought_back(target: Target) -> None:
    """Killed while key and certificate differ, then restarted by somebody: it does not come up by itself."""
    before = target.served()
    issued = target.issue()
    target.fail_at("swapped-0")
    with pytest.raises(HostProgramError):
        target.deploy(issued)
    unit = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}[str(target.site.service)]
    target.host.run(["systemctl", "restart", unit], check=False)
    outcome = target.deploy(issued)
    assert outcome["state"] in ("deployed", "unchanged"), outcome
    assert before != issued.fingerprint == target.served()


def test_k1_what_a_killed_run_had_verified_is_kept(target: Target) -> None:
    issued = target.issue()
    target.fail_at("verified")
    with pytest.raises(HostProgramError):
        target.deploy(issued)
    answer = target.send(target.request(issued, deployments=[]))
    assert [one["message"] for one in answer["recovered"]] == ["a killed run had finished its work"]
    assert target.served() == issued.fingerprint


def test_g_a_killed_run_leaves_no_key_behind_once_another_has_run(nginx: Target) -> None:
    nginx.fail_at("staged")
    with pytest.raises(HostProgramError):
        nginx.deploy(nginx.issue())
    nginx.send(nginx.request(nginx.issue(), deployments=[]))
    left = nginx.host.run(
        ["sh", "-c", "ls -A /var/lib/notafter/check-* 2>/dev/null; find /etc -name '*.notafter-*'"]
    )
    assert left.stdout == ""
