# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are a server's, and which of them may be believed."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import services
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _machine
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, said

NAMES = ("apache2",)


def test_masters_are_those_that_no_other_has_started(machine: FakeMachine) -> None:
    machine.process(10, "apache2", "apache2", "-k", "start")
    machine.process(11, "apache2", "apache2", "-k", "start", parent=10)
    machine.process(20, "apache2", "apache2", "-d", "/etc/apache2-b")
    machine.process(30, "bash", "bash")
    assert [one.pid for one in machine.masters(NAMES)] == [10, 20]
    assert machine.masters(NAMES)[1].arguments == ["apache2", "-d", "/etc/apache2-b"]


def test_a_process_that_has_ended_is_none(machine: FakeMachine) -> None:
    machine.process(10, "apache2", "apache2")
    (machine.root / "proc" / "10" / "status").write_text("State:\tZ (zombie)\nPPid:\t1\nUid:\t0\n")
    machine.process(11, "apache2", "apache2")
    (machine.root / "proc" / "11" / "status").unlink()
    assert machine.processes(NAMES) == []


def test_a_process_in_a_container_is_not_ours(machine: FakeMachine) -> None:
    machine.process(10, "apache2", "apache2")
    status = machine.root / "proc" / "10" / "status"
    status.write_text(status.read_text().replace("NSpid:\t10", "NSpid:\t10\t1"))
    assert machine.processes(NAMES) == []
    assert machine.contained(NAMES) == [10]


def test_a_process_in_another_root_is_not_ours_but_one_in_its_own_chroot_is(machine: FakeMachine) -> None:
    machine.process(10, "apache2", "apache2")
    root = machine.root / "proc" / "10" / "root"
    root.unlink()
    root.symlink_to(str(machine.root))
    assert [one.pid for one in machine.processes(NAMES)] == [10]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
@pytest.mark.parametrize("lie", ["another user", "another program", "a program that others may write"])
def test_root_believes_only_what_is_root_s(machine: FakeMachine, lie: str) -> None:
    machine.process(10, "apache2", "apache2", uid=1000 if lie == "another user" else 0)
    if lie == "another program":
        exe = machine.root / "proc" / "10" / "exe"
        exe.unlink()
        exe.symlink_to("/usr/bin/env")
    if lie == "a program that others may write":
        (machine.root / "bin" / "apache2").chmod(0o777)
    assert machine.masters(NAMES) == []
    assert [one.pid for one in machine.strangers(NAMES)] == [10]


SHOW = ("systemctl", "show", "--property=MainPID", "--property=User")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
@pytest.mark.parametrize(
    ("shown", "trusted", "prefix"),
    [
        ("MainPID=10\nUser=nobody\n", True, ["runuser", "-u", "nobody", "--"]),
        ("MainPID=9\nUser=\n", False, []),
        ("", False, []),
    ],
)
def test_a_service_of_systemd_is_asked_with_its_own_rights(
    machine: FakeMachine, shown: str, trusted: bool, prefix: list[str]
) -> None:
    user = pwd.getpwnam("nobody").pw_uid
    machine.with_systemd()
    machine.process(10, "apache2", "apache2", uid=user, unit="apache2.service")
    machine.answers[(*SHOW, "apache2.service")] = said(shown)
    assert [one.pid for one in machine.masters(NAMES)] == ([10] if trusted else [])
    if trusted:
        (process,) = machine.masters(NAMES)
        assert machine.as_owner(process, ["apache2", "-t"]) == [*prefix, "apache2", "-t"]
        assert machine.unit(process) == "apache2.service"


def test_a_server_that_was_started_over_ssh_is_not_reloaded_by_the_service_of_sshd(
    machine: FakeMachine,
) -> None:
    machine.with_systemd()
    machine.process(10, "apache2", "apache2", unit="ssh.service")
    machine.answers[("systemctl", "show", "--property=CanReload", "ssh.service")] = said("CanReload=yes\n")
    (process,) = machine.processes(NAMES)
    assert machine.reload_by_systemd(process) == ["systemctl", "reload", "ssh.service"]
    machine.answers[("systemctl", "show", "--property=MainPID", "ssh.service")] = said("MainPID=7\n")
    assert machine.reload_by_systemd(process) is None


