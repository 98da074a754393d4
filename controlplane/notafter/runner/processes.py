"""Finds and ends processes by what they carry in their environment; works from /proc alone."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "NOTAFTER_RUN"
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.05
_STARTED_FIELD = 19


def identity(pid: int | None = None) -> str:
    """Return a name for a process that no other ever has: boot, id, time of start."""
    number = os.getpid() if pid is None else pid
    return f"{_boot()}/{number}/{_started(number) or 0}"


def alive(name: str) -> bool:
    """Tell whether the process with this identity still runs."""
    number = name.split("/")[1] if name.count("/") == 2 else ""  # noqa: PLR2004 -- three parts
    return number.isdigit() and identity(int(number)) == name and _started(int(number)) is not None


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


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
