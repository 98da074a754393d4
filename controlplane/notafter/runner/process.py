"""One run of Ansible in a process of its own: `python -m notafter.runner.process FOLDER`.

Reads `run.json` of the folder, writes one JSON line per event to standard output. Its
standard input is a life-line: when it ends, the parent is gone or wants the run stopped,
and Ansible is asked to end in order, then made to.
"""

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import ansible_runner

from notafter.failpoint import failpoint
from notafter.runner import processes

_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0
_LAST = None


class Run:
    """The state that the threads of a run share."""

    def __init__(self) -> None:
        """Begin with a run that nobody has stopped."""
        self.events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.stopped = threading.Event()
        self.kill = threading.Event()
        self.done = threading.Event()

    def on_event(self, event: dict[str, Any]) -> bool:
        """Take an event; False means that no file is written for it."""
        with contextlib.suppress(Exception):  # anything raised here would leave Ansible running alone
            self.events.put(event)
        return False

    def cancelled(self) -> bool:
        """Tell ansible-runner whether to kill: only when Ansible did not end by itself."""
        return self.kill.is_set()

    def watch_life_line(self) -> None:
        """Wait for the end of standard input, then stop the run in order."""
        while os.read(0, 1024):
            pass
        if self.done.is_set():
            return
        self.stopped.set()
        for pid in processes.children(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not self.done.wait(_GRACE_SECONDS):
            self.kill.set()

    def write_events(self) -> None:
        """Hand each event to the parent the moment it arrives."""
        out = sys.stdout
        while (event := self.events.get()) is not _LAST:
            try:
                out.write(json.dumps({"event": event}, default=str) + "\n")
                out.flush()
            except OSError:  # the parent is gone; the life-line ends the run
                return


def main(folder: Path) -> int:
    """Carry a run through and say how it ended."""
    _adopt_orphans()
    wish = json.loads((folder / "run.json").read_text("utf-8"))
    run = Run()
    writer = threading.Thread(target=run.write_events)
    writer.start()
    threading.Thread(target=run.watch_life_line, daemon=True).start()
    failpoint("process.started")
    try:
        status, code = _ansible(run, folder, wish)
        failpoint("process.ended")
    finally:
        run.done.set()
        processes.end_marked(os.environ[processes.MARK])
        run.events.put(_LAST)
        writer.join()
    end = {"end": {"status": "canceled" if run.stopped.is_set() else status, "rc": code}}
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(end) + "\n")
        sys.stdout.flush()
    return 0


def _ansible(run: Run, folder: Path, wish: dict[str, Any]) -> tuple[str, int | None]:
    runner = ansible_runner.run(
        private_data_dir=str(folder),
        ident="run",
        project_dir=wish["project"],
        playbook=wish["playbook"],
        inventory=wish["inventory"],
        cmdline=f"--limit @{folder / 'limit'}",
        quiet=True,
        suppress_env_files=True,
        fact_cache_type="",
        settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
        timeout=wish["timeout"],
        event_handler=run.on_event,
        cancel_callback=run.cancelled,
    )
    return str(runner.status), runner.rc


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    processes.become_reaper()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
