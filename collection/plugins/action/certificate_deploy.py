# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_deploy`: fetches the bundles, judges them, sends one transaction."""

from __future__ import annotations

import secrets
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.host import veil
from ..plugin_utils import carrier, certificates, clock, controlplane, file_changes, progress

ARGUMENTS: dict[str, t.Any] = {
    "deployments": {"type": "list", "elements": "dict", "required": True},
    "job": {"type": "dict"},
    "default_issuer": {"type": "str"},
    "verify_seconds": {"type": "int", "default": 15},
    "lock_seconds": {"type": "int", "default": 60},
    "wave": {"type": "int", "default": 1},
    "state": {"type": "str", "choices": ["present", "previous"], "default": "present"},
    "force": {"type": "bool", "default": False},
    "revoked": {"type": "list", "elements": "str", "default": []},
}
FAILED = ("rolled_back", "blocked_by_host", "conflict", "refused", "busy", "broken", "held_back")

carrier.prepare("deploy")


class ActionModule(ActionBase):
    """Deploys all certificates of one server in one round trip."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says; no key is in it."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        server = str((task_vars or {})["inventory_hostname"])
        turn = progress.turn(server, arguments["deployments"], arguments["wave"])
        wishes: list[dict[str, t.Any]] = turn.mine
        backwards = arguments["state"] == "previous"
        bundles, refused = ({}, {}) if backwards else self._bundles(wishes, arguments, task_vars or {})
        sent = [{**wish, "bundle": _key(wish)} for wish in wishes if backwards or _key(wish) in bundles]
        outcomes = [_refusal(wish, refused[_key(wish)]) for wish in wishes if _key(wish) in refused]
        recovered: list[dict[str, str]] = []
        if sent:
            request = self._request(arguments) | {"deployments": sent, "bundles": bundles}
            try:
                answer = carrier.send(self, request, task_vars or {})
                outcomes += answer["deployments"]
                recovered = answer["recovered"]
            except carrier.HostProgramError as error:
                outcomes += [_stopped(wish, error) for wish in sent]
        if self._task.diff:
            result["diff"] = _differences(outcomes)
        outcomes += [_outcome(wish, "held_back", "earlier_wave_failed", why) for wish, why in turn.held]
        result.update(turn.over(_summary(outcomes, recovered)))
        return result

    def _request(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        """What a host is told beside the deployments and the bundles themselves."""
        return {
            "op": "deploy",
            "check": bool(self._task.check_mode),
            "diff": bool(self._task.diff),
            "state": arguments["state"],
            "now": clock.now().timestamp(),
            "force": arguments["force"],
            "refused": [one.lower().replace(":", "") for one in arguments["revoked"]],
            "verify_seconds": arguments["verify_seconds"],
            "lock_seconds": arguments["lock_seconds"],
        }

    def _bundles(
        self, wishes: list[dict[str, t.Any]], arguments: dict[str, t.Any], task_vars: dict[str, t.Any]
    ) -> tuple[dict[str, dict[str, t.Any]], dict[str, tuple[str, str]]]:
        """The bundles that are fit, and for the others why not: (reason, sentence)."""
        bundles: dict[str, dict[str, t.Any]] = {}
        refused: dict[str, tuple[str, str]] = {}
        job = controlplane.Job(arguments["job"]) if arguments["job"] else None
        for wish in wishes:
            key = _key(wish)
            if key in bundles or key in refused:
                continue
            try:
                bundle = self._fetch(wish, job, arguments["default_issuer"], task_vars)
            except AnsibleConnectionFailure:
                raise
            except AnsibleError as error:
                refused[key] = ("no_bundle", str(error))
                continue
            problem = _unfit(bundle)
            if problem is None:
                facts = certificates.describe(bundle["certificate"])
                bundles[key] = {**bundle, "key_type": str(facts["key_type"] or "").partition("-")[0] or None}
            else:
                refused[key] = problem
        return bundles, refused

    def _fetch(
        self,
        wish: dict[str, t.Any],
        job: controlplane.Job | None,
        default_issuer: str | None,
        task_vars: dict[str, t.Any],
    ) -> dict[str, t.Any]:
        if job is not None:
            return job.bundle(wish["certificate"], wish.get("fingerprint"))
        issuer = wish.get("issuer") or default_issuer
        if not issuer:
            raise AnsibleError(f"no issuer is named for {wish['certificate']}: set certificate_issuer")
        secret = secrets.token_hex(32)
        request = {"op": "bundle", "name": wish["certificate"], "veil": secret}
        answer = veil.take_off(carrier.send_to(self, issuer, request, task_vars), secret)
        bundle: dict[str, t.Any] | None = answer["bundle"]
        if bundle is None:
            raise AnsibleError(
                f"the issuer {issuer} keeps no certificate {wish['certificate']}: run issue.yml"
            )
        return bundle


def _key(wish: dict[str, t.Any]) -> str:
    return f"{wish['certificate']}@{wish.get('fingerprint') or 'current'}"


def _unfit(bundle: dict[str, t.Any]) -> tuple[str, str] | None:
    """Why a bundle must not be deployed now, judged by the controller's clock (faults.md T10)."""
    facts = certificates.describe(bundle["certificate"])
    if facts["error"]:
        return "malformed", f"the certificate cannot be read: {facts['error']}"
    now = clock.now()
    if now < clock.parse(facts["not_before"]):
        return "not_yet_valid", f"the certificate is valid from {facts['not_before']}"
    if now >= clock.parse(facts["not_after"]):
        return "expired", f"the certificate ended at {facts['not_after']}"
    return None


def _outcome(wish: dict[str, t.Any], state: str, reason: str, message: str) -> dict[str, t.Any]:
    return {
        "id": wish.get("id"),
        "certificate": wish["certificate"],
        "service": wish["service"],
        "state": state,
        "reason": reason,
        "message": message,
        "changed": False,
        "reloads": [],
        "before_fingerprint": None,
        "live_fingerprint": None,
        "endpoints": [],
        "seconds": 0.0,
    }


def _differences(outcomes: list[dict[str, t.Any]]) -> list[dict[str, str]]:
    """What changed, or would: taken out of the outcomes, which tell it by fingerprints."""
    return [
        difference
        for outcome in outcomes
        for difference in file_changes.differences(outcome, outcome.pop("changes", []))
    ]


def _refusal(wish: dict[str, t.Any], why: tuple[str, str]) -> dict[str, t.Any]:
    return _outcome(wish, "refused", *why)


def _stopped(wish: dict[str, t.Any], error: carrier.HostProgramError) -> dict[str, t.Any]:
    """The host program as a whole could not do it: nothing was touched."""
    return _outcome(wish, "busy" if error.kind == "busy" else "blocked_by_host", error.kind, str(error))


def _summary(outcomes: list[dict[str, t.Any]], recovered: list[dict[str, str]]) -> dict[str, t.Any]:
    failed = [outcome for outcome in outcomes if outcome["state"] in FAILED]
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome["state"]] = counts.get(outcome["state"], 0) + 1
    told = (
        ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing to deploy here"
    )
    if failed:
        told += ": " + "; ".join(f"{outcome['certificate']}: {outcome['message']}" for outcome in failed)
    return {
        "changed": bool(recovered) or any(outcome["changed"] for outcome in outcomes),
        "failed": bool(failed),
        "msg": told,
        "deployments": outcomes,
        "recovered": recovered,
    }
