"""The network of a lab, for a process that stays outside of it."""

from __future__ import annotations

import os
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.lab import kernel
from tests.lab.errors import LabError, NotUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.lab.state import ProcessId

T = TypeVar("T")


class LabNetwork:
    """Runs functions in threads, and programs in processes, that are in the lab's network.

    A network namespace belongs to a thread: those of the pool are inside, the
    caller's stays where it is.
    """

    def __init__(self, keeper: ProcessId) -> None:
        self._keeper = keeper
        self._pool = ThreadPoolExecutor(8, "lab-network", initializer=self.enter)

    @property
    def namespace(self) -> Path:
        if not self._keeper.alive:
            raise NotUpError("the lab has ended: its keeper is gone")
        return Path(f"/proc/{self._keeper.pid}/ns/net")

    def enter(self) -> None:
        kernel.enter_network(self.namespace)

    def call(self, work: Callable[[], T]) -> T:
        return self._pool.submit(work).result(timeout=120)

    def exec_prefix(self) -> list[str]:
        return ["nsenter", f"--net={self.namespace}", "--"]

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool,
        input: str | None,  # noqa: A002 -- the name that subprocess.run has
        env: Mapping[str, str] | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.exec_prefix(), *command],
            check=False,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=timeout,
        )
        if check and done.returncode != 0:
            said = f"{done.stdout[-6000:]}{done.stderr[-4000:]}"
            raise LabError(f"{shlex.join(command)} ended with {done.returncode}\n{said}")
        return done

    def close(self) -> None:
        """Let the threads end: while one lives, so does the network."""
        self._pool.shutdown()
