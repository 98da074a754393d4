# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vsftpd's settings and command lines say."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _units,
    _vsftpd_settings,
    vsftpd,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report


class Vsftpd:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.certificate, self.key = issue("ftp.test").save(folder, "ftp")
        machine.program("vsftpd")
        self.service = vsftpd.Vsftpd(machine)
        self.service.configs = (str(folder / "vsftpd.conf"), str(folder / "other.conf"))
        self.tls = f"ssl_enable=YES\nrsa_cert_file={self.certificate}\nrsa_private_key_file={self.key}\n"

    def listeners(self, text: str) -> list[list[str]]:
        """Where each certificate of a configuration is shown."""
        (self.folder / "vsftpd.conf").write_text(text, newline="")
        self.service.scan(self.report)
        return [binding["listeners"] for binding in self.report.bindings]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def ftp(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Vsftpd:
    """An installed vsftpd that does not run."""
    return Vsftpd(tmp_path / "etc", machine, report, issue)


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("listen=YES\n", ["*:21/ftp"]),
        ("listen=YES\nlisten_port=2121\nlisten_address=10.0.0.1\n", ["10.0.0.1:2121/ftp"]),
        ("listen=YES\nlisten_port=01737\nimplicit_ssl=yes\n", ["*:991"]),
        ("listen_ipv6=1\nlisten_address6=fe80::1\n", ["[fe80::1]:21/ftp"]),
        ("listen_ipv6=TRUE\nlisten=NO\nlisten_port=x\nlisten_address6=::1\n", ["[::1]:21/ftp"]),
    ],
)
def test_where_it_listens(ftp: Vsftpd, text: str, listeners: list[str]) -> None:
    assert ftp.listeners(ftp.tls + text) == [listeners]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it does not listen by itself: another program must start it for each session"),
        ("listen=YES\nlisten_ipv6=YES\n", "it does not start with both listen and listen_ipv6"),
    ],
)
def test_what_does_not_listen_is_said(ftp: Vsftpd, text: str, message: str) -> None:
    assert ftp.listeners(ftp.tls + text) == [[]]
    assert message in ftp.warned()


def test_without_tls_there_is_nothing_to_tell(ftp: Vsftpd) -> None:
    assert ftp.listeners(ftp.tls + "listen=YES\nssl_enable=NO\n") == []
    assert ftp.report.listening == {"vsftpd": {"*:21/ftp"}}


def test_tls_without_a_certificate_is_said(ftp: Vsftpd) -> None:
    assert ftp.listeners("listen=YES\nssl_enable=YES\nrsa_cert_file=\n") == []
    assert ftp.warned() == ["TLS without a certificate"]


def test_the_built_in_certificate_is_meant_where_none_is_named(ftp: Vsftpd) -> None:
    ftp.listeners("listen=YES\nssl_enable=YES\n")
    (binding,) = ftp.report.bindings
    assert [file["path"] for file in binding["files"]] == ["/usr/share/ssl/certs/vsftpd.pem"]
    assert binding["line"] == 2


def test_a_file_that_cannot_be_read_is_said(ftp: Vsftpd) -> None:
    ftp.service.scan(ftp.report)
    assert ftp.warned() == [
        f"{ftp.folder}/vsftpd.conf is not read: No such file or directory",
        "it does not listen by itself: another program must start it for each session",
    ]


def test_a_process_is_believed_in_what_it_was_started_with(ftp: Vsftpd) -> None:
    (ftp.folder / "one.conf").write_text(ftp.tls)
    ftp.machine.process(7, "vsftpd", "vsftpd", f"{ftp.folder}/one.conf", "-olisten_port=990")
    ftp.machine.process(8, "vsftpd", "vsftpd", f"{ftp.folder}/one.conf", parent=7)
    ftp.service.scan(ftp.report)
    (binding,) = ftp.report.bindings
    assert binding["listeners"] == ["*:990/ftp"]
    (test,) = ftp.service.test_commands()
    assert test[3:] == [
        f"{ftp.machine.root}/bin/vsftpd",
        f"{ftp.folder}/one.conf",
        "-olisten_port=990",
        "-osetproctitle_enable=NO",
        "-olisten=YES",
        "-olisten_ipv6=NO",
        "-olisten_address=-",
        "-obackground=YES",
    ]


def test_a_service_is_restarted_also_when_it_has_gone_down(ftp: Vsftpd) -> None:
    ftp.machine.with_systemd()
    ftp.machine.process(7, "vsftpd", "vsftpd", unit="vsftpd@a.service")
    ftp.machine.process(8, "vsftpd", "vsftpd", "/etc/vsftpd.conf", "-olisten_address=-", unit="ssh.service")
    ftp.machine.answers[("systemctl", "show", "--property=MainPID", "vsftpd@a.service")] = said("MainPID=7\n")
    assert ftp.service.reload_commands() == [["systemctl", "restart", "vsftpd@a.service"]]
    (ftp.machine.root / "proc/7/comm").write_text("gone\n")
    ftp.machine.answers[("systemctl", "is-failed")] = said()
    assert ftp.service.reload_commands() == [
        ["systemctl", "reset-failed", "vsftpd@a.service"],
        ["systemctl", "restart", "vsftpd@a.service"],
    ]


def test_a_process_of_nobodys_is_not_restarted(ftp: Vsftpd) -> None:
    """Not even by the service from which somebody has started it."""
    ftp.machine.with_systemd()
    ftp.machine.process(7, "vsftpd", "vsftpd", unit="ssh.service")
    ftp.machine.answers[("systemctl", "show", "--property=MainPID", "ssh.service")] = said("MainPID=1\n")
    with pytest.raises(HostError, match="process 7 is no service of systemd"):
        ftp.service.reload_commands()


def test_a_service_tells_the_arguments_that_a_title_hides(ftp: Vsftpd) -> None:
    (ftp.folder / "environment").write_text("# comment\nMORE='-olisten_port=990 -olisten=YES'\nBAD\n")
    ftp.machine.with_systemd()
    ftp.machine.process(7, "vsftpd", "vsftpd: LISTENER", unit="vsftpd.service")
    ftp.machine.answers[("systemctl", "show")] = said(
        "ExecStart={ path=/usr/sbin/vsftpd ; argv[]=/usr/sbin/vsftpd ${WHERE}/one.conf $MORE $NONE ; "
        f"ignore_errors=no ; pid=7 }}\nEnvironment=WHERE={ftp.folder} 'X=a b'\n"
        f"EnvironmentFiles={ftp.folder}/environment (ignore_errors=yes)\n"
    )
    (instance,) = ftp.service.instances()
    assert instance.told == [f"{ftp.folder}/one.conf", "-olisten_port=990", "-olisten=YES"]


def test_a_service_that_systemd_does_not_know_has_no_arguments(machine: FakeMachine) -> None:
    assert _units.arguments(machine, "no.service") == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["listen", "=", "YES", "\n", "rsa_cert_file", "/", "\0", "#", "é", "0"])))
def test_no_text_stops_a_scan(words: list[str]) -> None:
    read = _vsftpd_settings.Settings()
    for number, line in enumerate("".join(words).split("\n")):
        read.take(line, "f", number)
    assert 0 <= read.number("listen_port", 21) <= 999999999
