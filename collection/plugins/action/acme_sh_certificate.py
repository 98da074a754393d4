# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `acme_sh_certificate`: sends the CSR, judges what comes back; or revokes."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.host import revoke
from ..plugin_utils import carrier, certificates, clock, controlplane, csr, fitness, roots

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "revoked"], "default": "present"},
    "names": {"type": "list", "elements": "str"},
    "csr": {"type": "str"},
    "attempt": {"type": "str"},
    "ca": {"type": "dict", "required": True},
    "account": {"type": "str", "default": "default"},
    "eab_hmac_key": {"type": "str", "no_log": True},
    "challenge": {"type": "dict"},
    "dns_variables": {"type": "dict", "no_log": True},
    "profile": {"type": "str"},
    "preferred_chain": {"type": "str"},
    "replaces": {"type": "str"},
    "check_caa": {"type": "bool", "default": False},
    "minimum_validity": {"type": "int"},
    "certificate": {"type": "str"},
    "reason": {"type": "str", "choices": list(revoke.REASONS), "default": "unspecified"},
    "by": {"type": "str", "choices": list(revoke.BY), "default": "account"},
    "timeout": {"type": "int", "default": 600},
    "job": {"type": "dict"},
}
NEEDED = [
    ("state", "present", ["names", "csr", "attempt", "challenge"]),
    ("state", "revoked", ["certificate"]),
]

carrier.prepare("sign")
carrier.prepare("revoke")


class ActionModule(ActionBase):
    """Signs one CSR, or revokes one certificate; the task is delegated to an issuer."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS, required_if=NEEDED)
        if self._task.check_mode:
            result.update(changed=True, msg=_planned(arguments))
            return result
        try:
            told = self._told(arguments, task_vars or {})
        except carrier.HostProgramError as error:
            told = _failed({"class": "internal", "message": str(error)}, arguments)
        return {**result, **told}

    def _told(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if arguments["state"] == "revoked":
            return _revoked(carrier.send(self, self._revocation(arguments), task_vars), arguments)
        problem = csr.unfit(arguments["csr"], arguments["names"])
        if problem:
            return _failed({"class": "invalid_request", "message": problem}, arguments)
        answer = carrier.send(self, self._request(arguments), task_vars)
        judged = _judged(answer, arguments)
        if not arguments["job"] and "certificate" in answer:
            carrier.send(self, _keep(judged, arguments), task_vars)
        return judged

    def _revocation(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        request = {
            "op": "revoke",
            "name": None if arguments["job"] else arguments["name"],
            "ca": _ca(arguments),
            "account": {"name": arguments["account"]},
            **{name: arguments[name] for name in ("certificate", "reason", "by")},
        }
        if arguments["job"]:
            job = controlplane.Job(arguments["job"])
            if arguments["by"] == "key":
                fingerprint = certificates.describe(arguments["certificate"])["fingerprint"]
                request["private_key"] = job.bundle(arguments["name"], fingerprint)["private_key"]
            else:
                request["account"] = job.credentials(arguments["name"])["account"]
        return request

    def _request(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        request: dict[str, t.Any] = {
            "op": "sign",
            "attempt": arguments["attempt"],
            "names": arguments["names"],
            "csr": arguments["csr"],
            "ca": _ca(arguments),
            "challenge": arguments["challenge"],
            "profile": arguments["profile"],
            "preferred_chain": arguments["preferred_chain"],
            "replaces": arguments["replaces"],
            "check_caa": arguments["check_caa"],
            "timeout": arguments["timeout"],
        }
        if arguments["job"]:
            credentials = controlplane.Job(arguments["job"]).credentials(arguments["name"])
            request["account"] = credentials["account"]
            request["dns_variables"] = credentials["dns_variables"]
        else:
            request["account"] = {
                "name": arguments["account"],
                "eab_hmac_key": arguments["eab_hmac_key"],
            }
            request["dns_variables"] = arguments["dns_variables"] or {}
        return request


def _ca(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """The CA as the issuer needs to know it."""
    ca = arguments["ca"]
    told = {name: ca.get(name) for name in ("directory", "email", "eab_key_id")}
    return {**told, "bundle_pem": roots.text_of(ca.get("bundle"))}


def _planned(arguments: dict[str, t.Any]) -> str:
    if arguments["state"] == "revoked":
        facts = certificates.describe(arguments["certificate"])
        return f"would revoke {facts['fingerprint']} ({', '.join(facts['names'])}): {arguments['reason']}"
    return f"would have a certificate signed for {', '.join(arguments['names'])}"


def _revoked(answer: dict[str, t.Any], arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    if "failure" in answer:
        return {**_failed(answer["failure"], arguments), "seconds": answer.get("seconds")}
    already = answer["revoked"]["already"]
    return {
        "changed": not already,
        "msg": "it was revoked already" if already else f"revoked: {arguments['reason']}",
        "revoked": answer["revoked"],
        "seconds": answer.get("seconds"),
    }


def _failed(failure: dict[str, t.Any], arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    complete = {"type": None, "identifier": None, "retry_after": None, **failure}
    return {
        "failed": True,
        "msg": f"{complete['class']}: {complete['message']}",
        "failure": complete,
        "attempt": arguments["attempt"],
    }


def _keep(judged: dict[str, t.Any], arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """What the issuer that keeps the key itself does with what was signed: it counts, or is forgotten."""
    request = {"op": "keep", "name": arguments["name"], "attempt": arguments["attempt"]}
    if "certificate" in judged:
        request.update(certificate=judged["certificate"]["pem"], chain=judged["certificate"]["chain_pem"])
    return request


def _judged(answer: dict[str, t.Any], arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    """What came back counts only when it is the certificate that was asked for (faults.md C6)."""
    if "failure" in answer:
        return {**_failed(answer["failure"], arguments), "seconds": answer.get("seconds")}
    signed = answer["certificate"]
    root_pem, bundle_pem = (roots.text_of(arguments["ca"].get(name)) for name in ("root", "bundle"))
    problems = fitness.unfit(signed, arguments, root_pem, bundle_pem, clock.now())
    if problems:
        told = "; ".join(problem["message"] for problem in problems)
        return _failed(
            {"class": "wrong_certificate", "message": f"what the CA sent is not right: {told}"}, arguments
        )
    facts = certificates.describe(signed["pem"])
    other = fitness.other_chain(signed, arguments.get("preferred_chain"))
    return {
        **({"warnings": [other]} if other else {}),
        "changed": not answer["found"],
        "msg": "found, signed earlier" if answer["found"] else "signed",
        "attempt": answer["attempt"],
        "account": answer.get("account"),
        "seconds": answer.get("seconds"),
        "certificate": {
            **signed,
            **{
                name: facts[name]
                for name in ("serial", "issuer", "names", "not_before", "not_after", "key_type")
            },
        },
    }
