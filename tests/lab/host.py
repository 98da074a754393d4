"""One host of a lab that is up: run programs on it, read and write its files."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.errors import LabError, NotReadyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.lab.fleet import Service
    from tests.lab.state import ProcessId

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}


@dataclass(frozen=True)
class LabHost:
    """A host by its name; everything is done as root inside of it, not over the network."""

    name: str
    address: str
    services: tuple[Service, ...]
    interface: str  #: the end of the host's cable at the lab's bridge
    process: ProcessId
    console: Path

    def enter_prefix(self) -> list[str]:
        """The start of a command line that runs the rest inside the host."""
        if not self.process.alive:
            raise LabError(f"{self.name}: the host has ended; its console said:\n{self._said()}")
        target = ["nsenter", "--target", str(self.process.pid)]
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd"]
        return [*target, *spaces, "--"]

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002 -- the name that subprocess.run has
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program; `env` adds to a host's bare environment, not to the caller's."""
        done = subprocess.run(
            [*self.enter_prefix(), *command],
            check=False,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env={**_ENVIRONMENT, **(env or {})},
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise LabError(
                f"{self.name}: {shlex.join(command)} ended with {done.returncode}\n"
                f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
            )
        return done

    def read_bytes(self, path: str) -> bytes:
        command = [*self.enter_prefix(), "cat", "--", path]
        done = subprocess.run(command, check=False, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def read(self, path: str) -> str:
        return self.read_bytes(path).decode()

    def write(self, path: str, content: str | bytes, mode: int | None = None) -> None:
        """Write a file in place: an existing one keeps its owner, and its mode if none is given."""
        data = content.encode() if isinstance(content, str) else content
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
        if mode is not None:
            script += f' && chmod {mode:o} -- "$1"'
        command = [*self.enter_prefix(), "sh", "-c", script, "sh", path]
        done = subprocess.run(
            command, check=False, input=data, capture_output=True, env=_ENVIRONMENT, timeout=60
        )
        if done.returncode != 0:
            raise LabError(f"{self.name}: {done.stderr.decode(errors='replace').strip()}")

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.read_bytes(path)).hexdigest()

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    def pids(self, program: str) -> list[int]:
        """The numbers, as the host counts, of all processes with this command name."""
        done = self.run(["pgrep", "-x", program], check=False)
        return [int(line) for line in done.stdout.split()]

    def journal(self, lines: int = 30) -> str:
        """What failed on the host and why, and the end of what its services have said."""
        if not self.process.alive:
            return self._said()
        failed = ["systemctl", "status", "--state=failed", "--no-pager", "--lines=10"]
        journal = ["journalctl", "--no-pager", "--quiet", "--lines", str(lines)]
        return "".join(self.run(command, check=False).stdout for command in (failed, journal))

    def wait_until(self, condition: Callable[[], bool], complaint: str, seconds: float = 60) -> None:
        """Poll until something holds; else an error with the host's name and journal."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or not self.process.alive:
                raise NotReadyError(f"{self.name}: {complaint} within {seconds:g} s\n{self.journal()}")
            time.sleep(0.05)

    def _said(self) -> str:
        if not self.console.exists():
            return ""
        return self.console.read_text(encoding="utf-8", errors="replace")[-4000:]
