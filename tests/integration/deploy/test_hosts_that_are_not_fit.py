"""T16: no Python, one too old, a /tmp that runs nothing; T6: a reload that hangs; T14: two readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.plugin_utils import carrier
from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.deploy.conftest import WHOLE
from tests.integration.deploy.test_a_deploy_changes_what_is_served_or_nothing import reload_that_does

if TYPE_CHECKING:
    from tests.authority import Issued
    from tests.integration.deploy.conftest import Target

#: Runs a command where some things of the host are other than they are, for it alone.
APART = ["unshare", "--mount", "--", "sh", "-ec"]


def sent(target: Target, issued: Issued, change: str) -> dict[str, object]:
    """The outcome of a deploy that is sent to the interpreter that the carrier would look for."""
    request = carrier.payload(target.request(issued)).decode()
    done = target.host.run(
        [*APART, f"{change}; {carrier.command(None)}"], input=request, check=False, timeout=120
    )
    outcome: dict[str, object] = carrier.parse(done.returncode, done.stdout, done.stderr)["deployments"][0]
    return outcome


def test_t16_a_host_without_python_is_told_so(drawn: Target) -> None:
    before = drawn.snapshot()
    drawn.host.run(["mv", "/usr/bin/python3", "/usr/bin/away"])
    try:
        with pytest.raises(HostProgramError) as caught:
            sent(drawn, drawn.issue(), "true")
    finally:
        drawn.host.run(["mv", "/usr/bin/away", "/usr/bin/python3"])
    assert "no python3 here" in str(caught.value)
    assert drawn.snapshot() == before


def test_t16_a_python_that_is_too_old_is_told_so(drawn: Target) -> None:
    """Its number is all that is old here; with a Python 2.7 it was tried by hand."""
    before = drawn.snapshot()
    request = carrier.payload(drawn.request(drawn.issue())).decode()
    old = "import sys; sys.version_info = (3, 5, 3); sys.version = '3.5.3 (default)'; exec(sys.stdin.read())"
    done = drawn.host.run(["python3", "-I", "-S", "-B", "-c", old], input=request, check=False)
    with pytest.raises(HostProgramError) as caught:
        carrier.parse(done.returncode, done.stdout, done.stderr)
    assert "Python 3.5.3 is too old" in str(caught.value)
    assert drawn.snapshot() == before


def test_t16_a_tmp_that_nothing_may_be_written_to_or_run_from_is_not_needed(drawn: Target) -> None:
    issued = drawn.issue()
    change = "for p in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o noexec,ro tmpfs $p; done"
    assert sent(drawn, issued, change)["state"] == "deployed"
    assert drawn.served() == issued.fingerprint


def test_t14_two_services_that_share_a_file_reload_and_show_it_both(nginx: Target) -> None:
    """HAProxy on the same host, with the certificate and key that nginx has, as one deployment each."""
    host, port = nginx.host, 8443
    configuration = host.read("/etc/haproxy/haproxy.cfg")
    certificate, key = nginx.path("fullchain"), nginx.path("key")
    host.write(
        "/etc/haproxy/haproxy.cfg",
        "global\n  stats socket /run/haproxy.sock\ndefaults\n  mode http\n  timeout client 5s\n"
        "  timeout connect 5s\n  timeout server 5s\n"
        f"frontend shared\n  bind *:{port} ssl crt {certificate}\n  http-request deny\n",
    )
    host.run(["ln", "-s", key, f"{certificate}.key"])
    try:
        host.run(["systemctl", "restart", "haproxy"])
        issued = nginx.issue()
        request = nginx.request(issued)
        request["deployments"].append(nginx.wish(id="dep-shared", service="haproxy", listeners=[f"*:{port}"]))
        outcomes = nginx.send(request)["deployments"]
        assert [outcome["state"] for outcome in outcomes] == ["deployed", "deployed"], outcomes
        assert {outcome["live_fingerprint"] for outcome in outcomes} == {issued.fingerprint}
    finally:
        host.run(["systemctl", "stop", "haproxy"], check=False)
        host.run(["rm", "-f", f"{certificate}.key"])
        host.write("/etc/haproxy/haproxy.cfg", configuration)


@pytest.mark.skipif(not WHOLE, reason="waits for two minutes: `make torture T=--hosts` does it")
def test_t6_a_reload_that_hangs_is_ended_and_rolled_back(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    with reload_that_does(target.host, target.unit, "/bin/sleep 600"):
        outcome = target.deploy(target.issue())
        target.host.run(["systemctl", "kill", "--kill-whom=control", target.unit], check=False)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed"), outcome
    assert "did not end within" in outcome["message"]
    assert (target.bytes_on_disk(), target.served()) == (before, served)
