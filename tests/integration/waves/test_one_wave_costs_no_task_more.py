"""What waves cost where nothing comes in waves: counted in results, as each costs the controller time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parents[3]
HOSTS = ("web1", "web2", "web3")


def test_a_host_without_later_waves_has_one_deploy_and_one_look_and_is_sent_nothing_else(
    tmp_path: Path,
) -> None:
    inventory = tmp_path / "inventory.json"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory.write_text(
        json.dumps({"servers": {"hosts": dict.fromkeys(HOSTS, here)}, "certificates": {"hosts": {}}})
    )
    program = TREE / ".venv" / "bin" / "ansible-playbook"
    run = subprocess.run(
        [str(program), str(TREE / "playbooks" / "deploy.yml"), "-i", str(inventory)],
        env={
            "ANSIBLE_CONFIG": str(TREE / "ansible.cfg"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "HOME": str(tmp_path),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    counted = re.findall(r"^(\S+)\s+: ok=(\d+) .*skipped=(\d+)", run.stdout, re.MULTILINE)
    # the deploy, the check of what the look is given, and the look; what is left out are the later waves
    assert counted == [(host, "3", "1") for host in HOSTS], run.stdout
    assert "later.yml" not in run.stdout
