"""What a lab leaves on the machine while it is up, and how all of it is taken away again.

A lab has one folder below /run/notafter-lab and one cgroup. Every process of the
lab is in that cgroup, so that killing it needs no memory of what was started.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.errors import LabError, NotUpError

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = Path("/run/notafter-lab")
CGROUP_PREFIX = "notafter-lab-"
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_RAISED = 8192
#: A systemd host takes about five instances, and the machine itself needs some.
_HOSTS_WITHIN_DEFAULT = 18


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        fields = _stat(pid)
        if fields is None:
            raise LabError(f"process {pid} has ended")
        return cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.started and fields[0] not in "ZX"

    def kill(self) -> None:
        if self.alive:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat that follow the command, the state first."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


@dataclass(frozen=True)
class State:
    """The folder and the cgroup of the lab with one name."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,29}", self.name):
            raise LabError(f"{self.name!r} is no name for a lab: a-z, 0-9 and -, at most 30")

    @property
    def folder(self) -> Path:
        return BASE / self.name

    @property
    def facts_file(self) -> Path:
        return self.folder / "lab.json"

    @property
    def cgroup(self) -> Path:
        return cgroup_root() / f"{CGROUP_PREFIX}{self.name}"

    def create(self) -> None:
        with only_one():
            try:
                self.folder.mkdir(mode=0o700)
            except FileExistsError:
                raise LabError(f"a lab named {self.name} is up already: `down` first") from None
            self.record("starter", ProcessId.of(os.getpid()))

    def facts(self) -> dict[str, object]:
        try:
            text = self.facts_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotUpError(f"no lab named {self.name} is up") from None
        facts: dict[str, object] = json.loads(text)
        return facts

    def record(self, role: str, process: ProcessId) -> None:
        folder = self.folder / "processes"
        folder.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps({"pid": process.pid, "started": process.started})
        (folder / role).write_text(text, encoding="utf-8")

    def processes(self) -> dict[str, ProcessId]:
        files = sorted((self.folder / "processes").glob("*"))
        return {file.name: _recorded(file) for file in files if file.stat().st_size}

    @property
    def alive(self) -> bool:
        keeper = self.processes().get("keeper")
        return keeper is not None and keeper.alive

    @property
    def abandoned(self) -> bool:
        """Whether something is there that belongs to nobody: no keeper and no starter lives."""
        with only_one():
            processes = self.processes()
            owners = [processes[role] for role in ("keeper", "starter") if role in processes]
            return self.folder.exists() and not any(owner.alive for owner in owners)

    def remove(self) -> None:
        """End every process of the lab and take away all that it has left, however it ended."""
        _close_connections(self.folder / "cp")
        # A keeper whose starter has ended takes its own lab down: it is not to kill itself.
        # Nor is the starter: a lab ends before the process that raised it does.
        processes = {
            role: process
            for role, process in self.processes().items()
            if process.pid != os.getpid() and role != "starter"
        }
        for process in processes.values():
            process.kill()
        _remove_cgroup(self.cgroup)
        for role, process in processes.items():
            _await_end(role, process)
        _remove_folder(self.folder)
        restore_inotify()


def _recorded(file: Path) -> ProcessId:
    data = json.loads(file.read_text(encoding="utf-8"))
    return ProcessId(data["pid"], data["started"])


def known_labs() -> list[State]:
    """Every lab that is up or has left something behind."""
    names = {path.name for path in BASE.glob("*") if path.is_dir()}
    names |= {path.name[len(CGROUP_PREFIX) :] for path in cgroup_root().glob(f"{CGROUP_PREFIX}*")}
    return [State(name) for name in sorted(names)]


def cgroup_root() -> Path:
    """Where the machine has its second-version cgroups, alone or beside the first version's."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise LabError("this machine has no cgroup2 mounted; systemd in the hosts needs it")


def _remove_cgroup(cgroup: Path) -> None:
    if not cgroup.is_dir():
        return
    deadline = time.monotonic() + 20
    while True:
        (cgroup / "cgroup.kill").write_text("1", encoding="utf-8")
        try:
            for folder in sorted(_folders(cgroup), key=lambda path: -len(path.parts)):
                folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise LabError(f"processes in {cgroup} do not end") from None
            time.sleep(0.02)
        else:
            return


def _folders(cgroup: Path) -> list[Path]:
    return [cgroup, *(path for path in cgroup.rglob("*") if path.is_dir())]


def _remove_folder(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while folder.exists():
        # A program that a killed starter had begun may still be writing into it.
        shutil.rmtree(folder, ignore_errors=True)
        if time.monotonic() > deadline:
            raise LabError(f"{folder} cannot be removed")


def _await_end(role: str, process: ProcessId) -> None:
    deadline = time.monotonic() + 10
    while process.alive:
        if time.monotonic() > deadline:
            raise LabError(f"process {process.pid} ({role}) does not end")
        time.sleep(0.01)


def _close_connections(control_sockets: Path) -> None:
    """End the ssh connections that Ansible keeps open: they run outside of the lab's cgroup."""
    for socket in control_sockets.glob("*"):
        command = ["ssh", "-F", "none", "-O", "exit", "-o", f"ControlPath={socket}", "lab"]
        # One that does not answer ends by itself: its host is about to be gone.
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=10)


@contextmanager
def only_one() -> Iterator[None]:
    """Hold off every other process that changes what all labs share."""
    BASE.mkdir(mode=0o700, exist_ok=True)
    with (BASE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def raise_inotify(hosts: int) -> None:
    """Let the kernel give out more inotify instances when the hosts will need them.

    The limit is the machine's; the value it had is kept for `restore_inotify`.
    """
    with only_one():
        _raise_inotify(hosts)


def _raise_inotify(hosts: int) -> None:
    before = BASE / ".inotify"
    wanted = hosts + _hosts_up() > _HOSTS_WITHIN_DEFAULT
    if wanted and not before.exists() and int(_INOTIFY.read_text()) < _INOTIFY_RAISED:
        before.write_text(_INOTIFY.read_text(), encoding="utf-8")
        _INOTIFY.write_text(str(_INOTIFY_RAISED), encoding="utf-8")


def restore_inotify() -> None:
    before = BASE / ".inotify"
    with only_one():
        if before.exists() and _hosts_up() <= _HOSTS_WITHIN_DEFAULT:
            _INOTIFY.write_text(before.read_text(encoding="utf-8"), encoding="utf-8")
            before.unlink()


def _hosts_up() -> int:
    return len([path for path in BASE.glob("*/hosts/*") if path.is_dir()])