PROPERTIES = "--property=ExecStart,Environment,EnvironmentFiles"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
def test_a_daemon_that_gave_up_root_s_rights_has_the_command_line_that_systemd_gave_it(
    machine: FakeMachine,
) -> None:
    machine.with_systemd()
    lie = ("apache2", "-f", "/srv/evil.conf")
    machine.process(10, "apache2", *lie, uid=pwd.getpwnam("nobody").pw_uid, unit="apache2.service")
    machine.answers[(*SHOW, "apache2.service")] = said("MainPID=10\nUser=\n")
    machine.answers[("systemctl", "show", "--property=MainPID", "apache2.service")] = said("MainPID=10\n")
    machine.answers[("systemctl", "show", PROPERTIES, "apache2.service")] = said(
        "ExecStart={ path=/usr/sbin/apache2 ; argv[]=/usr/sbin/apache2 -k start ; ignore_errors=no ; }\n"
    )
    assert [one.arguments for one in machine.masters(NAMES)] == [["/usr/sbin/apache2", "-k", "start"]]
    (process,) = machine.masters(NAMES)
    assert machine.as_owner(process, ["x"]) == ["x"]
    (unread,) = machine.processes(NAMES)
    assert machine.as_owner(unread, ["x"])[0] == "runuser", "it still has the words of its own"
    machine.answers[("systemctl", "show", PROPERTIES, "apache2.service")] = said("")
    (process,) = machine.masters(NAMES)
    assert process.arguments == list(lie)
    assert machine.as_owner(process, ["x"]) == ["runuser", "-u", "nobody", "--", "x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
@pytest.mark.parametrize(
    ("words", "obeyed"),
    [
        (["-D", "-f", "/etc/passwd"], True),
        (["-q", "30", "-oX", "127.0.0.1:25"], True),
        (["--config=/etc/passwd"], True),
        (["-f", "{evil}"], False),
        (["-f{evil}"], False),
        (["-f", "{link}"], False),
        (["-f", "evil.conf"], False),
        (["-f", "."], False),
        (["-f", "/etc/no-such-file"], False),
    ],
)
def test_without_systemd_root_obeys_only_words_that_lead_to_root_s_own_files(
    machine: FakeMachine, words: list[str], obeyed: bool
) -> None:
    folder = machine.root / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "evil.conf").touch()
    (folder / "link").symlink_to("/etc/passwd")
    given = [word.format(evil=folder / "evil.conf", link=folder / "link") for word in words]
    machine.process(10, "apache2", "apache2", *given, uid=pwd.getpwnam("nobody").pw_uid)
    for pid in ("10", "self"):
        (machine.root / "proc" / pid / "ns").mkdir()
        (machine.root / "proc" / pid / "ns" / "user").symlink_to("user:[1]")
    (machine.root / "proc" / "10" / "root").unlink()
    (machine.root / "proc" / "10" / "root").symlink_to("/var/lib/haproxy")
    (process,) = machine.masters(NAMES)
    prefix = [] if obeyed else ["runuser", "-u", "nobody", "--"]
    assert machine.as_owner(process, ["x"]) == [*prefix, "x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
@pytest.mark.parametrize(
    ("root", "namespace", "trusted"),
    [
        ("/var/lib/haproxy", "user:[1]", True),
        ("/", "user:[1]", False),
        ("/var/lib/haproxy", "user:[2]", False),
        ("the folder of its program", "user:[1]", False),
    ],
)
def test_a_daemon_that_gave_up_root_s_rights_in_a_chroot_was_root_s(
    machine: FakeMachine, root: str, namespace: str, trusted: bool
) -> None:
    machine.process(10, "apache2", "apache2", uid=1000)
    for pid, name in (("10", namespace), ("self", "user:[1]")):
        (machine.root / "proc" / pid / "ns").mkdir()
        (machine.root / "proc" / pid / "ns" / "user").symlink_to(name)
    (machine.root / "proc" / "10" / "root").unlink()
    (machine.root / "proc" / "10" / "root").symlink_to(str(machine.root) if "program" in root else root)
    assert [one.pid for one in machine.masters(NAMES)] == ([10] if trusted else [])
    if trusted:
        assert machine.as_owner(machine.masters(NAMES)[0], ["x"]) == ["x"]


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        ("0::/system.slice/nginx.service", "nginx.service"),
        ("1:name=systemd:/system.slice/nginx@a.service\n0::/", "nginx@a.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", None),
        ("0::/user.slice/session-1.scope", None),
        ("3:cpu,cpuacct:/system.slice/other.service\n0::/", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process(machine: FakeMachine, cgroup: str, expected: str | None) -> None:
    machine.process(10, "apache2", "apache2")
    (machine.root / "proc" / "10" / "cgroup").write_text(cgroup + "\n")
    (process,) = machine.processes(NAMES)
    assert machine.unit(process) is None
    machine.with_systemd()
    assert machine.unit(process) == expected


def test_a_program_that_was_replaced_while_it_runs_is_found_at_its_place(machine: FakeMachine) -> None:
    machine.process(10, "apache2", "apache2")
    (process,) = machine.processes(NAMES)
    exe = machine.root / "proc" / "10" / "exe"
    exe.unlink()
    exe.symlink_to(f"{machine.root}/bin/apache2 (deleted)")
    assert machine.executable(process) == f"{machine.root}/bin/apache2"
    (machine.root / "bin" / "apache2").unlink()
    assert machine.executable(process) is None


def test_what_cannot_be_run_answers_nothing() -> None:
    machine = _machine.Machine()
    assert machine.ask(["/no/such/program"]) is None
    assert machine.ask(["/bin/\0"]) is None


def test_systemd_reloads_only_what_it_knows_to_reload(machine: FakeMachine) -> None:
    machine.with_systemd()
    machine.process(10, "apache2", "apache2", unit="apache2.service")
    (process,) = machine.processes(NAMES)
    assert machine.reload_by_systemd(process) is None
    machine.answers[("systemctl", "show", "--property=CanReload", "apache2.service")] = said(
        "CanReload=yes\n"
    )
    assert machine.reload_by_systemd(process) == ["systemctl", "reload", "apache2.service"]


def test_this_very_process_is_seen_in_the_real_proc(tmp_path: Path) -> None:
    program = tmp_path / "nginx"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as sleeping:
        try:
            shown, deadline = Path(f"/proc/{sleeping.pid}/cmdline"), time.monotonic() + 10
            while not shown.read_bytes() and time.monotonic() < deadline:
                pass  # the kernel gives a new program its name a moment before its arguments
            machine = _machine.Machine()
            found = [one for one in machine.processes(("nginx",)) if one.pid == sleeping.pid]
            assert [(one.parent, one.user, one.arguments[1:]) for one in found] == [
                (os.getpid(), os.getuid(), ["60"])
            ]
            assert machine.executable(found[0]) == os.path.realpath("/bin/sleep")
            assert machine.may_ask_as(found[0])
            assert machine.folder(found[0]) == os.getcwd()
            assert machine.environment(found[0]).get("PATH") == os.environ.get("PATH")
        finally:
            sleeping.kill()


def test_a_kind_of_server_that_nobody_knows_is_named() -> None:
    with pytest.raises(HostError, match=r"no kind of server is called 'iis'; known: apache, .*, nginx, "):
        services.get("iis")


def test_every_kind_says_what_it_promises(machine: FakeMachine) -> None:
    for name in services.KINDS:
        service = services.get(name, machine)
        assert service.name == name
        assert service.found() == (name == "files")  # every machine has files
        assert not service.running()
        assert service.version() is None
        assert service.reload_commands() == []
        assert all(isinstance(word, str) for argv in service.test_commands() for word in argv)
        assert isinstance(service.command_environment(), dict)
    assert sys.version_info >= (3, 6)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
def test_root_finds_no_program_that_another_may_change(machine: FakeMachine) -> None:
    path = Path(machine.program("doveconf"))
    assert machine.find(("doveconf",)) == str(path)
    path.chmod(0o775)
    assert machine.find(("doveconf",)) is None
    path.chmod(0o755)
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    assert machine.find(("doveconf",)) is None


def test_what_a_program_says_of_itself_is_read_in_its_file_unless_it_is_a_script(
    machine: FakeMachine,
) -> None:
    httpd = machine.program("httpd")
    program = Path(httpd)
    texts = (b"\x7fELF", b"Apache/2", b"Apache/2.4.62 (Debian)", b"server/mod_so.c", b"")
    program.write_bytes(b"\0".join(texts))
    assert list(machine.written(str(program), b"Apache/")) == ["Apache/2", "Apache/2.4.62 (Debian)"]
    assert list(machine.written(str(program), b".c\0")) == ["server/mod_so.c"]
    apache = services.get("apache", machine)
    assert apache.version() == "2.4.62"
    assert [httpd, "-v"] not in machine.asked
    script = machine.program("apache2")
    Path(script).write_bytes(b"#!/bin/sh\necho Apache/2.4.62\0")
    assert list(machine.written(script, b"Apache/")) == []


@pytest.mark.parametrize("place", [96 * 1024, 2 * 96 * 1024, 5 * 96 * 1024])
@pytest.mark.parametrize("before", range(-24, 26, 4))
def test_a_text_is_found_once_wherever_in_a_large_program_it_stands(
    machine: FakeMachine, place: int, before: int
) -> None:
    program = Path(machine.program("httpd"))
    text = b"Apache/2.4.62 (Apache/1)"
    head = b"\x7fELF" + b"\1" * (place - before - 5) + b"\0"
    program.write_bytes(head + text + b"\0" + b"\2" * 300_000 + b"\0Apache/9")
    assert list(machine.written(str(program), b"Apache/")) == [text.decode(), "Apache/9"]


def test_a_text_without_an_end_is_cut(machine: FakeMachine) -> None:
    program = Path(machine.program("httpd"))
    program.write_bytes(b"\x7fELF\0Apache/" + b"2" * 400_000)
    (found,) = machine.written(str(program), b"Apache/")
    assert found == "Apache/" + "2" * (16 * 1024 - 7)


def test_a_kind_of_server_without_a_trace_is_not_loaded(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traces = ("exim4", f"{tmp_path}/opt/exim*/bin/exim")
    heads = {"exim": {"process_names": ("exim4", "exim"), "traces": traces}}
    monkeypatch.setattr(services, "__loader__", SimpleNamespace(heads=heads))
    assert services.may_be_here("nginx", machine), "it does not say where it is"
    assert not services.may_be_here("exim", machine)
    (tmp_path / "opt/exim-4/bin").mkdir(parents=True)
    (tmp_path / "opt/exim-4/bin/exim").touch()
    assert services.may_be_here("exim", machine)
    (tmp_path / "opt/exim-4/bin/exim").unlink()
    machine.process(10, "exim4", "exim4", uid=1000)
    assert services.may_be_here("exim", machine), "whosever it is"
