"""Each Molecule scenario, in the network of a lab: converged, idempotent, verified."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import by_hand

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.fixtures import RaiseLab

SCENARIOS = sorted(path.parent.name for path in (by_hand.TREE / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_passes(raise_lab: RaiseLab, tmp_path: Path, scenario: str) -> None:
    lab = raise_lab()
    by_hand.write(lab, lab.sites, tmp_path / "wishes")
    package = tmp_path / "package.json"
    package.write_text(f'{{"acme_sh_package": "{lab.acme_sh_package}"}}', encoding="utf-8")
    programs = by_hand.TREE / ".venv" / "bin"
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "NOTAFTER_LAB_INVENTORY": str(lab.inventory),
        "NOTAFTER_WISHES": str(tmp_path / "wishes"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "HOME": str(tmp_path),
    }
    command = [str(programs / "molecule"), "test", "--scenario-name", scenario, "--", "-e", f"@{package}"]
    done = lab.run(command, env=env, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    for site in lab.sites:
        assert lab.served_site(site) != lab.first_fingerprints[site.key]
