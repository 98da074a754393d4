# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL configuration says, and who has the last word."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _postgresql_syntax,
    postgresql,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ssl = on", ["ssl", "on"]),
        ("SSL on # yes", ["ssl", "on"]),
        ("ssl_cert_file='a b.crt'#x", ["ssl_cert_file", "a b.crt"]),
        ("ssl_cert_file 'it''s\\t\\\\.crt'\r", ["ssl_cert_file", "it's\t\\.crt"]),
        ("port=5433", ["port", "5433"]),
        ("a.b = 'x#y'", ["a.b", "x#y"]),
        ("ssl_cert_file = '\\303\\244.crt'", ["ssl_cert_file", "\udcc3\udca4.crt"]),
        ("  # ssl = on", None),
        ("", None),
    ],
)
def test_a_line_is_read_as_postgresql_reads_it(line: str, said: list[str] | None) -> None:
    assert _postgresql_syntax.setting(line) == said


@pytest.mark.parametrize("line", ["ssl", "ssl =", "ssl = 'on", "= on", "listen_addresses = *", "a = b c"])
def test_what_postgresql_refuses_is_refused(line: str) -> None:
    with pytest.raises(_postgresql_syntax.Wrong):
        _postgresql_syntax.setting(line)


@pytest.mark.parametrize(
    ("value", "on"), [("on", True), ("T", True), ("yes", True), ("1", True), ("o", False), ("off", False)]
)
def test_a_boolean_is_any_beginning_of_a_word(value: str, *, on: bool) -> None:
    assert _postgresql_syntax.switched_on(value) is on


def test_a_command_line_has_its_settings_in_many_forms() -> None:
    words = ["-p5433", "-D", "/data", "-c", "ssl_cert_file=a.crt", "--ssl-key-file=a.key", "-il", "-h", "::1"]
    assert postgresql.parsed(words) == (
        "/data",
        {
            "port": "5433",
            "ssl_cert_file": "a.crt",
            "ssl_key_file": "a.key",
            "ssl": "on",
            "listen_addresses": "::1",
        },
    )


def write(folder: Path, text: str, made: t.Any) -> postgresql.PostgreSQL:
    """A cluster that does not run, in a folder."""
    made.save(folder, "server")
    (folder / "postgresql.conf").write_text(text)
    machine = FakeMachine(folder / "machine")
    service = postgresql.PostgreSQL(machine)
    service.configs = (str(folder / "postgresql.conf"),)
    return service


def test_without_a_server_to_ask_the_files_speak(tmp_path: Path, report: Report, issue: Issue) -> None:
    made = issue("a.test")
    service = write(tmp_path, "ssl = on\nport = 5433\nlisten_addresses = '::1, 192.0.2.7'\n", made)
    service.scan(report)
    [binding] = report.bindings
    assert binding["certificate"] == made.fingerprint
    assert binding["listeners"] == ["[::1]:5433/postgres", "192.0.2.7:5433/postgres"]


def test_a_configuration_that_includes_itself_ends(tmp_path: Path, report: Report, issue: Issue) -> None:
    service = write(tmp_path, "include 'postgresql.conf'\n" * 20 + "ssl = on\n", issue("a.test"))
    start = time.process_time()
    service.scan(report)
    assert time.process_time() - start < 5
    assert any("nested too deeply" in warning["message"] for warning in report.warnings)
    assert len(report.bindings) == 1


@given(st.text(alphabet="aZ0 '\"\\#=.\t\r-_$\x00é\udcff", max_size=200))
def test_no_line_makes_it_stumble(line: str) -> None:
    try:
        said = _postgresql_syntax.setting(line)
    except _postgresql_syntax.Wrong:
        return
    assert said is None or len(said) == 2


@pytest.mark.parametrize("piece", ["'", "''", "\\", "a", " ", "#", "'a"])
def test_a_long_line_is_read_in_a_moment(piece: str) -> None:
    start = time.process_time()
    with pytest.raises(_postgresql_syntax.Wrong):
        _postgresql_syntax.setting("a = " + piece * 300_000 + " '")
    assert time.process_time() - start < 2
