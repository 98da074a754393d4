# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lighttpd configuration shows to whom."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _lighttpd_conditions,
    _lighttpd_rights,
    _lighttpd_sockets,
    _lighttpd_syntax,
    _reading,
    _report,
    lighttpd,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import said as answered
from hypothesis import given, settings
from hypothesis import strategies as st

Report = _report.Report
Found = list[tuple[str, list[str], list[str]]]


class Lighttpd:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.fingerprints: dict[str, str] = {}
        folder.mkdir()
        for name in ("a", "b", "c"):
            made = issue(f"{name}.test")
            (folder / f"{name}.pem").write_text(made.pem + made.key_pem)
            (folder / f"{name}.pem").chmod(0o600)
            self.fingerprints[made.fingerprint] = name
        machine.program("lighttpd")
        self.service = lighttpd.Lighttpd(machine)
        self.service.config = str(folder / "lighttpd.conf")

    def pem(self, name: str) -> str:
        """The line that names a certificate."""
        return f'ssl.pemfile = "{self.folder}/{name}.pem"\n'

    def found(self, text: str) -> Found:
        """(certificate, names, listeners) of each binding."""
        (self.folder / "lighttpd.conf").write_text('ssl.engine = "enable"\nserver.port = 443\n' + text)
        self.service.scan(self.report)
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.report.bindings
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def web(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Lighttpd:
    """An installed lighttpd that does not run."""
    return Lighttpd(tmp_path / "etc", machine, report, issue)


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ('== "b.test"', ["b.test"]),
        ('=~ "^b\\.test$"', ["b.test"]),
        ('=~ "^(www\\.)?b\\.test$"', ["b.test", "www.b.test"]),
        ('=~ "(^|\\.)b\\.test$"', ["b.test", "*.b.test"]),
        ('=~ "^(.*\\.)?b\\.test$"', ["b.test", "*.b.test"]),
        ('=~ "^b[0-9]+\\.test$"', ["~^b[0-9]+\\.test$"]),
        ('=^ "b."', ["~^b\\."]),
        ('=$ ".b"', ["~\\.b$"]),
    ],
)
def test_a_condition_on_the_host_is_told_in_names(web: Lighttpd, condition: str, names: list[str]) -> None:
    text = web.pem("a") + f'$HTTP["host"] {condition} {{ {web.pem("b")} }}\n'
    assert web.found(text) == [("a", [], ["*:443"]), ("b", names, ["*:443"])]


def test_a_name_in_capitals_is_never_asked_for(web: Lighttpd) -> None:
    text = web.pem("a") + f'$HTTP["host"] == "B.test" {{ {web.pem("b")} }}\n'
    assert web.found(text) == [("a", [], ["*:443"]), ("b", [], [])]


def test_the_last_that_holds_counts_and_an_else_only_where_nothing_did(web: Lighttpd) -> None:
    text = web.pem("a")
    text += f'$HTTP["host"] == "x.test" {{ }} else $HTTP["host"] == "b.test" {{ {web.pem("b")} }}\n'
    text += f'else {{ {web.pem("c")} }}\n$HTTP["host"] == "late.test" {{ {web.pem("b")} }}\n'
    assert web.found(text) == [
        ("a", [], ["*:443"]),
        ("b", ["b.test"], ["*:443"]),
        ("c", ["~.*"], ["*:443"]),
        ("b", ["late.test"], ["*:443"]),
    ]


def test_what_only_a_request_can_tell_counts_for_no_handshake(web: Lighttpd) -> None:
    text = web.pem("a") + f'$HTTP["url"] =~ "^/" {{ {web.pem("b")} }} else {{ {web.pem("c")} }}\n'
    assert web.found(text) == [("a", [], ["*:443"]), ("b", [], []), ("c", [], [])]


def test_what_depends_on_the_client_is_not_claimed(web: Lighttpd) -> None:
    text = web.pem("a") + f'$HTTP["remoteip"] == "10.0.0.0/8" {{ {web.pem("b")} }}\n'
    text += '$HTTP["host"] == "x.test" { }\n'
    web.found(text)
    assert any("what is shown to x.test cannot be told" in one for one in web.warned())


