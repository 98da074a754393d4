"""The lab as an Ansible inventory: who has acme.sh, who serves TLS, how to reach them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.fleet import Fleet


def render(fleet: Fleet, addresses: Mapping[str, str], folder: Path) -> str:
    issuers = [host.name for host in fleet.hosts if host.issuer]
    servers = [host.name for host in fleet.hosts if host.services]
    everyone = [host.name for host in fleet.hosts]
    ssh = (
        f"-F none -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes"
        " -o IdentitiesOnly=yes -o ConnectTimeout=10"
    )
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": f"{folder}/id",
        "ansible_ssh_common_args": ssh,
        "ansible_control_path_dir": f"{folder}/cp",
    }
    lines = ["---", "all:", "  hosts:"]
    for name in everyone:
        lines += [f"    {name}:", f"      ansible_host: {json.dumps(addresses[name])}"]
    lines += ["  vars:"]
    lines += [f"    {name}: {json.dumps(value)}" for name, value in variables.items()]
    lines += ["  children:", *_group("issuers", issuers), *_group("servers", servers)]
    return "\n".join(lines) + "\n"


def _group(name: str, members: list[str]) -> list[str]:
    if not members:
        return [f"    {name}: {{}}"]
    return [f"    {name}:", "      hosts:", *(f"        {member}: {{}}" for member in members)]
