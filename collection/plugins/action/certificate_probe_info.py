# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of `certificate_probe_info`: asks from the controller itself, or from the host."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.host import handshake, probe, starttls
from ..module_utils.host.errors import HostError, Refused
from ..plugin_utils import carrier, discovery, seen

ARGUMENTS: dict[str, t.Any] = {
    "endpoints": {"type": "list", "elements": "dict"},
    "deployments": {"type": "list", "elements": "dict"},
    "networks": {"type": "list", "elements": "str"},
    "ports": {"type": "list", "elements": "str"},
    "names": {"type": "list", "elements": "str", "default": []},
    "address": {"type": "str"},
    "source": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
    "timeout": {"type": "int", "default": 5},
    "connect_timeout": {"type": "int"},
    "limit": {"type": "int", "default": 300},
    "stapling": {"type": "bool", "default": False},
    "require_match": {"type": "bool", "default": False},
}

carrier.prepare("probe")


class ActionModule(ActionBase):
    """Makes handshakes; changes nothing."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Returns what docs/developer/contracts.md §2 says."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec=ARGUMENTS, required_one_of=[["endpoints", "deployments", "networks"]]
        )
        try:
            request, unseen = _request(arguments)
        except HostError as error:
            raise AnsibleError(error.message) from error
        if arguments["source"] == "controller":
            answer = probe.run(request)
        else:
            answer = carrier.send(self, {"op": "probe", **request}, task_vars or {})
        wrong = [one for one in answer["endpoints"] if one["matches"] is False]
        result.update(
            changed=False,
            endpoints=answer["endpoints"],
            certificates=seen.described(answer["endpoints"]),
            discovery=answer.get("discovery"),
            unseen=unseen,
            msg=_summary(answer, len(wrong), len(unseen)),
        )
        if wrong and arguments["require_match"]:
            result["failed"] = True
            result["msg"] += ": " + "; ".join(_sentence(one) for one in wrong[:10])
        return seen.bounded(result)


def _request(arguments: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[str]]:
    """What the prober is asked, and the listeners that cannot be seen from where it asks."""
    endpoints = [_checked(number, one) for number, one in enumerate(arguments["endpoints"] or [], 1)]
    unseen: list[str] = []
    for deployment in arguments["deployments"] or []:
        for one in _of_deployment(deployment, arguments["address"] or "127.0.0.1"):
            if arguments["source"] == "controller" and _is_loopback(one["address"]):
                place = f"{one['address']}:{one['port']}"
                unseen.append(f"{deployment.get('id') or '-'} {deployment.get('service')} {place}")
            else:
                endpoints.append(one)
    request: dict[str, t.Any] = {
        "endpoints": list({repr(sorted(one.items())): one for one in endpoints}.values()),
        "discover": discovery.places(arguments["networks"] or [], arguments["ports"]),
        "names": _names(arguments["names"]),
        **{name: arguments[name] for name in ("timeout", "limit", "stapling")},
    }
    connect = arguments["connect_timeout"]
    if connect is None and arguments["networks"]:
        connect = 2  # an address of a network where nobody is does not even refuse
    if connect is not None:
        request["connect_timeout"] = connect
    return request, list(dict.fromkeys(unseen))


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in {"::1", "localhost"}


def _names(names: list[str]) -> list[str]:
    asked = []
    for name in names:
        concrete = handshake.probe_name(name)
        if concrete is None:
            raise Refused("bad_name", f"{name!r} is no name that can be asked for")
        asked.append(concrete)
    return list(dict.fromkeys(asked))


def _checked(number: int, one: dict[str, t.Any]) -> dict[str, t.Any]:
    """An endpoint of the user's, as the prober takes it; raises Refused with a sentence where it is none."""
    try:
        port = int(one["port"])
        address = str(one["address"]).strip("[]")
    except (KeyError, ValueError, TypeError) as error:
        raise Refused("bad_endpoint", f"endpoint {number} needs an address and a port") from error
    protocol = one.get("starttls")
    if not address or not 0 < port < 65536 or (protocol is not None and protocol not in starttls.PROTOCOLS):
        raise Refused(
            "bad_endpoint", f"endpoint {number} cannot be asked: {address}:{port}/{protocol or 'tls'}"
        )
    return {**one, "address": address, "port": port, "name": one.get("name") or None}


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
    ]


def _summary(answer: dict[str, t.Any], wrong: int, unseen: int) -> str:
    served = sum(one["state"] == "served" for one in answer["endpoints"])
    told = f"{served} of {len(answer['endpoints'])} endpoints show a certificate, {wrong} show something else"
    counts = answer.get("discovery")
    if counts:
        told += f"; {counts['asked']} places looked at: {counts['closed']} closed"
        told += f", {counts['without_tls']} without TLS"
        told += f", {counts['not_asked']} not asked in time" if counts["not_asked"] else ""
    return told + (f"; {unseen} on the host's own loopback cannot be seen from here" if unseen else "")


def _sentence(endpoint: dict[str, t.Any]) -> str:
    place = f"{endpoint['address']}:{endpoint['port']} for {endpoint['name'] or 'no name'}"
    shown = endpoint["fingerprint_sha256"]
    return f"{place} shows {shown[:16] if shown else endpoint['error']}"
