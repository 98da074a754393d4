"""I5: no key, token or password anywhere but under seal; a leaky playbook is caught (goal G)."""

import base64
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from notafter.custody.custodian import Place
from notafter.domain.errors import RunnerError
from notafter.domain.job import JobKind
from notafter.runner import run
from notafter.runner.plan import Plan
from notafter.store import certificates

from tests.integration.controlplane.stage import (
    DNS_SECRET,
    PLAYBOOKS,
    Stage,
    in_sync,
    one_certificate,
    wait_for,
)


def forms(secret: str) -> set[bytes]:
    """The ways in which a secret may lie around."""
    raw = secret.encode()
    body = b"".join(raw.splitlines()[1:-1]) if raw.startswith(b"-----") else raw
    middle = body[len(body) // 4 : len(body) // 4 + 24] if len(body) > 60 else body
    return {middle, base64.b64encode(middle)[:-4], middle.hex().encode()}


@contextmanager
def watching(folder: Path, seen: dict[str, bytes]) -> Iterator[None]:
    """Collect arguments and environments of all processes, and all files of the runs, while they live."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    for part in ("cmdline", "environ"):
                        keep(seen, entry / part)
            for path in folder.rglob("*"):
                keep(seen, path)
            time.sleep(0.05)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def keep(seen: dict[str, bytes], path: Path) -> None:
    """Add what a file holds now to what it held before."""
    try:
        if path.is_file():
            found = path.read_bytes()
            if found not in seen.get(str(path), b""):
                seen[str(path)] = seen.get(str(path), b"") + found
    except OSError:
        return


def leaks(seen: dict[str, bytes], secrets: list[str]) -> list[str]:
    return [
        path
        for path, found in seen.items()
        if any(form in found for secret in secrets for form in forms(secret))
    ]


def secrets_of(stage: Stage, key: str) -> list[str]:
    """Every secret of a stage: account key, DNS variable, private key, key-encryption key."""
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        assert row.account is not None
        assert row.current is not None
        assert row.current.sealed_key is not None
        account = stage.custodian.open(row.account.sealed_key, Place("account", row.account.id, "sealed_key"))
        private = stage.custodian.open(row.current.sealed_key, Place("version", row.current.id, "sealed_key"))
    return [account.decode(), private.decode(), DNS_SECRET, (stage.data / "kek").read_text().strip()]


def renew_under_watch(stage: Stage) -> tuple[str, dict[str, bytes]]:
    """Renew once in a serving process and return all that was to be seen meanwhile."""
    key = one_certificate(stage)
    stage.make_due()
    seen: dict[str, bytes] = {}
    with watching(stage.workshop.runtime, seen), stage.serve():
        wait_for(lambda: in_sync(stage, key))
    for path in [*stage.data.glob("notafter.db*"), stage.folder / "serve.log"]:
        keep(seen, path)
    return key, seen


def test_a_renewal_leaves_no_secret_in_files_arguments_environments_logs_or_the_database(
    stage: Stage,
) -> None:
    key, seen = renew_under_watch(stage)
    assert any("cmdline" in path and b"ansible-playbook" in found for path, found in seen.items())
    assert any(path.endswith("inventory.json") for path in seen), "the run's files were seen"
    assert leaks(seen, secrets_of(stage, key)) == []


def test_a_jobs_token_is_in_its_own_file_alone_and_gone_with_it(stage: Stage) -> None:
    _, seen = renew_under_watch(stage)
    tokens = [found.decode() for path, found in seen.items() if path.endswith("/token")]
    assert tokens
    assert {path.rsplit("/", 1)[1] for path in leaks(seen, tokens)} == {"token"}
    assert not any(stage.workshop.runtime.glob("*"))


def test_a_playbook_that_leaks_is_caught(stage: Stage) -> None:
    leak = """    - ansible.builtin.command:
        argv: [python3, -c, "import time; time.sleep(1)", "{{ lookup('file', notafter_job.token_file) }}"]
      delegate_to: localhost
"""
    (stage.project / "playbooks" / "renew.yml").write_text("---" + PLAYBOOKS["renew"] + leak)
    _, seen = renew_under_watch(stage)
    tokens = [found.decode() for path, found in seen.items() if path.endswith("/token")]
    assert len(leaks(seen, tokens)) > 1


def test_the_folders_of_runs_are_ours_alone(stage: Stage) -> None:
    stage.workshop.runtime.mkdir(mode=0o755)
    stage.workshop.runtime.chmod(0o755)
    listener = run.Listener(lambda _: None, lambda _: None)
    wish = Plan(JobKind.SCAN, 1, (), ("web1",))
    with pytest.raises(RunnerError, match="not ours alone"):
        run.run(stage.workshop, wish, "token", "run", listener, threading.Event())
    assert list(stage.workshop.runtime.iterdir()) == []
