# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_scan_info`: sends the scan, parses what it found."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils import carrier, certificates, clock

ARGUMENTS: dict[str, t.Any] = {
    "timeout": {"type": "int", "default": 60},
    "handshakes": {"type": "bool", "default": True},
    "paths": {"type": "dict", "default": {}},
}

carrier.prepare("scan")


class ActionModule(ActionBase):
    """Scans one host in one round trip."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            found = carrier.send(self, {"op": "scan", **arguments}, task_vars or {})
        except carrier.HostProgramError as error:
            return {**result, "failed": True, "msg": str(error), "reason": error.kind}
        complete = certificates.complete(found, clock.now())
        # Ansible has a result key `warnings` of its own, and makes plain text of what stands there.
        complete["unresolved"] = complete.pop("warnings")
        return {**result, "changed": False, **complete}
