"""What a host says is data: a template, a shell word or an option in it never does anything (M1, M2)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from notafter.domain.certificate import Challenge, ChallengeType
from notafter.domain.errors import InvalidInput
from notafter.domain.job import JobKind
from notafter.lifecycle import adopt
from notafter.lifecycle.adopt import Terms
from notafter.runner.plan import Plan, PlannedCertificate, PlannedDeployment, extra_variables, inventory
from notafter.store import certificates

from tests.factories import binding
from tests.integration.controlplane.stage import Stage

BIN = Path(sys.executable).parent
ECHO = """---
- hosts: certificates
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ [certificate_names, certificate_deployments, notafter_job] | to_json }}"
        dest: "{{ echo }}"
      delegate_to: localhost
"""


def bait(touched: Path) -> list[str]:
    """Texts that would make a file if anything ran them."""
    return [
        f"{{{{ lookup('pipe', 'touch {touched}') }}}}",
        f"{{% for x in lookup('pipe', 'touch {touched}') %}}{{% endfor %}}",
        f"'; touch {touched}; '",
        f"$(touch {touched})",
        f"!unsafe {{{{ lookup('pipe', 'touch {touched}') }}}}",
        f"{{# x #}}`touch {touched}`",
        "-e@/etc/passwd",
        "\x1b[2J\u202e\u0000",
    ]


def plan(texts: list[str]) -> Plan:
    place = PlannedDeployment(
        "dep-1", "web1", texts[0], tuple(texts), tuple(texts), tuple({"path": t} for t in texts)
    )
    return Plan(
        JobKind.DEPLOY, 1, (PlannedCertificate("crt-1", tuple(texts), texts[0], (place,)),), ("web1",)
    )


def write(folder: Path, made: Plan, api_url: str) -> list[str]:
    (folder / "inventory.json").write_text(inventory(made, folder))
    (folder / "extra.json").write_text(extra_variables(made, api_url, folder))
    return ["-i", str(folder / "inventory.json"), "-e", f"@{folder / 'extra.json'}"]


def test_a_template_in_a_plan_stays_text_through_a_real_play(tmp_path: Path) -> None:
    touched, echo = tmp_path / "touched", tmp_path / "echo"
    texts = bait(touched)
    arguments = write(tmp_path, plan(texts), texts[0])
    (tmp_path / "play.yml").write_text(ECHO)
    subprocess.run(
        [BIN / "ansible-playbook", *arguments, "-e", f"echo={echo}", str(tmp_path / "play.yml")],
        check=True,
        capture_output=True,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )
    names, places, job = json.loads(echo.read_text())
    assert names == texts
    assert places[0]["listeners"] == texts
    assert job["api_url"] == texts[0]
    assert not touched.exists()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=30))
def test_any_text_passes_a_real_inventory_unchanged(tmp_path: Path, texts: list[str]) -> None:
    arguments = write(tmp_path, plan(texts), "x")
    done = subprocess.run(
        [BIN / "ansible-inventory", "--list", "--export", *arguments[:2]],
        check=True,
        capture_output=True,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )
    seen = json.loads(done.stdout)["_meta"]["hostvars"]["crt-1"]["certificate_names"]
    assert [one["__ansible_unsafe"] if isinstance(one, dict) else one for one in seen] == texts


def test_a_hostile_server_is_stored_adopted_and_shown_without_effect(stage: Stage) -> None:
    touched = stage.folder / "touched"
    texts = bait(touched)
    pem = stage.ca.issue("shop.example").certificate
    one = binding(pem, texts[0], names=tuple(texts), listeners=tuple(texts))
    one["config_file"] = texts[1]
    one["problems"] = [{"kind": texts[0], "message": texts[1]}]
    stage.found("web1", (pem, one))
    assert stage.adopt_all() == ["crt-1"]
    stage.renewing()
    for words in (("deployments",), ("servers",), ("deployments", "--json")):
        shown = stage.command(*words)
        assert shown.returncode == 0
        assert not any(mark in shown.stdout for mark in ("\x1b", "\u202e", "\0")), words
    with stage.database.read() as session:
        (place,) = certificates.get(session, 1).deployments
        assert (place.path, place.names) == (texts[0], texts)
    assert not touched.exists()


def test_what_acme_sh_could_never_be_asked_for_is_not_adopted(stage: Stage) -> None:
    pem = stage.ca.issue("intranet").certificate
    stage.found("web1", (pem, binding(pem)))
    assert stage.adopt_all() == []
    with stage.database.write() as session:
        challenge = Challenge(ChallengeType.DNS_01, "dns_x")
        with pytest.raises(InvalidInput, match="crt-1: intranet has no domain"):
            adopt.adopt(session, [1], Terms("main", challenge, "main"), stage.clock())
        certificates.get(session, 1).names = ["shop.example"]
        with pytest.raises(InvalidInput, match="is no profile"):
            adopt.adopt(session, [1], Terms("main", challenge, "main", profile="a b"), stage.clock())
