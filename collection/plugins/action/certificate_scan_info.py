# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_scan_info`: sends the scan, reads what it found, in pages."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils import bounds, carrier, certificates, clock, pages

ARGUMENTS: dict[str, t.Any] = {
    "timeout": {"type": "int", "default": 60},
    "handshakes": {"type": "bool", "default": True},
    "paths": {"type": "dict", "default": {}},
    "page": {"type": "str"},
}
_MARKS = 20_000  # what a page has beside what was found: the tokens of the others
_ROLE = "notafter.tls.scan"

carrier.prepare("scan")


class ActionModule(ActionBase):
    """Scans one host in one round trip."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        token, host = arguments.pop("page"), str(variables.get("inventory_hostname"))
        if token is not None:
            return {**result, "changed": False, **pages.take(host, token)}
        try:
            found = carrier.send(self, {"op": "scan", **arguments}, variables)
        except carrier.HostProgramError as error:
            return {**result, "failed": True, "msg": str(error), "reason": error.kind}
        complete = certificates.complete(found, clock.now())
        first, *further = pages.stamped(
            list(map(_named, bounds.pages(complete, bounds.RESULT_LIMIT - _MARKS)))
        )
        return {**result, "changed": False, **first, **self._told(host, further)}

    def _told(self, host: str, further: list[pages.Page]) -> dict[str, t.Any]:
        """What a first page says of the others."""
        if not further:
            return {}
        tokens = pages.keep(host, further)
        told = f"{host} has more certificates than one result can hold: this is page 1 of {len(further) + 1}"
        if len(tokens) < len(further):
            told += f", and the controller has no room for {len(further) - len(tokens)} of them"
        if not self._in_our_role():
            told += f"; use the role {_ROLE}, or call the module again with `page` for each of `more_pages`"
            return {"msg": told, "more_pages": tokens, "warnings": [told]}
        return {"msg": told, "more_pages": tokens}

    def _in_our_role(self) -> bool:
        role = self._task._role
        return role is not None and role.get_name() == _ROLE


def _named(page: dict[str, t.Any]) -> dict[str, t.Any]:
    """A page as a result: Ansible has a key `warnings` of its own, and makes plain text of what is there."""
    page["unresolved"] = page.pop("warnings")
    return page
