# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the option files of MariaDB and MySQL say, and how each is told to read its certificate."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _mariadb_options, mariadb
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

MARIADB = "mariadbd  Ver 10.11.18-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64"
MYSQL = "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)"


class Server:
    """A MariaDB or MySQL that does not run, or runs as the user of this test."""

    def __init__(self, folder: Path, machine: FakeMachine, version: str = MARIADB) -> None:
        self.folder = folder
        self.machine = machine
        self.file = folder / "my.cnf"
        machine.answers[("mariadbd", "--version")] = said(version)
        machine.program("mariadbd")
        self.service = mariadb.MariaDB(machine)
        self.service.configs = (str(self.file),)
        self.service.account = "nobody-of-this-name"

    def write(self, text: str) -> None:
        """Its option file; %C is its folder."""
        self.file.write_text(text.replace("%C", str(self.folder)))

    def runs(self, *arguments: str, unit: str | None = None) -> None:
        """It runs, as the user of this test."""
        self.machine.process(7, "mariadbd", "/usr/sbin/mariadbd", *arguments, uid=os.geteuid(), unit=unit)


@pytest.fixture
def server(tmp_path: Path, machine: FakeMachine) -> Server:
    """A MariaDB whose own parser cannot be asked."""
    return Server(tmp_path, machine)


@pytest.mark.parametrize(
    ("line", "means"),
    [
        ("ssl_cert = /a.crt", ("ssl-cert", "/a.crt")),
        ("loose-ssl-cert='/a b.crt' # x", ("ssl-cert", "/a b.crt")),
        ("ssl-ce=a", ("ssl-cert", "a")),
        ("ssl-c=a", ("ssl-c", "a")),
        ('ssl-key="a\\sb#c"#d', ("ssl-key", "a b#c")),
        ("skip-ssl", ("ssl", "0")),
        ("disable_ssl", ("ssl", "0")),
        ("enable-ssl", ("ssl", "1")),
        ("skip-networking", ("skip-networking", None)),
        ("port", ("port", None)),
        ("bind=::1", ("bind-address", "::1")),
    ],
)
def test_a_line_means_what_the_server_takes_it_for(line: str, means: tuple[str, str | None]) -> None:
    assert _mariadb_options.assigned(line) == means


def test_a_command_line_has_its_options_in_many_forms() -> None:
    words = [
        "--ssl-cert",
        "/a.crt",
        "--ssl-key='x'",
        "-P3307",
        "-P",
        "3308",
        "--skip-networking",
        "-x",
        "rest",
    ]
    found = [(name, option.value) for name, option in _mariadb_options.arguments(words, "f")]
    assert found == [
        ("ssl-cert", "/a.crt"),
        ("ssl-key", "'x'"),
        ("port", "3307"),
        ("port", "3308"),
        ("skip-networking", None),
    ]


def test_files_speak_where_nobody_can_be_asked(server: Server, report: Report, issue: Issue) -> None:
    made = issue("a.test")
    made.save(server.folder, "a")
    server.write(
        "[mysqld]\nssl-cert=%C/a.crt\nssl-key=%C/a.key\nport=3307\nextra-port=3308\nbind-address=::1,192.0.2.7\n"
        "[mysqld-10.6]\nssl-cert=/other.crt\n[mariadb-10.11]\nport=3309\n"
    )
    server.service.scan(report)
    [binding] = report.bindings
    assert binding["certificate"] == made.fingerprint
    addresses = ("[::1]", "192.0.2.7")
    assert binding["listeners"] == [f"{one}:{port}/mysql" for port in (3309, 3308) for one in addresses]
    assert binding["line"] == 2


def test_one_file_is_enough_for_certificate_and_key(server: Server, report: Report, issue: Issue) -> None:
    made = issue("a.test")
    (server.folder / "a.pem").write_text(made.pem + made.key_pem)
    server.write("[mysqld]\nssl-key=%C/a.pem\n")
    server.service.scan(report)
    [binding] = report.bindings
    assert [(file["kind"]) for file in binding["files"]] == ["combined"]


