"""Stand-in for the scan module: returns what a test has put on the host."""

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Scans one server."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Return what the contract says."""
        result = super().run(tmp, task_vars)
        world = Path(task_vars["world"])
        host = task_vars["inventory_hostname"]
        behaviour = world / "behaviour.json"
        if behaviour.exists() and json.loads(behaviour.read_text()).get(host) == "unreachable":
            raise AnsibleConnectionFailure("no route to host")
        return {**result, "changed": False, **json.loads((world / f"scan-{host}.json").read_text())}
