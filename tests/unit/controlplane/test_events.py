"""Events of Ansible become outcomes; whatever a host sent stays data."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.deployment import DeployState
from notafter.domain.outcome import (
    Deployed,
    FailureClass,
    HostFailed,
    Issued,
    IssueFailed,
    Probed,
    Scanned,
)
from notafter.domain.reason import ReasonCode
from notafter.runner import events

from tests.authority import Authority
from tests.factories import binding, scan_result

PEM = Authority().issue("shop.example").certificate
LEAF = "ab" * 32


def event(action: str, res: Any, kind: str = "runner_on_ok", host: str = "web1") -> dict[str, Any]:
    """An event as ansible-runner hands it over."""
    data = {"host": host, "task": "Do it", "resolved_action": f"notafter.tls.{action}", "res": res}
    return {"event": kind, "event_data": data}


def deploy(**more: Any) -> dict[str, Any]:
    one = {"id": "dep-1", "state": "rolled_back", "reason": "not_served", "message": "old one serves again"}
    return {"deployments": [{**one, **more}], "recovered": [{"transaction": "t", "message": "put back"}]}


def test_a_signed_certificate_is_issued() -> None:
    res = {"attempt": "req-1", "certificate": {"pem": PEM}, "account": {"url": "https://a"}, "seconds": 2}
    found = events.outcome(event("acme_sh_certificate", res, host="crt-1"))
    assert found == Issued("crt-1", "req-1", PEM, "", "https://a", 2.0)


@pytest.mark.parametrize(("sent", "read"), [(name.value, name) for name in FailureClass])
def test_each_failure_class_of_the_contract_is_read(sent: str, read: FailureClass) -> None:
    res = {"failure": {"class": sent, "message": "no", "retry_after": 60}}
    found = events.outcome(event("acme_sh_certificate", res, "runner_on_failed", "crt-1"))
    assert found == IssueFailed("crt-1", read, "no", 60.0)


def test_an_unknown_failure_class_is_internal() -> None:
    res = {"failure": {"class": "gremlins", "message": "no"}}
    found = events.outcome(event("acme_sh_certificate", res, "runner_on_failed"))
    assert isinstance(found, IssueFailed)
    assert found.failure is FailureClass.INTERNAL


@pytest.mark.parametrize("state", DeployState)
def test_each_deploy_state_is_read_also_from_a_failed_task(state: DeployState) -> None:
    res = deploy(state=state.value, live_fingerprint=LEAF)
    found = events.outcome(event("certificate_deploy", res, "runner_on_failed"))
    assert isinstance(found, Deployed)
    assert (found.results[0].state, found.results[0].live_fingerprint) == (state, LEAF)
    assert found.recovered == ("put back",)


def test_a_scan_and_a_probe_are_read() -> None:
    scan = events.outcome(event("certificate_scan_info", scan_result((PEM, binding(PEM)))))
    assert isinstance(scan, Scanned)
    assert scan.bindings[0].names == ("shop.example",)
    point = {"id": "dep-1", "state": "served", "fingerprint_sha256": LEAF, "matches": True}
    probe = events.outcome(event("certificate_probe_info", {"endpoints": [point]}))
    assert isinstance(probe, Probed)
    assert probe.endpoints[0].matches


def test_facts_that_look_like_settings_of_ansible_are_not_kept() -> None:
    res = scan_result((PEM, binding(PEM)))
    res["server"] = {"hostname": "web1", "ansible_connection": "local", "ansible_python_interpreter": "/x"}
    found = events.outcome(event("certificate_scan_info", res))
    assert isinstance(found, Scanned)
    assert found.server == {"hostname": "web1"}


def test_an_emptied_result_is_a_failure_that_says_so() -> None:
    found = events.outcome(event("certificate_scan_info", {}))
    assert isinstance(found, HostFailed)
    assert found.code == ReasonCode.RESULT_UNREADABLE


@pytest.mark.parametrize(
    "res",
    [deploy(state="perfect"), {"deployments": 7}, {"deployments": [{}]}, {"deployments": ["x"]}, {"x": 1}],
)
def test_a_result_that_is_not_what_was_agreed_is_a_failure_with_a_reason(res: Any) -> None:
    found = events.outcome(event("certificate_deploy", res))
    assert isinstance(found, HostFailed)
    assert found.code == ReasonCode.RESULT_UNREADABLE


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", ReasonCode.HOST_KEY_CHANGED),
        (
            "No ED25519 host key is known for web1.\r\nHost key verification failed.",
            ReasonCode.HOST_KEY_UNKNOWN,
        ),
        ("Connection timed out", ReasonCode.UNREACHABLE),
    ],
)
@pytest.mark.parametrize("loop", [False, True])
def test_n3_why_nobody_got_in_is_told_also_of_a_loop(said: str, code: ReasonCode, loop: bool) -> None:
    result: dict[str, Any] = {"msg": f"Task failed: {said}", "unreachable": True}
    if loop:
        result = {"msg": "All items completed", "results": [{"msg": "ok"}, result], "unreachable": True}
    found = events.outcome({"event": "runner_on_unreachable", "event_data": {"host": "web1", "res": result}})
    assert isinstance(found, HostFailed)
    assert found.code == code
    assert (found.message == said) is (code is ReasonCode.UNREACHABLE)


def test_an_unreachable_host_and_a_failed_foreign_task_are_told() -> None:
    gone = {"event": "runner_on_unreachable", "event_data": {"host": "web1", "res": {"msg": "no route"}}}
    assert events.outcome(gone) == HostFailed("web1", ReasonCode.UNREACHABLE, "no route")
    data: dict[str, Any] = {
        "host": "web1",
        "task": "Ask",
        "resolved_action": "ansible.builtin.fail",
        "res": {"msg": "no"},
    }
    failed = {"event": "runner_on_failed", "event_data": data}
    assert events.outcome(failed) == HostFailed("web1", ReasonCode.TASK_FAILED, "Ask: no")
    data["ignore_errors"] = True
    assert events.outcome(failed) is None


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
actions = st.sampled_from([name.removeprefix("notafter.tls.") for name in events.READERS])
known_keys = st.sampled_from(
    ["deployments", "bindings", "server", "certificates", "endpoints", "certificate", "failure", "attempt"],
)


@given(actions, st.dictionaries(known_keys, json_like), st.sampled_from(["runner_on_ok", "runner_on_failed"]))
def test_no_result_of_a_host_breaks_the_reader(action: str, res: Any, kind: str) -> None:
    events.outcome(event(action, res, kind))
    events.line(event(action, res, kind))


@given(json_like)
def test_no_event_breaks_the_reader(data: Any) -> None:
    for kind in ("runner_on_ok", "runner_on_unreachable", "playbook_on_stats", "playbook_on_task_start"):
        made = {"event": kind, "event_data": data, "stdout": data}
        events.outcome(made)
        events.line(made)
        events.matched_hosts(made)


def test_lines_have_no_control_codes_and_no_private_keys() -> None:
    nasty = "a\x1b[2Jb\u202ec\x00\r\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
    line = events.line(event("certificate_deploy", {"msg": nasty}))
    assert line is not None
    assert "AAAA" not in line
    assert not any(mark in line for mark in ("\x1b", "\u202e", "\x00", "\n", "\r"))
