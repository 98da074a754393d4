"""The few Linux system calls that the standard library does not offer before Python 3.12."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def unshare(flags: int) -> None:
    """Give the calling process namespaces of its own."""
    _checked(_libc.unshare(flags), "unshare")


def enter_network(namespace: Path) -> None:
    """Move the calling thread, and only this thread, into a network namespace."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(handle, CLONE_NEWNET), f"setns {namespace}")
    finally:
        os.close(handle)


def mount(
    source: str | None,
    target: Path,
    kind: str | None = None,
    flags: int = 0,
    options: str | None = None,
) -> None:
    result = _libc.mount(_bytes(source), bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options))
    _checked(result, f"mount {source} on {target}")


def detach(target: Path) -> None:
    """Unmount a tree now, and let go of it when nobody uses it any more."""
    _checked(_libc.umount2(bytes(target), MNT_DETACH), f"umount {target}")


def pivot_root(new_root: Path, old_root: Path) -> None:
    # glibc has no wrapper for pivot_root(2).
    number = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root's number is not known for {os.uname().machine}")
    result = _libc.syscall(ctypes.c_long(number), bytes(new_root), bytes(old_root))
    _checked(result, f"pivot_root {new_root}")


def set_hostname(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; end now if it already has.

    `parent` is what getppid() gave while the parent surely lived; 0 across PID namespaces.
    """
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    if os.getppid() != parent:
        os._exit(1)
