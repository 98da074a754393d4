# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where notafter keeps its own things on a host, and the locks and failpoints that live there."""

import errno
import fcntl
import json
import os
import signal
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from .errors import Blocked, Busy, HostError

SYSTEM_DIRECTORY = "/var/lib/notafter"
FAILPOINT_FILE = "/run/notafter-failpoint"
HELD_FILE = FAILPOINT_FILE + ".held"  # there while a program waits at its failpoint


def directory(*parts: str) -> str:
    """A directory of ours, made 0700 when missing: below /var/lib for root, else in the home."""
    base = SYSTEM_DIRECTORY if os.geteuid() == 0 else os.path.expanduser("~/.local/state/notafter")
    path = base
    for part in ("",) + parts:
        path = os.path.join(path, part) if part else path
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise Blocked.by(error, "%s cannot be made" % path, "no_state_directory") from error
    return path


def write(path: str, content: bytes, mode: int = 0o600) -> None:
    """Writes a file of ours so that it is there whole or not at all, also after a power loss."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def write_json(path: str, value: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    write(path, json.dumps(value, indent=1, sort_keys=True).encode("utf-8"))


def read_json(path: str) -> Optional[Any]:
    """The value that `write_json` left, or None when there is none or it is no JSON."""
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read().decode("utf-8"))
    except (OSError, ValueError):
        return None


def sync_directory(path: str) -> None:
    """Makes renames in a directory durable (fsync(2), NOTES), where its file system can say so."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


@contextmanager
def lock(path: str, wait: float, what: str, shared: bool = False) -> Iterator[int]:
    """Holds an flock(2) on `path`; waits up to `wait` seconds, then raises Busy naming `what`.

    A shared one keeps away only those who want it alone. Yields the descriptor: a child that
    inherits it keeps the lock until it ends.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Blocked.by(error, "%s cannot be locked" % what) from error
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if time.monotonic() >= deadline:
                raise Busy("busy", "%s is held by another run; waited %d s" % (what, wait))
            time.sleep(0.1)
        yield handle
    finally:
        os.close(handle)


def failpoint(name: str) -> None:
    """Fails here if a test asked for it: `/run/notafter-failpoint` holds `name:kill|raise|hold=S`.

    The file is consumed, so that it fires once. Only root can write there. Who is held goes on
    after S seconds, or when HELD_FILE is taken away.
    """
    try:
        with open(FAILPOINT_FILE) as stream:
            wanted, _colon, action = stream.read().strip().partition(":")
    except OSError:
        return
    if wanted != name:
        return
    if action.startswith("hold="):
        _hold(float(action[5:]))
        return
    os.unlink(FAILPOINT_FILE)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise HostError("failpoint", "failed on request at %s" % name)


def _hold(seconds: float) -> None:
    end = time.monotonic() + seconds
    os.rename(FAILPOINT_FILE, HELD_FILE)
    while os.path.exists(HELD_FILE):
        if time.monotonic() > end:
            os.unlink(HELD_FILE)
            return
        time.sleep(0.05)
