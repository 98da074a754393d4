# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_probe_info`: asks from the controller itself, or from the host."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.host import handshake, probe
from ..module_utils.host.errors import HostError
from ..plugin_utils import carrier

ARGUMENTS: dict[str, t.Any] = {
    "endpoints": {"type": "list", "elements": "dict"},
    "deployments": {"type": "list", "elements": "dict"},
    "address": {"type": "str"},
    "source": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
    "timeout": {"type": "int", "default": 5},
    "require_match": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Makes handshakes; changes nothing."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec=ARGUMENTS, required_one_of=[["endpoints", "deployments"]]
        )
        try:
            endpoints = list(arguments["endpoints"] or [])
            for deployment in arguments["deployments"] or []:
                endpoints += _of_deployment(deployment, arguments["address"] or "127.0.0.1")
        except HostError as error:
            raise AnsibleError(error.message) from error
        request = {
            "op": "probe",
            "endpoints": [{"timeout": arguments["timeout"], **one} for one in endpoints],
        }
        answer = (
            probe.run(request) if arguments["source"] == "controller" else self._from_host(request, task_vars)
        )
        wrong = [one for one in answer["endpoints"] if one["matches"] is False]
        result.update(
            changed=False,
            endpoints=answer["endpoints"],
            msg=f"{len(answer['endpoints'])} asked, {len(wrong)} show something else",
        )
        if wrong and arguments["require_match"]:
            result["failed"] = True
            result["msg"] += ": " + "; ".join(_sentence(one) for one in wrong[:10])
        return result

    def _from_host(self, request: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        return carrier.send(self, request, task_vars or {})


def _of_deployment(deployment: dict[str, t.Any], address: str) -> list[dict[str, t.Any]]:
    return [
        {
            "id": deployment.get("id"),
            "address": endpoint.address,
            "port": endpoint.port,
            "starttls": endpoint.starttls,
            "name": endpoint.name,
            "key_type": deployment.get("key_type"),
            "expected_fingerprint": deployment.get("fingerprint"),
        }
        for endpoint in handshake.endpoints(deployment["listeners"], deployment["names"], wildcard=address)
        if not endpoint.address.startswith("127.") and endpoint.address not in ("::1", "localhost")
        # what listens on the host's own loopback cannot be seen from outside
    ]


def _sentence(endpoint: dict[str, t.Any]) -> str:
    place = f"{endpoint['address']}:{endpoint['port']} for {endpoint['name'] or 'no name'}"
    shown = endpoint["fingerprint_sha256"]
    return f"{place} shows {shown[:16] if shown else endpoint['error']}"
