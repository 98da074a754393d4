"""The first moments of a host: from a fork of the keeper to systemd as process 1."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.lab import kernel
from tests.lab.kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT
from tests.lab.seed import SeedFile, plant

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "container": "notafter-lab",  # systemd leaves the hardware alone when it sees this
    "HOME": "/root",
    "TERM": "dumb",
}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_TAKEN_OVER = b"!"
_BARE = MS_NOSUID | MS_NODEV | MS_NOEXEC


@dataclass(frozen=True)
class HostPlan:
    """What the keeper must know to boot one host."""

    name: str
    address: str
    interface: str
    layers: tuple[str, ...]
    files: tuple[SeedFile, ...]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> HostPlan:
        files = tuple(SeedFile(**file) for file in data["files"])
        return cls(data["name"], data["address"], data["interface"], tuple(data["layers"]), files)


class Booting:
    """A host on its way up, seen from the keeper: a process, and a pipe in each direction."""

    def __init__(self, plan: HostPlan, folder: Path, cgroup: Path) -> None:
        self.plan = plan
        go_read, self._go = os.pipe()
        self._up, up_write = os.pipe()
        keeper = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                kernel.die_with_parent(keeper)
                _start(plan, folder, cgroup, go_read, up_write)
            finally:
                _fail(plan.name)
        os.close(go_read)
        os.close(up_write)

    def await_namespaces(self) -> None:
        if not os.read(self._up, 1):
            self._give_up()

    def go(self) -> None:
        """Tell the host that its network interface is there."""
        os.write(self._go, b"g")
        os.close(self._go)

    def await_init(self) -> int:
        """The number of the host's init, once it has taken over."""
        said = b""
        while more := os.read(self._up, 64):
            said += more
        os.close(self._up)
        if _TAKEN_OVER not in said:
            self._give_up()
        return int(said.replace(_TAKEN_OVER, b""))

    def _give_up(self) -> NoReturn:
        print(f"{self.plan.name}: ended while it was booting", file=sys.stderr, flush=True)
        raise SystemExit(1)


def _fail(name: str) -> NoReturn:
    """End a fork of the keeper without running any of the keeper's own way out."""
    traceback.print_exc()
    print(f"{name}: could not boot", file=sys.stderr, flush=True)
    os._exit(1)


def _start(plan: HostPlan, folder: Path, cgroup: Path, go: int, up: int) -> NoReturn:
    os.setsid()
    cgroup.mkdir()
    kernel.unshare(
        kernel.CLONE_NEWNS
        | kernel.CLONE_NEWUTS
        | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWPID
        | kernel.CLONE_NEWNET
    )
    os.write(up, b"n")
    os.read(go, 1)
    init = os.fork()
    if init:
        os.write(up, str(init).encode())
        # Nothing may stay open here: the readers of these pipes wait for their end.
        os.closerange(3, 1024)
        os.waitpid(init, 0)
        os._exit(0)
    kernel.die_with_parent(0)
    # Only now, so that the host's cgroup has no process that the host cannot see.
    (cgroup / "cgroup.procs").write_text("0", encoding="utf-8")
    kernel.unshare(kernel.CLONE_NEWCGROUP)
    _connect(plan)
    kernel.set_hostname(plan.name)
    root = _mount_root(plan, folder)
    _mount_devices(root / "dev")
    plant(root, list(plan.files))
    _become_init(root, folder / "console.log", up)


def _connect(plan: HostPlan) -> None:
    commands = f"link set lo up\naddr add {plan.address}/16 dev eth0\nlink set eth0 up\n"
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, timeout=20)


def _mount_root(plan: HostPlan, folder: Path) -> Path:
    """The image below, a file system in memory above: what a host writes ends with it."""
    base = folder / "root"
    base.mkdir()
    kernel.mount("tmpfs", base, "tmpfs", 0, "size=768m,mode=755")
    root, upper, work = base / "root", base / "upper", base / "work"
    for place in (root, upper, work):
        place.mkdir(mode=0o755)
    layers = f"lowerdir={':'.join(plan.layers)},upperdir={upper},workdir={work}"
    kernel.mount("overlay", root, "overlay", 0, layers)
    kernel.mount("proc", root / "proc", "proc", _BARE)
    # Kernel settings are the machine's, and so is the magic key: a host may only read them.
    for name in ("sys", "sysrq-trigger"):
        place = root / "proc" / name
        if not place.exists():
            continue
        kernel.mount(str(place), place, None, MS_BIND)
        kernel.mount(None, place, None, MS_BIND | MS_REMOUNT | MS_RDONLY | _BARE)
    kernel.mount("sysfs", root / "sys", "sysfs", MS_RDONLY | _BARE)
    kernel.mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", _BARE)
    kernel.mount("tmpfs", root / "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m")
    kernel.mount("tmpfs", root / "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=128m")
    return root


def _mount_devices(dev: Path) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for name in _DEVICES:
        (dev / name).touch()
        kernel.mount(f"/dev/{name}", dev / name, None, MS_BIND)
    (dev / "pts").mkdir()
    kernel.mount("devpts", dev / "pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620,gid=5")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "shm").mkdir()
    kernel.mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    links = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _become_init(root: Path, console: Path, up: int) -> NoReturn:
    log = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.chdir(root)
    here = Path()
    kernel.pivot_root(here, here)
    kernel.detach(here)
    os.chdir("/")
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.write(up, _TAKEN_OVER)
    os.closerange(3, 1024)
    os.execve("/sbin/init", ["/sbin/init", "--show-status=no"], _ENVIRONMENT)  # noqa: S606