def test_a_pattern_that_could_keep_us_is_not_tried(web: Lighttpd) -> None:
    text = f'{web.pem("a")}$HTTP["host"] =~ "^(a+)+b$" {{ {web.pem("b")} }}\n'
    text += f'$HTTP["host"] == "{"a" * 60}.test" {{ {web.pem("c")} }}\n'
    began = time.process_time()
    assert ("b", ["~^(a+)+b$"], ["*:443"]) in web.found(text)
    assert time.process_time() - began < 5


def test_a_set_that_pcre_reads_otherwise_than_we_is_not_tried(web: Lighttpd) -> None:
    text = f'{web.pem("a")}$HTTP["host"] =~ "^[[ab]]x" {{ {web.pem("b")} }}\n'
    text += f'$HTTP["host"] == "a.test" {{ {web.pem("c")} }}\n'
    assert ("b", ["~^[[ab]]x"], ["*:443"]) in web.found(text)


def test_without_its_module_there_is_no_tls(web: Lighttpd) -> None:
    text = 'server.modules = ("mod_access")\nserver.compat-module-load = "disable"\n' + web.pem("a")
    assert web.found(text) == [("a", [], [])]
    assert "TLS is wanted, and none of the modules that do it is loaded" in web.warned()


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        (":443", "*:443"),
        ("0.0.0.0:8443", "*:8443"),
        ("[::]:443", "[::]:443"),
        ("[::1]", "[::1]:80"),
        ("LocalHost:1", "localhost:1"),
        ("/run/socket", None),
        ("a:b:c", None),
        ("", "*:80"),
    ],
)
def test_sockets(text: str, listener: str | None) -> None:
    assert _lighttpd_conditions.listener(text, 80) == listener


def test_a_chain_beside_a_lonely_certificate_and_a_store_of_roots(web: Lighttpd, issue: Issue) -> None:
    chain = issue(common_name="issuer").pem
    (web.folder / "chain.crt").write_text(chain)
    web.found(web.pem("a") + f'ssl.ca-file = "{web.folder}/chain.crt"\n')
    assert [file["kind"] for file in web.report.bindings[0]["files"]] == ["combined", "chain"]
    web.report.bindings.clear()
    (web.folder / "roots.crt").write_text("".join(issue(common_name=f"root {n}").pem for n in range(6)))
    web.found(web.pem("a") + f'ssl.ca-file = "{web.folder}/roots.crt"\n')
    assert [file["kind"] for file in web.report.bindings[0]["files"]] == ["combined"]
    assert any("which has other uses" in one for one in web.warned())


def test_values_are_joined_and_looked_up_around(web: Lighttpd) -> None:
    text = f'var.a = "{web.folder}" + "/"\n$SERVER["socket"] == ":444" {{ var.b = var.a + "b"\n'
    text += 'var.b += ".pem" ssl.pemfile = var.b }\nssl.pemfile = "x"\nssl.pemfile := var.a + "a.pem"\n'
    assert web.found(text) == [("a", [], ["*:443"]), ("b", [], ["*:444"])]


def test_what_is_not_known_is_said(web: Lighttpd) -> None:
    (binding,) = web.found('ssl.pemfile = env.NOWHERE + ".pem"\ninclude_shell "/bin/echo"\ninclude "/none"\n')
    assert binding == ("-", [], ["*:443"])
    assert web.report.bindings[0]["problems"][0]["kind"] == "unresolved"
    assert web.warned()[:2] == [
        "which value env.NOWHERE has is not known",
        "/none is not read: No such file or directory",
    ]
    assert "what '/bin/echo' prints is part of its configuration, and is not read" in web.warned()


def test_what_lighttpd_would_not_read_is_said_with_its_line(web: Lighttpd) -> None:
    web.found(web.pem("a") + 'server.port = "\n')
    (warning,) = web.report.warnings
    assert (warning["line"], warning["message"]) == (4, "lighttpd would not read on: unexpected '\"'")


@pytest.mark.parametrize(
    ("shell", "files"),
    [
        ("/bin/echo 1 /etc/x", ["/bin/echo", "/etc/x"]),
        ("echo 1", ["/nowhere to be found"]),
        ("/bin/sh -c 'x'", ["/nowhere to be found"]),
        ("", ["/nowhere to be found"]),
    ],
)
def test_a_command_is_run_by_nobody_unless_it_is_plain(shell: str, files: list[str]) -> None:
    assert lighttpd._named([shell]) == files


