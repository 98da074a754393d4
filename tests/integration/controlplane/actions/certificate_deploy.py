"""Stand-in for the deploy module: fetches bundles with the job's token, notes what is served."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from cryptography import x509
from cryptography.hazmat.primitives import hashes


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Deploys what belongs to one server."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Return what the contract says."""
        result = super().run(tmp, task_vars)
        world = Path(task_vars["world"])
        host = task_vars["inventory_hostname"]
        behaviour = _read(world / "behaviour.json").get(host, "")
        if behaviour == "unreachable":
            raise AnsibleConnectionFailure("no route to host")
        if behaviour.startswith("sleep"):
            time.sleep(float(behaviour.removeprefix("sleep")))
        outcomes = [
            _deploy(world, self._task.args["job"], name, wish, _fingerprint(variables), behaviour)
            for name, variables, wish in _wishes(task_vars["hostvars"], self._task.args["certificates"], host)
        ]
        failed = any(one["state"] not in ("deployed", "unchanged", "staged") for one in outcomes)
        return {**result, "changed": True, "failed": failed, "deployments": outcomes, "recovered": []}


def _wishes(hostvars: Any, certificates: Any, host: Any) -> Any:
    for name in certificates:
        variables = hostvars[name]
        if _fingerprint(variables) is None:
            continue
        for wish in variables.get("certificate_deployments") or []:
            if wish["server"] == host:
                yield name, variables, wish


def _fingerprint(variables: Any) -> Any:
    if variables.get("certificate_fingerprint"):
        return str(variables["certificate_fingerprint"])
    pem = ((variables.get("signed") or {}).get("certificate") or {}).get("pem")
    if not pem:
        return None
    return x509.load_pem_x509_certificate(str(pem).encode()).fingerprint(hashes.SHA256()).hex()


def _deploy(world: Any, job: Any, name: Any, wish: Any, fingerprint: Any, behaviour: Any) -> Any:  # noqa: PLR0917 -- one parameter a fact
    state, reason = "deployed", ""
    if behaviour in ("rolled_back", "blocked_by_host", "conflict", "busy"):
        state, reason = behaviour, {"rolled_back": "not_served"}.get(behaviour, behaviour)
        live = _served(world, wish["id"])
    else:
        bundle = _bundle(job, name, fingerprint)
        assert bundle["fingerprint_sha256"] == fingerprint
        assert "PRIVATE KEY" in bundle["private_key"]
        (world / f"served-{wish['id']}").write_text(fingerprint)
        live = fingerprint
    return {
        "id": str(wish["id"]),
        "certificate": name,
        "state": state,
        "reason": reason,
        "message": f"the host says {state}",
        "live_fingerprint": live,
        "seconds": 0.1,
    }


def _served(world: Any, deployment: Any) -> Any:
    path = world / f"served-{deployment}"
    return path.read_text() if path.exists() else None


def _bundle(job: Any, name: Any, fingerprint: Any) -> Any:
    url = f"{job['api_url']}/api/v1/jobs/{job['id']}/bundle/{name}?fingerprint={fingerprint}"
    request = urllib.request.Request(url)  # noqa: S310 -- our own API
    request.add_header("Authorization", f"Bearer {Path(job['token_file']).read_text()}")
    for _ in range(50):
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 -- our own API
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            time.sleep(0.1)
    raise RuntimeError("the version never came on record")


def _read(path: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else {}
