# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `acme_account`: sends the wish for an ACME account, tells what became of it."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.host import acme_account
from ..plugin_utils import carrier, controlplane, roots

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": list(acme_account.STATES), "default": "present"},
    "ca": {"type": "dict", "required": True},
    "account": {"type": "str", "default": "default"},
    "eab_hmac_key": {"type": "str", "no_log": True},
    "key_type": {"type": "str", "default": "ec-256"},
    "timeout": {"type": "int", "default": 600},
    "name": {"type": "str"},
    "job": {"type": "dict"},
}

carrier.prepare("acme_account")


class ActionModule(ActionBase):
    """Brings one account into a state; the task is delegated to the issuer that keeps its key."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns `account`, or `failure` as for signing."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec=ARGUMENTS, required_together=[("name", "job")]
        )
        request = {
            "op": "acme_account",
            "ca": _ca(arguments["ca"]),
            "account": _account(arguments),
            "check": bool(self._task.check_mode),
            **{name: arguments[name] for name in ("state", "key_type", "timeout")},
        }
        try:
            answer = carrier.send(self, request, task_vars or {})
        except carrier.HostProgramError as error:
            answer = {"failure": {"class": "internal", "message": str(error)}}
        return {**result, **_told(answer)}


def _ca(ca: dict[str, t.Any]) -> dict[str, t.Any]:
    told = {name: ca.get(name) for name in ("directory", "email", "eab_key_id")}
    return {**told, "bundle_pem": roots.text_of(ca.get("bundle"))}


def _account(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    if arguments["job"]:
        found: dict[str, t.Any] = controlplane.Job(arguments["job"]).credentials(arguments["name"])["account"]
        return found
    return {"name": arguments["account"], "eab_hmac_key": arguments["eab_hmac_key"]}


def _told(answer: dict[str, t.Any]) -> dict[str, t.Any]:
    if "failure" in answer:
        failure = {"type": None, "identifier": None, "retry_after": None, **answer["failure"]}
        return {"failed": True, "msg": f"{failure['class']}: {failure['message']}", "failure": failure}
    return {
        "changed": answer["changed"],
        "msg": answer["message"],
        "account": answer["account"],
        "seconds": answer.get("seconds"),
    }
