# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `acme_sh_certificate`: sends the CSR, judges what comes back."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ..plugin_utils import carrier, certificates, clock, controlplane, fitness

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "csr": {"type": "str", "required": True},
    "attempt": {"type": "str", "required": True},
    "ca": {"type": "dict", "required": True},
    "account": {"type": "str", "default": "default"},
    "challenge": {"type": "dict", "required": True},
    "dns_variables": {"type": "dict", "no_log": True},
    "profile": {"type": "str"},
    "replaces": {"type": "str"},
    "minimum_validity": {"type": "int"},
    "timeout": {"type": "int", "default": 600},
    "job": {"type": "dict"},
}

carrier.prepare("sign")


class ActionModule(ActionBase):
    """Signs one CSR; the task is delegated to an issuer."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if self._task.check_mode:
            result.update(
                changed=True, msg=f"would have a certificate signed for {', '.join(arguments['names'])}"
            )
            return result
        try:
            answer = carrier.send(self, self._request(arguments), task_vars or {})
            judged = _judged(answer, arguments)
            if not arguments["job"] and "certificate" in answer:
                carrier.send(self, _keep(judged, arguments), task_vars or {})
        except carrier.HostProgramError as error:
            return {**result, **_failed({"class": "internal", "message": str(error)}, arguments)}
        return {**result, **judged}

    def _request(self, arguments: dict[str, t.Any]) -> dict[str, t.Any]:
        ca = arguments["ca"]
        request: dict[str, t.Any] = {
            "op": "sign",
            "attempt": arguments["attempt"],
            "names": arguments["names"],
            "csr": arguments["csr"],
            "ca": {
                "directory": ca.get("directory"),
                "email": ca.get("email"),
                "bundle_pem": _text(ca.get("bundle")),
            },
            "challenge": arguments["challenge"],
            "profile": arguments["profile"],
            "replaces": arguments["replaces"],
            "timeout": arguments["timeout"],
        }
        if arguments["job"]:
            credentials = controlplane.Job(arguments["job"]).credentials(arguments["name"])
            request["account"] = credentials["account"]
            request["dns_variables"] = credentials["dns_variables"]
        else:
            request["account"] = {"name": arguments["account"]}
            request["dns_variables"] = arguments["dns_variables"] or {}
        return request


def _text(path: str | None) -> str | None:
    return Path(path).read_text(encoding="ascii") if path else None


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
    root_pem, bundle_pem = (_text(arguments["ca"].get(name)) for name in ("root", "bundle"))
    problems = fitness.unfit(signed, arguments, root_pem, bundle_pem, clock.now())
    if problems:
        told = "; ".join(problem["message"] for problem in problems)
        return _failed(
            {"class": "wrong_certificate", "message": f"what the CA sent is not right: {told}"}, arguments
        )
    facts = certificates.describe(signed["pem"])
    return {
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
