"""Stand-in for the probe module: tells what the deploy stand-in has put there."""

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Looks at one server from outside."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Return what the contract says."""
        result = super().run(tmp, task_vars)
        host = task_vars["inventory_hostname"]
        endpoints = []
        for name in self._task.args["certificates"]:
            variables = task_vars["hostvars"][name]
            for wish in variables.get("certificate_deployments") or []:
                if wish["server"] == host:
                    path = Path(task_vars["world"]) / f"served-{wish['id']}"
                    seen = path.read_text() if path.exists() else None
                    wanted = str(variables["certificate_fingerprint"])
                    endpoints.append(
                        {
                            "id": str(wish["id"]),
                            "state": "served" if seen else "failed",
                            "error": None if seen else "refused",
                            "fingerprint_sha256": seen,
                            "expected_fingerprint": wanted,
                            "matches": seen == wanted,
                        }
                    )
        return {**result, "changed": False, "endpoints": endpoints}
