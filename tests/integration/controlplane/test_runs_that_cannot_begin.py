"""A run that Ansible cannot carry out ends every item with a reason that can be acted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from notafter.domain.errors import RunnerError
from notafter.domain.job import ItemState, JobKind
from notafter.lifecycle import request
from notafter.lifecycle.work import Worker
from notafter.runner import run
from notafter.runner.plan import Plan
from notafter.store import jobs

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage


def scan_with(stage: Stage, playbook: str | None, *hosts: str) -> dict[str, tuple[ItemState, str, str]]:
    """Scan with an operator's own playbook; return what the items say."""
    stage.project = stage.folder / "project"
    (stage.project / "playbooks").mkdir(parents=True)
    if playbook is not None:
        (stage.project / "playbooks" / "scan.yml").write_text(playbook)
    with stage.database.write() as session:
        request.scan(session, hosts or ("web1",), "test", stage.clock())
    assert Worker(stage.desk, stage.workshop, stage.clock).step()
    assert not any(stage.workshop.runtime.glob("*")), "no folder is left"
    with stage.database.read() as session:
        (job,) = jobs.page(session, None, 10)
        return {
            item.server.name: (item.state, item.reason or "", item.message or "")
            for item in job.items
            if item.server is not None
        }


def test_a_playbook_that_breaks_fails_every_item_with_ansibles_own_words(stage: Stage) -> None:
    told = scan_with(stage, "- hosts: servers\n  tasks: 17\n", "web1", "web2")
    assert {one[:2] for one in told.values()} == {(ItemState.FAILED, "run_failed")}
    assert all("tasks" in message for _, _, message in told.values())


def test_a_playbook_that_matches_no_host_is_not_a_success(stage: Stage) -> None:
    told = scan_with(stage, "- hosts: nobody\n  tasks: []\n")
    assert told["web1"][:2] == (ItemState.FAILED, "no_hosts")


def test_a_server_that_the_playbook_leaves_out_was_not_reached(stage: Stage) -> None:
    play = "- hosts: web1\n  gather_facts: false\n  tasks:\n    - ansible.builtin.debug: {msg: here}\n"
    told = scan_with(stage, play, "web1", "web2")
    assert told["web2"][:2] == (ItemState.FAILED, "not_reached")


def test_a_missing_playbook_is_named(stage: Stage) -> None:
    _, _, message = scan_with(stage, None)["web1"]
    assert "scan.yml" in message
    assert "NOTAFTER_PROJECT" in message


def test_the_folders_of_runs_are_ours_alone(stage: Stage) -> None:
    stage.workshop.runtime.mkdir(mode=0o755)
    stage.workshop.runtime.chmod(0o755)
    listener = run.Listener(lambda _: None, lambda _: None)
    wish = Plan(JobKind.SCAN, 1, (), ("web1",))
    with pytest.raises(RunnerError, match="not ours alone"):
        run.run(stage.workshop, wish, "token", "run", listener, lambda: False)
    assert list(stage.workshop.runtime.iterdir()) == []
