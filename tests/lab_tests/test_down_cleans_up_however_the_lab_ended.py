"""After `down` the machine is as before, whichever process of the lab was killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import SMALL, Fleet, Host, Lab, Service, Site
from tests.lab.errors import NotReadyError
from tests.lab.image import install
from tests.lab.state import BASE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TREE = Path(__file__).parents[2]


@pytest.fixture
def name() -> Iterator[str]:
    install(say=lambda _: None)
    name = f"gone-{os.getpid()}"
    yield name
    State(name).remove()


def test_a_lab_adds_nothing_to_the_machine_but_its_folder(name: str) -> None:
    mounts, links = Path("/proc/self/mounts").read_text(), _interfaces()

    with Lab.up(name, SMALL) as lab:
        assert Path("/proc/self/mounts").read_text() == mounts
        assert _interfaces() == links
        assert lab.folder.stat().st_mode & 0o777 == 0o700


def test_down_leaves_no_process_no_cgroup_and_no_file(name: str) -> None:
    with Lab.up(name, SMALL) as lab:
        members = _processes_in(lab)
        lab.run(["ssh", "-V"])
    assert len(members) > 20
    _assert_gone(name, members)


def test_down_cleans_up_after_the_keeper_was_killed(name: str) -> None:
    lab = Lab.up(name, SMALL)
    members = _processes_in(lab)
    os.kill(State(name).processes()["keeper"].pid, signal.SIGKILL)
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members))
    lab.close()

    assert _command_line("down", "--name", name).returncode == 0

    _assert_gone(name, members)


def test_down_cleans_up_after_a_host_was_killed(name: str) -> None:
    lab = Lab.up(name, SMALL)
    members = _processes_in(lab)
    os.kill(lab.hosts["web1"].process.pid, signal.SIGKILL)
    _wait_for(lambda: not lab.hosts["web1"].process.alive)
    assert lab.served("apache1", 443, "wiki.lab.test") == lab.first_fingerprints["wiki"]

    lab.down()

    _assert_gone(name, members)


def test_down_closes_the_connections_that_ssh_keeps_open(name: str) -> None:
    with Lab.up(name, SMALL) as lab:
        control = ["-o", "ControlMaster=auto", "-o", f"ControlPath={lab.folder}/cp/web1"]
        ssh = lab.ssh_command("web1")
        lab.run([*ssh, *control, "-o", "ControlPersist=600", "true"])
        said = lab.run([*ssh, *control, "-O", "check"]).stderr
        master = re.search(r"pid=(\d+)", said)
        assert master is not None, said
        assert Path(f"/proc/{master[1]}").exists()

    _wait_for(lambda: not Path(f"/proc/{master[1]}").exists())


def test_a_lab_ends_with_the_process_that_raised_it(name: str) -> None:
    program = (
        "import time\nfrom tests.lab import SMALL, Lab\n"
        f"lab = Lab.up({name!r}, SMALL)\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=_TREE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        members = _processes_in(Lab.attach(name))
        starter.kill()
    _wait_for(lambda: not State(name).folder.exists())

    _assert_gone(name, members)


def test_a_half_raised_lab_of_a_killed_process_can_be_raised_again(name: str) -> None:
    program = f"from tests.lab import SMALL, Lab\nLab.up({name!r}, SMALL)\n"
    with subprocess.Popen([sys.executable, "-c", program], cwd=_TREE) as starter:
        _wait_for((BASE / name / "processes").is_dir)
        starter.kill()
    _wait_for(lambda: not State(name).alive)

    with Lab.up(name, SMALL) as lab:
        assert lab.served("web1", 443, "www.lab.test") == lab.first_fingerprints["www"]


def test_a_lab_of_the_command_line_stays_until_down(name: str) -> None:
    assert "5 certificates" in _command_line("up", "--name", name, "--fleet", "small").stdout
    assert "web1" in _command_line("status").stdout
    said = _command_line("ssh", "--name", name, "web1", "hostname", "--fqdn")
    assert said.stdout == "web1.lab.test\n", said.stderr
    inside = _command_line("exec", "--name", name, "ip", "-brief", "address", "show", "br0")
    assert "10.77.0.1/16" in inside.stdout
    members = _processes_in(Lab.attach(name))

    assert _command_line("down", "--name", name).returncode == 0

    _assert_gone(name, members)


def test_a_server_that_does_not_start_is_named_with_its_journal(name: str) -> None:
    fleet = Fleet(
        "clash",
        (Host("both", (Service.NGINX, Service.HAPROXY)),),
        (
            Site("one", ("one.lab.test",), ("both",)),
            Site("other", ("other.lab.test",), ("both",), Service.HAPROXY),
        ),
    )

    with pytest.raises(NotReadyError) as raised:
        Lab.up(name, fleet, patience=4)

    assert re.search(r"both: \w+\.lab\.test on port 443 is not served", str(raised.value))
    assert "Address already in use" in str(raised.value)
    assert not State(name).folder.exists()


def test_the_inotify_limit_is_raised_for_many_hosts_and_restored(name: str) -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    before = limit.read_text()
    many = Fleet("many", tuple(Host(f"h{number}") for number in range(20)))

    with Lab.up(name, many) as lab:
        raised = limit.read_text()
        assert lab.hosts["h19"].run(["hostname"]).stdout == "h19\n"

    assert int(raised) > int(before) or int(before) >= 8192
    assert limit.read_text() == before


def _interfaces() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def _processes_in(lab: Lab) -> list[int]:
    files = State(lab.name).cgroup.rglob("cgroup.procs")
    return [int(line) for file in files for line in file.read_text().split()]


def _command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.lab", *arguments],
        cwd=_TREE,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _assert_gone(name: str, members: list[int]) -> None:
    state = State(name)
    assert not state.folder.exists()
    assert not state.cgroup.exists()
    # What has ended is still listed until the machine's first process has collected it.
    _wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members))


def _wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
