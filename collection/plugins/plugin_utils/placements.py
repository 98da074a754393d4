# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which deployments a server has, and which version each is to serve."""

from __future__ import annotations

import typing as t

from ..module_utils.host.handshake import probe_name
from . import waves

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_LISTENERS = ["*:443"]


def _version(variables: Mapping[str, t.Any]) -> str | None:
    """The fingerprint that is to be served: given by the plan, or signed earlier in this run."""
    if variables.get("certificate_fingerprint"):
        return str(variables["certificate_fingerprint"])
    for name in ("issue_signed", "issue_request"):
        certificate = (variables.get(name) or {}).get("certificate")
        if certificate:
            return str(certificate["fingerprint_sha256"])
    return None


def _names(wish: Mapping[str, t.Any], variables: Mapping[str, t.Any]) -> list[str]:
    """The names to ask for: the configured ones, else the certificate's own."""
    own = list(variables.get("certificate_names") or [])
    names = list(wish.get("names") or own)
    return names if any(probe_name(name) for name in names) else names + own


def deployments(
    hostvars: Mapping[str, Mapping[str, t.Any]],
    certificates: Sequence[str],
    server: str,
    play_hosts: Sequence[str] | None = None,
    any_version: bool = False,
) -> list[dict[str, t.Any]]:
    """The deployments of one server, ready for the module `certificate_deploy`.

    A certificate that this run should have signed and did not is left out: there is nothing
    to deploy, unless `any_version` will do (what is put back has been deployed once). The names of
    a deployment default to those of its certificate. With the hosts of the play each also has its
    wave.
    """
    found = []
    for certificate in certificates:
        variables = hostvars[certificate]
        fingerprint = _version(variables)
        if fingerprint is None and not any_version:
            continue
        wishes = variables.get("certificate_deployments") or []
        mine = [wish for wish in wishes if wish.get("server") == server]
        turn = _turn(certificate, variables, server, play_hosts) if mine and play_hosts is not None else {}
        for wish in mine:
            found.append(  # noqa: PERF401 - a dict of this size reads better as a statement
                {
                    **turn,
                    **({"wave": 1} if turn and wish.get("urgent") else {}),
                    "id": wish.get("id"),
                    "certificate": certificate,
                    "fingerprint": fingerprint,
                    "issuer": variables.get("certificate_issuer"),
                    "key_type": str(variables.get("certificate_key_type") or "ec").partition("-")[0],
                    "service": wish["service"],
                    "names": _names(wish, variables),
                    "listeners": list(wish.get("listeners") or DEFAULT_LISTENERS),
                    "files": [dict(entry) for entry in wish.get("files") or []],
                }
            )
    return found


def _turn(
    certificate: str, variables: Mapping[str, t.Any], server: str, play_hosts: Sequence[str] | None
) -> dict[str, int]:
    """When it is this server's turn, and how many failures on others hold it back."""
    wishes = variables.get("certificate_deployments") or []
    servers = waves.in_order((str(wish.get("server")) for wish in wishes), play_hosts)
    steps = waves.steps(variables.get("certificate_waves"), certificate)
    allowed = waves.percentage(variables.get("certificate_max_fail_percentage"), certificate)
    wave = waves.number(servers, server, steps) if server in servers else 1
    return {"wave": wave, "max_fail_percentage": allowed}


def challenges(
    hostvars: Mapping[str, Mapping[str, t.Any]], certificates: Sequence[str], server: str
) -> list[dict[str, t.Any]]:
    """What one server must answer for http-01 by itself: for each account, the names by service.

    Only certificates that are to be signed in this run count; each entry is what the module
    `acme_challenge_answer` takes.
    """
    wanted: dict[str, dict[str, list[str]]] = {}
    for certificate in certificates:
        variables = hostvars[certificate]
        challenge = variables.get("certificate_challenge") or {}
        thumbprint = variables.get("certificate_thumbprint") or (variables.get("issue_request") or {}).get(
            "thumbprint"
        )
        if challenge.get("mode") != "stateless" or not thumbprint:
            continue
        for wish in variables.get("certificate_deployments") or []:
            if wish.get("server") != server:
                continue
            names = wanted.setdefault(str(thumbprint), {}).setdefault(str(wish["service"]), [])
            names += [name for name in variables["certificate_names"] if name not in names]
    return [{"thumbprint": thumbprint, "services": services} for thumbprint, services in wanted.items()]