def test_mysql_shows_what_it_has_made_for_itself(tmp_path: Path, report: Report, issue: Issue) -> None:
    server = Server(tmp_path, FakeMachine(tmp_path / "m"), MYSQL)
    certificate, key = issue("a.test").save(tmp_path / "data", "server")
    certificate.rename(tmp_path / "data/server-cert.pem")
    key.rename(tmp_path / "data/server-key.pem")
    server.write("[mysqld]\ndatadir=%C/data\nadmin-address=127.0.0.1\n[mariadb]\nport=3307\n")
    server.service.scan(report)
    first, admin = report.bindings
    assert [Path(file["path"]).name for file in first["files"]] == ["server-cert.pem", "server-key.pem"]
    assert "*:3306/mysql" in first["listeners"]
    assert admin["listeners"] == ["127.0.0.1:33062/mysql"]


def test_a_certificate_that_is_made_at_each_start_is_told_of(tmp_path: Path, report: Report) -> None:
    server = Server(tmp_path, FakeMachine(tmp_path / "m"), MARIADB.replace("10.11.18", "11.4.2"))
    server.write("[mysqld]\nwsrep_provider_options='socket.ssl_cert=/galera.pem;gcache.size=1G'\n")
    server.service.scan(report)
    told = " | ".join(warning["message"] for warning in report.warnings)
    assert "makes at each start" in told
    assert "Galera shows /galera.pem" in told
    assert report.bindings == []


class TestReload:
    """What makes it read its files again."""

    def test_it_is_flushed_where_it_lets_us_in(self, server: Server) -> None:
        server.write("[mysqld]\n")
        client = server.machine.program("mariadb-admin")
        (server.folder / "socket").touch()
        options = ["--protocol=socket", f"--socket={server.folder}/socket", "--connect-timeout=5"]
        server.machine.answers[("mariadb-admin", *options, "status")] = said("Uptime: 1")
        server.runs(f"--socket={server.folder}/socket")
        assert server.service.reload_commands() == [[client, *options, "flush-ssl"]]

    def test_mysql_is_told_in_sql(self, tmp_path: Path) -> None:
        server = Server(tmp_path, FakeMachine(tmp_path / "m"), MYSQL)
        client = server.machine.program("mysql")
        (tmp_path / "socket").touch()
        options = ["--protocol=socket", f"--socket={tmp_path}/socket", "--connect-timeout=5"]
        server.machine.answers[("mysql", *options, "--execute=DO 1")] = said()
        server.runs(f"--socket={tmp_path}/socket")
        told = [client, *options, "--execute=ALTER INSTANCE RELOAD TLS"]
        assert server.service.reload_commands() == [told]

    def test_else_it_is_restarted(self, server: Server) -> None:
        server.machine.with_systemd()
        server.machine.answers[("systemctl", "show")] = said("MainPID=7\nUser=\n")
        server.runs(unit="mariadb.service")
        assert server.service.reload_commands() == [["systemctl", "restart", "mariadb.service"]]

    def test_where_there_is_no_way_nothing_is_begun(self, server: Server) -> None:
        server.runs()
        with pytest.raises(HostError, match="no service runs it"):
            server.service.reload_commands()


def test_a_configuration_that_includes_itself_ends(server: Server, report: Report) -> None:
    server.write("!include %C/my.cnf\n" * 20 + "[mysqld]\nport=3307\n")
    start = time.process_time()
    server.service.scan(report)
    assert time.process_time() - start < 5
    assert any("nested too deeply" in warning["message"] for warning in report.warnings)


@given(st.text(alphabet="aZ0-_ '\"\\#=;.\t\r$\x00é\udcff", max_size=200))
def test_no_line_makes_it_stumble(line: str) -> None:
    name, value = _mariadb_options.assigned(line)
    assert name == name.strip()
    assert value is None or "=" in line or value in "01"


@pytest.mark.parametrize("piece", ["'", '"', "\\", "a", " ", "#", "="])
def test_a_long_line_is_read_in_a_moment(piece: str) -> None:
    start = time.process_time()
    _mariadb_options.assigned("ssl-cert=" + piece * 300_000)
    assert time.process_time() - start < 2