def test_an_angel_is_told_to_reload(web: Lighttpd) -> None:
    web.machine.process(5, "lighttpd-angel", "lighttpd-angel", "-D")
    web.machine.process(6, "lighttpd", "lighttpd", "-f", str(web.folder / "lighttpd.conf"), parent=5)
    assert web.service.reload_commands() == [["kill", "-HUP", "5"]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give away")
def test_root_loads_no_modules_that_a_process_without_its_rights_names(
    web: Lighttpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anybody = pwd.getpwnam("nobody")
    monkeypatch.setattr(lighttpd, "_roots_own", lambda path: "modules" not in path)
    modules, config = str(tmp_path / "modules"), web.service.config
    words = ("/usr/sbin/lighttpd", "-D", "-f", config, "-m", modules)
    web.machine.with_systemd()
    web.machine.process(7, "lighttpd", *words, uid=anybody.pw_uid, unit="lighttpd.service")
    started = "ExecStart={ path=/usr/sbin/lighttpd ; argv[]=%s ; ignore_errors=no ; }\nMainPID=7\nUser=\n"
    web.machine.answers["systemctl", "show"] = answered(started % f"/usr/sbin/lighttpd -D -f {config}")
    web.found('include_shell "/usr/bin/true"\n')
    assert not [argv for argv in web.machine.asked if "-p" in argv]
    assert "others than root may change its files, so it is not asked what it makes of them" in web.warned()
    (test,) = web.service.test_commands()
    assert modules not in test, "what the process shows of itself is not obeyed"
    web.machine.answers["systemctl", "show"] = answered(started % " ".join(words))
    (test,) = web.service.test_commands()
    assert "runuser" not in test, "systemd says the same, so it is root's own word"


def test_rights_are_those_of_the_process(web: Lighttpd) -> None:
    web.machine.process(6, "lighttpd", "lighttpd", uid=33)
    status = web.machine.root / "proc/6/status"
    status.write_text(status.read_text() + "Gid:\t33\t33\nGroups:\t4 33\n")
    (process,) = web.machine.processes(("lighttpd",))
    secret = web.folder / "a.pem"
    assert not _lighttpd_rights.may_read(web.machine, process, str(secret))
    assert _lighttpd_rights._allowed(str(secret), os.getuid(), [], 4)
    secret.chmod(0o640)
    assert not _lighttpd_rights._allowed(str(secret), 4711, [], 4)
    assert _lighttpd_rights._allowed(str(secret), 4711, [os.getgid()], 4)


def test_ten_thousand_hosts_take_seconds(web: Lighttpd) -> None:
    hosts = [f'$HTTP["host"] == "h{n}.test" {{ {web.pem("b")} }}' for n in range(5000)]
    text = "\nelse ".join(hosts) + "\n"
    text += "\n".join(f'$HTTP["host"] =~ "(^|\\.)n{n}\\.test$" {{ {web.pem("c")} }}' for n in range(5000))
    began = time.process_time()
    found = web.found(web.pem("a") + text + "\n")
    assert time.process_time() - began < 20
    assert len(found) == 10001


TOKENS = ['$HTTP["host"]', '$SERVER["socket"]', "==", "=~", '"a.test"', '":443"', "{", "}", "else", "\n", "("]
TOKENS += [
    ")",
    "=>",
    ",",
    "+",
    "+=",
    "=",
    "var.a",
    "ssl.pemfile",
    "ssl.engine",
    '"enable"',
    "include",
    '"',
    "1",
]
TOKENS += ["\0", "é", "#", "\\", "global", "-", "$", "[", "]", "ssl.ca-file", "server.port", '"/x"']


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=60))
def test_no_text_stops_a_scan(words: list[str]) -> None:
    report = _report.Report(_reading.Reader(20.0))
    reading = _lighttpd_syntax.Reading(report.reader, report.warning, {}, "/nowhere")
    reading.base = "/nowhere"
    reading.text(" ".join(words), "lighttpd.conf")
    _lighttpd_sockets.Sockets(reading, {}, report, "lighttpd").report_bindings()
    assert all(binding["service"] == "lighttpd" for binding in report.bindings)
