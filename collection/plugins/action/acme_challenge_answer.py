# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `acme_challenge_answer`: sends the thumbprint, tells who does not answer."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils import carrier

ARGUMENTS: dict[str, t.Any] = {
    "thumbprint": {"type": "str", "required": True},
    "services": {"type": "dict", "required": True},
}

carrier.prepare("answer")


class ActionModule(ActionBase):
    """Lets the servers of a host answer http-01; the CA has the last word, so nothing fails here."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns `answers`: one for each service."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        request = {"op": "answer", "check": bool(self._task.check_mode), **arguments}
        try:
            answers = carrier.send(self, request, task_vars or {})["answers"]
        except carrier.HostProgramError as error:
            answers = [
                {"service": name, "state": "failed", "message": str(error)} for name in arguments["services"]
            ]
        silent = [answer for answer in answers if answer["state"] == "failed"]
        result.update(
            changed=any(answer["state"] in ("changed", "planned") for answer in answers),
            answers=answers,
            msg="; ".join(f"{answer['service']}: {answer['message']}" for answer in answers),
        )
        if silent:
            result["warnings"] = [f"{answer['service']} {answer['message']}" for answer in silent]
        return result
