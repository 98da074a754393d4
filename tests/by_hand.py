"""What an ops team would write to run the playbooks by hand against a lab."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.fleet import Challenge

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping, Sequence

    from tests.lab.fleet import Site
    from tests.lab.lab import Lab

TREE = Path(__file__).parents[1]


def challenge(site: Site) -> dict[str, Any]:
    """How a site's names are proved, as the variable `certificate_challenge` wants it."""
    if site.challenge is Challenge.DNS_01:
        return {"type": "dns-01", "provider": "dns_knot", "dns_sleep": 0}
    if site.webroot:
        return {"type": "http-01", "mode": "webroot", "webroot": site.document_root}
    return {"type": "http-01", "mode": "stateless"}


def certificate(site: Site, profile: str) -> dict[str, Any]:
    """The variables of one certificate."""
    return {
        "certificate_names": list(site.names),
        "certificate_key_type": str(site.key_type),
        "certificate_profile": profile,
        "certificate_challenge": challenge(site),
        "certificate_deployments": [
            {
                "server": host,
                "service": str(site.service),
                "names": list(site.names),
                "listeners": [f"*:{site.port}"],
                "files": [{"path": file.path, "kind": file.kind} for file in site.files],
            }
            for host in site.hosts
        ],
    }


def write(lab: Lab, sites: Iterable[Site], folder: Path, profile: str = "default") -> list[str]:
    """Writes the certificates and the secrets; returns the arguments that name them to ansible-playbook."""
    folder.mkdir(exist_ok=True)
    inventory = folder / "certificates.yml"
    shared = {"certificate_ca": {"directory": lab.ca.directory_url, "bundle": str(lab.ca.https_root)}}
    hosts = {site.key: certificate(site, profile) for site in sites}
    group = {"hosts": hosts, "vars": shared}
    inventory.write_text(
        json.dumps({"all": {"children": {"certificates": group}}}, indent=1), encoding="utf-8"
    )
    secrets = folder / "secrets.json"
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps({"certificate_dns_variables": lab.dns.variables}), encoding="utf-8")
    return ["-i", str(lab.inventory), "-i", str(inventory), "-e", f"@{secrets}"]


def playbook(
    lab: Lab,
    name: str,
    arguments: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 900,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs one of the project's playbooks in the lab's network, as a person would."""
    program = TREE / ".venv" / "bin" / "ansible-playbook"
    env = {
        "ANSIBLE_CONFIG": str(TREE / "ansible.cfg"),
        "ANSIBLE_HOME": str(lab.folder / "ansible"),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        **(extra or {}),
    }
    command = [str(program), str(TREE / "playbooks" / f"{name}.yml"), *arguments]
    return lab.run(command, check=check, env=env, timeout=timeout)
