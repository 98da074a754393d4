# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_request`: a key and CSR where a new certificate is due."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils import carrier, certificates, clock, due, roots

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "key_type": {"type": "str", "default": "ec-256"},
    "renew_before": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "account": {"type": "str", "default": "default"},
    "ca": {"type": "dict"},
    "challenge": {"type": "dict"},
}

carrier.prepare("request")


class ActionModule(ActionBase):
    """Decides and prepares; the task is delegated to the host that keeps the key."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        try:
            held = carrier.send(self, {"op": "bundle", "name": arguments["name"]}, variables)["bundle"]
            current = None if held is None else certificates.describe(held["certificate"])
            now = clock.now()
            reason = "forced" if arguments["force"] else due.why_due(current, arguments, now)
            if reason is None and held is not None and held.get("revoked"):
                reason = "the present one was revoked"
            result.update(
                changed=False,
                due=reason is not None,
                reason=reason or due.why_not(current),
                key_type=arguments["key_type"],
                certificate=None if held is None or current is None else _described(held, current),
                csr=None,
                attempt=None,
                thumbprint=None,
            )
            if reason is None or self._task.check_mode:
                result["changed"] = reason is not None
                return result
            result.update(carrier.send(self, _request(arguments), variables))
        except carrier.HostProgramError as error:
            result.update(failed=True, msg=str(error), reason=error.kind)
            return result
        result["changed"] = True
        return result


def _request(arguments: dict[str, t.Any]) -> dict[str, t.Any]:
    request = {key: arguments[key] for key in ("name", "names", "key_type", "account")}
    if (arguments["challenge"] or {}).get("mode") == "stateless":
        ca = arguments["ca"] or {}
        request["ca"] = {"directory": ca.get("directory"), "bundle_pem": roots.text_of(ca.get("bundle"))}
    return {"op": "request", **request}


def _described(held: dict[str, t.Any], facts: dict[str, t.Any]) -> dict[str, t.Any]:
    kept = {
        name: facts[name] for name in ("serial", "issuer", "names", "not_before", "not_after", "key_type")
    }
    return {
        "pem": held["certificate"],
        "chain_pem": held["chain"],
        "fingerprint_sha256": held["fingerprint_sha256"],
        **kept,
    }
