"""Asks Ansible which servers the operator's own inventory has."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from notafter.domain.errors import InvalidName, RunnerError
from notafter.domain.names import inventory_name
from notafter.runner import run
from notafter.runner.run import Workshop

_TIMEOUT_SECONDS = 120
GROUP = "servers"


def servers(workshop: Workshop) -> list[str]:
    """Return the members of the group `servers`, those of its children too."""
    if workshop.inventory is None:
        raise RunnerError("no inventory is set: set NOTAFTER_INVENTORY to the one of your fleet")
    if not workshop.inventory.exists():
        raise RunnerError(f"there is no inventory {workshop.inventory}: set NOTAFTER_INVENTORY")
    found = _members(_listed(workshop), GROUP, set())
    names = []
    for name in dict.fromkeys(found):
        try:
            names.append(inventory_name(name))
        except InvalidName as error:
            raise RunnerError(f"{workshop.inventory}: {error}") from error
    return names


def _listed(workshop: Workshop) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="notafter-") as folder:
        command = [
            str(Path(sys.executable).parent / "ansible-inventory"),
            "--list",
            "--inventory",
            str(workshop.inventory),
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                check=False,
                cwd=workshop.project,
                env=run.environment(Path(folder), "none"),
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunnerError(f"the inventory cannot be read: {error}") from error
    if done.returncode:
        raise RunnerError(f"the inventory cannot be read: {done.stderr.decode('utf-8', 'replace')[-500:]}")
    answer = json.loads(done.stdout)
    return answer if isinstance(answer, dict) else {}


def _members(groups: dict[str, Any], name: str, met: set[str]) -> list[str]:
    if name in met:
        return []
    met.add(name)
    group = groups.get(name) or {}
    own = [str(host) for host in group.get("hosts", [])]
    return own + [host for child in group.get("children", []) for host in _members(groups, child, met)]
