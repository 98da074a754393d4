# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs of the host: an argument list, never a shell; a limit, never a hang."""

import os
import signal
import subprocess
import threading
from typing import Dict, List, NamedTuple, Optional

from .errors import HostError

OUTPUT_LIMIT = 64 * 1024 * 1024
_ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME")
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Result(NamedTuple):
    """How a program ended and what it said."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool

    def said(self) -> str:
        """The last lines of both streams as one readable text."""
        text = (self.stderr + b"\n" + self.stdout).decode("utf-8", "backslashreplace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-4:])[:600]


def environment(extra: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """A small, predictable environment: C locale, the system's search path, no secrets."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    kept["PATH"] = _SEARCH_PATH
    kept["LC_ALL"] = "C"
    kept.update(extra or {})
    return kept


def end_group(pid: int) -> None:
    """Kills the process group that `pid` leads."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def run(
    argv: List[str],
    timeout: float = 30.0,
    input: Optional[bytes] = None,  # noqa: A002 - the name that subprocess uses
    env: Optional[Dict[str, str]] = None,
    cwd: Optional[str] = None,
) -> Result:
    """Runs `argv` in a process group of its own, which is killed when `timeout` seconds are over."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise HostError("command_missing", "%s cannot be run: %s" % (argv[0], error.strerror)) from error
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_group(process.pid)

    alarm = threading.Timer(timeout, expire)
    alarm.daemon = True
    alarm.start()
    try:
        stdout, stderr = process.communicate(input)
    finally:
        alarm.cancel()
        end_group(process.pid)
    return Result(process.returncode, stdout[:OUTPUT_LIMIT], stderr[:OUTPUT_LIMIT], expired.is_set())
