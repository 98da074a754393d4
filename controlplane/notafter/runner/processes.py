"""Finds and ends processes by what they carry in their environment; works from /proc alone."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

MARK = "NOTAFTER_RUN"
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_STARTED_FIELD = 19


class Life(StrEnum):
    """What is known here of a process."""

    RUNS = "runs"
    ENDED = "ended"
    ELSEWHERE = "elsewhere"  #: on another machine, or where its processes are not seen


def identity(pid: int | None = None) -> str:
    """Return a name for a process that no other ever has: boot, who sees it, id, time of start."""
    number = os.getpid() if pid is None else pid
    return f"{_boot()}/{_name_space()}/{number}/{_started(number) or 0}"


def life(name: str) -> Life:
    """Tell whether the process with this identity still runs, as far as can be told from here."""
    boot, _, rest = name.partition("/")
    name_space, _, rest = rest.partition("/")
    if (boot, name_space) != (_boot(), _name_space()):
        return Life.ELSEWHERE  # or here before a restart: that cannot be told from a copy of this machine
    number = rest.partition("/")[0]
    runs = number.isdigit() and identity(int(number)) == name and _started(int(number)) is not None
    return Life.RUNS if runs else Life.ENDED


def marked(run_id: str) -> list[int]:
    """Return the processes that belong to a run, whoever their parent is now."""
    wanted = f"{MARK}={run_id}".encode()
    own = os.getpid()
    return [pid for pid in _pids() if pid != own and wanted in _environment(pid)]


def children(pid: int) -> list[int]:
    """Return the processes that a process has started itself."""
    return [other for other in _pids() if _parent(other) == pid]


def end_marked(run_id: str, patience: float = _PATIENCE_SECONDS) -> int:
    """End all processes of a run: asked first, then killed; return how many there were."""
    met: set[int] = set()
    deadline = time.monotonic() + patience
    while found := marked(run_id):
        overdue = time.monotonic() > deadline
        for pid in found:
            if overdue or pid not in met:
                _signal(pid, signal.SIGKILL if overdue else signal.SIGTERM)
        met.update(found)
        reap()
        time.sleep(_PAUSE_SECONDS)
        if time.monotonic() > deadline + patience:
            break
    reap()
    return len(met)


def reap() -> None:
    """Collect children that have ended, so that none stays a zombie."""
    if not _is_reaper():
        return
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


_reaper: list[int] = []


def become_reaper() -> None:
    """Say that this process may collect every child, also those that it adopted."""
    _reaper[:] = [os.getpid()]


def _is_reaper() -> bool:
    return _reaper == [os.getpid()]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command's name (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[_STARTED_FIELD]) if fields and fields[0] != "Z" else None


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _name_space() -> str:
    """Return the name space of process ids (pid_namespaces(7)): a container has one of its own."""
    return str(Path("/proc/self/ns/pid").readlink())


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
