"""Starts a run in a process and a folder of its own, and leaves neither behind."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from notafter.domain.errors import RunnerError
from notafter.domain.outcome import Outcome
from notafter.domain.run import RunEnd, RunState
from notafter.failpoint import failpoint
from notafter.runner import events, plan, processes
from notafter.runner.plan import Plan

#: What a run may see of this process's environment; nothing else gets there.
ALLOWED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "NOTAFTER_FAILPOINT", "SSH_AUTH_SOCK", "TZ", "USER")
_TAIL = 2000
#: How long an orderly end may take.
_GRACE_SECONDS = 30.0

#: Asked ten times a second while a run goes on.
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Workshop:
    """Where runs happen: the project with the playbooks, the operator's inventory, a place in memory."""

    project: Path
    inventory: Path | None
    runtime: Path
    api_url: str
    timeout: float = 3600.0

    def folder(self, run_id: str) -> Path:
        """Return a run's own folder."""
        return self.runtime / run_id


@dataclass(frozen=True)
class Listener:
    """Who is told what happens, the moment it does."""

    on_outcome: Callable[[Outcome], None]
    on_line: Callable[[str], None]


def run(  # noqa: PLR0913, PLR0917 -- everything that a run is
    workshop: Workshop,
    wish: Plan,
    token: str,
    run_id: str,
    listener: Listener,
    stop: Stop,
) -> RunEnd:
    """Run the playbook of a plan to its end; when `stop` says so it ends in order."""
    folder = workshop.folder(run_id)
    try:
        _prepare(workshop, wish, token, folder)
        failpoint("run.prepared")
        end = _carry_through(workshop, folder, run_id, listener, stop)
        failpoint("run.ended")
        return end
    finally:
        processes.end_marked(run_id)
        shutil.rmtree(folder, ignore_errors=True)


def runtime_folder(data_dir: Path) -> Path:
    """Return a folder in memory that belongs to this instance alone."""
    base = Path("/dev/shm")  # noqa: S108 -- a folder of our own in it, 0700
    mark = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    root = base if os.access(base, os.W_OK) else Path(tempfile.gettempdir())
    return root / f"notafter-{os.getuid()}-{mark}"


def folders(workshop: Workshop) -> set[str]:
    """Return the runs that have a folder."""
    if not workshop.runtime.is_dir():
        return set()
    return {entry.name for entry in workshop.runtime.iterdir()}


def remove(workshop: Workshop, run_id: str) -> None:
    """Remove the folder of a run that is over."""
    shutil.rmtree(workshop.folder(run_id), ignore_errors=True)


def leave(workshop: Workshop) -> None:
    """Remove the folder of all runs, if no run is in it."""
    with contextlib.suppress(OSError):
        workshop.runtime.rmdir()


def _prepare(workshop: Workshop, wish: Plan, token: str, folder: Path) -> None:
    playbook = workshop.project / "playbooks" / f"{wish.kind.value}.yml"
    if not playbook.is_file():
        raise RunnerError(f"there is no playbook {playbook}: set NOTAFTER_PROJECT to the project's folder")
    try:
        _own_folder(workshop.runtime)
        folder.mkdir(mode=0o700)
        (folder / "env").mkdir(mode=0o700)
        (folder / "ssh").mkdir(mode=0o700)
    except OSError as error:
        raise RunnerError(f"no folder for the run: {error}") from error
    _write(folder / "token", token)
    _write(folder / "inventory.json", plan.inventory(wish, folder))
    _write(folder / "limit", "\n".join(wish.hosts()) + "\n")
    _write(folder / "env" / "extravars", plan.extra_variables(wish, workshop.api_url, folder))
    for name, pem in plan.ca_files(wish).items():
        _write(folder / name, pem)
    inventories = [str(path) for path in (workshop.inventory, folder / "inventory.json") if path]
    _write(
        folder / "run.json",
        json.dumps(
            {
                "project": str(workshop.project),
                "playbook": str(playbook),
                "inventory": inventories,
                "timeout": int(workshop.timeout),
            },
        ),
    )


def _own_folder(path: Path) -> None:
    """Make the folder of all runs, and refuse one that somebody else made before us."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RunnerError(f"{path} is not ours alone: remove it")


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def environment(folder: Path, run_id: str) -> dict[str, str]:
    """Return the whole environment of a run, made from nothing."""
    kept = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "ssh"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        processes.MARK: run_id,
    }


def _carry_through(
    workshop: Workshop,
    folder: Path,
    run_id: str,
    listener: Listener,
    stop: Stop,
) -> RunEnd:
    with (
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "notafter.runner.process", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(folder, run_id),
            cwd=workshop.project,
            start_new_session=True,
        ) as process,
    ):
        failpoint("run.started")
        over = threading.Event()
        line = _LifeLine(process.stdin, run_id, time.monotonic() + workshop.timeout + _GRACE_SECONDS)
        watcher = threading.Thread(target=line.watch, args=(stop, over), daemon=True)
        watcher.start()
        try:
            end, hosts = _listen(process.stdout, listener)
        finally:
            over.set()
            watcher.join()
    return _judge(end, hosts, folder, process.returncode)


@dataclass(frozen=True)
class _LifeLine:
    """A run's standard input: while it is open the run may go on."""

    line: IO[bytes] | None
    run_id: str
    deadline: float

    def watch(self, stop: Stop, over: threading.Event) -> None:
        """Close it when the run is to stop or is overdue; what does not end by then is killed."""
        while not over.wait(0.1) and not stop() and time.monotonic() < self.deadline:
            pass
        if self.line is not None:
            self.line.close()
        if not over.wait(_GRACE_SECONDS):
            processes.end_marked(self.run_id)


def _listen(stream: IO[bytes] | None, listener: Listener) -> tuple[dict[str, Any] | None, int | None]:
    end: dict[str, Any] | None = None
    hosts: int | None = None
    for message in _messages(stream):
        if "end" in message:
            end = message["end"]
            continue
        event = message.get("event") or {}
        text = events.line(event)
        if text:
            listener.on_line(text)
        outcome = events.outcome(event)
        if outcome is not None:
            listener.on_outcome(outcome)
        touched = events.matched_hosts(event)
        hosts = touched if touched is not None else hosts
    return end, hosts


def _messages(stream: IO[bytes] | None) -> Iterator[dict[str, Any]]:
    for raw in stream or ():
        try:
            message = json.loads(raw)
        except ValueError:
            continue
        if isinstance(message, dict):
            yield message


def _judge(end: dict[str, Any] | None, hosts: int | None, folder: Path, code: int) -> RunEnd:
    if end is None:
        return RunEnd(
            RunState.BROKEN, f"the process of the run ended with {code}: {_tail(folder / 'stderr')}"
        )
    status = end.get("status")
    if status == "canceled":
        return RunEnd(RunState.CANCELLED)
    if status == "timeout":
        return RunEnd(RunState.TIMED_OUT)
    if hosts == 0:
        return RunEnd(RunState.NO_HOSTS)
    if hosts is None:
        told = _tail(folder / "artifacts" / "run" / "stdout") or _tail(folder / "stderr")
        return RunEnd(RunState.BROKEN, told or f"ansible-playbook ended with {end.get('rc')}")
    return RunEnd(RunState.COMPLETED)


def _tail(path: Path) -> str:
    try:
        return events.clean(path.read_text("utf-8", "replace")[-_TAIL:])
    except OSError:
        return ""
