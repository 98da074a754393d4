"""One event of Ansible → an outcome, or a line for the job's log. What a host sent is data."""

import re
from collections.abc import Mapping
from typing import Any

from notafter.domain.outcome import HostFailed, Outcome
from notafter.domain.reason import ReasonCode
from notafter.runner import results

#: The tasks whose results are outcomes; everything else is a line in a log.
READERS = {
    "notafter.tls.acme_sh_certificate": results.signed,
    "notafter.tls.certificate_deploy": results.deployed,
    "notafter.tls.certificate_scan_info": results.scanned,
    "notafter.tls.certificate_probe_info": results.probed,
}

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PRIVATE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_LONGEST = 1000
#: Each turn of a loop tells its own result; of the loop as a whole (`results`) only a failure is news.
_TELLING = ("runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_item_on_ok")
_KEY_CHANGED = (
    "the host shows another SSH key than the one that is known for it: it may be somebody else, and nobody"
    " was let in. If it was made anew, put its new key into known_hosts in place of the old one."
)
_KEY_UNKNOWN = (
    "no SSH key is known for the host that it could be recognised by, and nobody was let in."
    " Put its key into known_hosts."
)
_WORDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
    "runner_on_skipped": "skipped",
}


def outcome(event: Mapping[str, Any]) -> Outcome | None:
    """Return what an event means for the job, if it means anything."""
    kind = event.get("event")
    data = _mapping(event.get("event_data"))
    host = data.get("host")
    if kind not in _TELLING or not isinstance(host, str):
        return None
    result = _mapping(data.get("res"))
    if kind == "runner_on_unreachable":
        return _unreachable(host, result)
    reader = READERS.get(_action(data))
    failed = kind == "runner_on_failed"
    if reader is not None and "results" not in result:
        return _read(reader, host, result, failed=failed)
    if failed and not data.get("ignore_errors"):
        return HostFailed(host, ReasonCode.TASK_FAILED, f"{_text(data.get('task'))}: {_message(result)}")
    return None


def _unreachable(host: str, result: Mapping[str, Any]) -> HostFailed:
    """Return why nobody got in; a host that shows another key than its own is not believed.

    Of a loop Ansible only says that all of its items were completed: what happened is in them.
    """
    turns = [_mapping(turn) for turn in result["results"]] if isinstance(result.get("results"), list) else []
    result = next((turn for turn in turns if turn.get("unreachable")), result)
    said = str(result.get("msg"))
    if "HOST IDENTIFICATION HAS CHANGED" in said:
        return HostFailed(host, ReasonCode.HOST_KEY_CHANGED, _KEY_CHANGED)
    if "Host key verification failed" in said:
        return HostFailed(host, ReasonCode.HOST_KEY_UNKNOWN, _KEY_UNKNOWN)
    return HostFailed(host, ReasonCode.UNREACHABLE, _message(result))


def line(event: Mapping[str, Any]) -> str | None:
    """Return what the job's log says about an event."""
    kind = str(event.get("event"))
    data = _mapping(event.get("event_data"))
    if kind == "playbook_on_play_start":
        return f"PLAY {_text(data.get('name'))}"
    if kind == "playbook_on_task_start":
        return f"TASK {_text(data.get('task'))}"
    if kind in _WORDS:
        told = _message(_mapping(data.get("res"))) if kind != "runner_on_skipped" else ""
        return f"{_WORDS[kind]}: {_text(data.get('host'))} {told}".rstrip()
    if kind in {"error", "warning", "deprecated", "verbose"}:
        return _text(event.get("stdout")) or None
    return None


def matched_hosts(event: Mapping[str, Any]) -> int | None:
    """Return how many hosts the run touched, from its last event."""
    if event.get("event") != "playbook_on_stats":
        return None
    data = _mapping(event.get("event_data"))
    names: set[str] = set()
    for key in ("ok", "failures", "dark", "skipped", "processed"):
        names |= set(_mapping(data.get(key)))
    return len(names)


def _read(
    reader: results.Reader,
    host: str,
    result: Mapping[str, Any],
    *,
    failed: bool,
) -> Outcome | None:
    """Read one of our results.

    ansible-runner empties those over 700,000 characters without a word, and Ansible no
    longer says in the result itself that it failed.
    """
    if not result:
        return HostFailed(host, ReasonCode.RESULT_UNREADABLE, "the result was lost: it was too large")
    if result.get("skipped"):
        return None
    try:
        return reader(host, {**result, "failed": failed})
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if failed:
            return HostFailed(host, ReasonCode.TASK_FAILED, _message(result))
        sentence = f"the result is not what was agreed: {type(error).__name__} {_text(error)}"
        return HostFailed(host, ReasonCode.RESULT_UNREADABLE, sentence)


def _action(data: Mapping[str, Any]) -> str:
    return str(data.get("resolved_action") or data.get("task_action"))


def _message(result: Mapping[str, Any]) -> str:
    return _text(result.get("msg")).removeprefix("Task failed: ")


def _text(value: object) -> str:
    """Return a text that is safe to store and to print: no control codes, no keys, not too long."""
    if value is None:
        return ""
    return clean(_PRIVATE.sub("(a private key was here)", str(value)))[:_LONGEST]


def clean(text: str) -> str:
    """Remove what moves a terminal's cursor or turns text around, and what UTF-8 cannot say."""
    one_line = _CONTROL.sub("", text.replace("\n", " "))
    return one_line.encode("utf-8", "replace").decode("utf-8").strip()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
