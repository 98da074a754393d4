"""The process that holds a lab: its network, and the hosts, which end when it ends.

Run as `python3 -m tests.lab.keeper NAME` by `Lab.up`. It outlives its starter only
when the starter said so (the file `detached`); else it takes the lab down as soon as
the starter has ended, in whatever way that was.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tests.lab import kernel
from tests.lab.boot import Booting, HostPlan
from tests.lab.state import ProcessId, State


def main(name: str) -> None:
    state = State(name)
    os.umask(0o022)  # what lies on the hosts does not depend on the caller's habits
    _leave_the_starter(state)
    plan = json.loads((state.folder / "plan.json").read_text(encoding="utf-8"))
    (state.folder / "plan.json").unlink()  # it has the hosts' private keys
    # This handle stays open: it is the way back into the machine's network for `publish`.
    machine = os.open("/proc/self/ns/net", os.O_RDONLY)
    (state.folder / "machine-network").symlink_to(f"/proc/{os.getpid()}/fd/{machine}")
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS)
    kernel.mount(None, Path("/"), None, kernel.MS_REC | kernel.MS_PRIVATE)
    _ip(f"link set lo up\nlink add br0 type bridge\naddr add {plan['gateway']}/16 dev br0\nlink set br0 up\n")
    _boot(state, [HostPlan.from_json(host) for host in plan["hosts"]])
    (state.folder / "booted").touch()
    _watch(state, ProcessId(**plan["starter"]))


def _leave_the_starter(state: State) -> None:
    """Go on as a daemon in the lab's cgroup, recorded; only then the starter's wait ends."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os._exit(0 if os.read(read, 1) else 1)
    os.close(read)
    os.setsid()
    state.cgroup.mkdir(exist_ok=True)
    own = state.cgroup / "keeper"
    own.mkdir(exist_ok=True)
    (own / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")
    state.record("keeper", ProcessId.of(os.getpid()))
    os.write(write, b"k")
    os.close(write)


def _boot(state: State, plans: list[HostPlan]) -> None:
    hosts = state.folder / "hosts"
    booting = [Booting(plan, hosts / plan.name, state.cgroup / f"host-{plan.name}") for plan in plans]
    for host in booting:
        host.await_namespaces()
    _ip("".join(_cable(host) for host in booting))
    for host in booting:
        host.go()
    for host in booting:
        state.record(f"host-{host.plan.name}", ProcessId.of(host.await_init()))


def _cable(host: Booting) -> str:
    end = host.plan.interface
    return f"link add {end} type veth peer name eth0 netns {host.pid}\nlink set {end} master br0 up\n"


def _ip(commands: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, timeout=60)


def _watch(state: State, starter: ProcessId) -> None:
    """Wait for the end of the starter, and collect hosts that have ended."""
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    end = _end_of(starter)
    if end is not None:
        poll.register(end, select.POLLIN)
    elif not _detached(state):
        _take_down(state)
    while True:
        ready = {handle for handle, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 512)
            _collect()
        if end is not None and end in ready:
            poll.unregister(end)
            if not _detached(state):
                _take_down(state)
            end = None


def _end_of(process: ProcessId) -> int | None:
    """A handle that becomes readable when the process ends; None if it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    return handle if process.alive else None


def _detached(state: State) -> bool:
    return (state.folder / "detached").exists()


def _collect() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def _take_down(state: State) -> NoReturn:
    """Let a process outside of the lab's cgroup do it: this one will be killed on the way."""
    root = state.cgroup.parent
    (root / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")
    os.execv(sys.executable, [sys.executable, "-m", "tests.lab", "down", "--name", state.name])  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
