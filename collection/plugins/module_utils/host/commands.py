# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs of the host: an argument list, never a shell; a limit, never a hang."""

import os
import selectors
import signal
import subprocess
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .errors import HostError

OUTPUT_LIMIT = 64 * 1024 * 1024
# How long what a program has left behind may go on writing into its output.
_GRACE = 2.0
_LOOK = 0.2
_ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME")
# What makes a program load or run something else than itself. A server's own variables come to us from
# the memory of its process, and root starts programs with them.
_STEERING = (
    *("LD_", "BASH_FUNC_", "GCONV_", "GETCONF_", "GLIBC_", "MALLOC_", "OPENSSL_", "PERL", "PYTHON", "RUBY"),
    *("NODE_", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "SYSTEMD_", "DBUS_"),
)
_KEPT = ("PATH", "LC_ALL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4", "LOCPATH", "NLSPATH")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Result(NamedTuple):
    """How a program ended and what it said; `overflowed` when it was ended for saying too much."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    overflowed: bool = False

    def said(self) -> str:
        """The last lines of both streams as one readable text."""
        text = (self.stderr + b"\n" + self.stdout).decode("utf-8", "backslashreplace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-4:])[:600]


def environment(extra: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """A small, predictable environment: C locale, the system's search path, no secrets.

    Of `extra` is left out what would make root's programs load what is not root's.
    """
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    kept["PATH"] = SEARCH_PATH
    kept["LC_ALL"] = "C"
    told = (extra or {}).items()
    kept.update({name: value for name, value in told if name not in _KEPT and not name.startswith(_STEERING)})
    return kept


def end_group(pid: int) -> None:
    """Kills the process group that `pid` leads."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def run(  # noqa: PLR0913, PLR0917 - what subprocess takes as well; all but the first two by name
    argv: List[str],
    timeout: float = 30.0,
    input: Optional[bytes] = None,  # noqa: A002 - the name that subprocess uses
    env: Optional[Dict[str, str]] = None,
    cwd: Optional[str] = None,
    pass_fds: Sequence[int] = (),
    limit: int = OUTPUT_LIMIT,
) -> Result:
    """Runs `argv` in a process group of its own, which is killed when `timeout` seconds are over.

    It is killed as well when it says more than `limit` bytes: no program fills our memory.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise HostError("command_missing", "%s cannot be run: %s" % (argv[0], error.strerror)) from error
    talk = _Talk(process, input or b"", limit)
    try:
        timed_out = not talk.to_its_end(time.monotonic() + timeout)
    finally:
        end_group(process.pid)
        talk.close()
    stdout, stderr = (b"".join(said) for said in talk.said.values())
    return Result(_ended(process), stdout, stderr, timed_out, talk.left < 0)


def _ended(process: "subprocess.Popen[bytes]") -> int:
    """How it ended; one that even SIGKILL does not end (a dead file system) is left to the kernel."""
    try:
        return process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        return -int(signal.SIGKILL)


class _Talk:
    """What goes into a program and comes out of it, while it runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", text: bytes, limit: int) -> None:
        self.process = process
        self.text = memoryview(text)
        self.left = limit
        self.said: Dict[Any, List[bytes]] = {process.stdout: [], process.stderr: []}
        self._open = selectors.DefaultSelector()
        for stream in self.said:
            self._open.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._open.register(process.stdin, selectors.EVENT_WRITE)

    def to_its_end(self, deadline: float) -> bool:
        """Talks until the program has ended, or has said too much; False when the time was over.

        A daemon that it has left behind may hold its output open for ever: that is not waited for.
        """
        ended = False
        while self._open.get_map() and self.left >= 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return ended
            for key, _events in self._open.select(min(left, _LOOK)):
                self._write(key.fileobj) if key.fileobj is self.process.stdin else self._read(key.fileobj)
            if not ended and self.process.poll() is not None:
                ended = True
                deadline = min(deadline, time.monotonic() + _GRACE)
        return self._ends(deadline)

    def _ends(self, deadline: float) -> bool:
        """Whether it ends in time once its output is closed; one that has said too much is not waited for."""
        if self.left >= 0:
            try:
                self.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True

    def _write(self, stream: Any) -> None:
        try:
            self.text = self.text[os.write(stream.fileno(), self.text[: 1 << 16]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to hear the rest
            self.text = self.text[:0]
        if not self.text:
            self._done(stream)

    def _read(self, stream: Any) -> None:
        chunk = os.read(stream.fileno(), 1 << 16)
        if not chunk:
            self._done(stream)
        self.left -= len(chunk)
        if self.left >= 0:
            self.said[stream].append(chunk)

    def _done(self, stream: Any) -> None:
        self._open.unregister(stream)
        stream.close()

    def close(self) -> None:
        """Closes what is still open; called when the program and its group have been ended."""
        for key in list(self._open.get_map().values()):
            self._done(key.fileobj)
        self._open.close()
