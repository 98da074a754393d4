# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ProFTPD configuration shows to whom."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _proftpd_servers,
    _proftpd_syntax,
    _reading,
    _report,
    proftpd,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given, settings
from hypothesis import strategies as st

Report = _report.Report
Found = list[tuple[str, list[str], list[str]]]


class Proftpd:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.fingerprints: dict[str, str] = {}
        for name in ("a", "b", "c"):
            made = issue(f"{name}.test")
            made.save(folder, name)
            self.fingerprints[made.fingerprint] = name
        machine.program("proftpd")
        machine.answers[("proftpd", "-l")] = said("Compiled-in modules:\n  mod_core.c\n  mod_dso.c\n")
        machine.answers[("proftpd", "-v")] = said("ProFTPD Version 1.3.8b\n")
        machine.answers[("proftpd", "-V")] = said(f"  Configuration File:\n   {folder}/proftpd.conf\n")
        self.service = proftpd.Proftpd(machine)

    def tls(self, name: str) -> str:
        """The lines that switch TLS on."""
        certificate = f"TLSECCertificateFile {self.folder}/{name}.crt\n"
        return f"TLSEngine on\n{certificate}TLSECCertificateKeyFile {self.folder}/{name}.key\n"

    def found(self, text: str) -> Found:
        """(certificate, names, listeners) of each binding."""
        (self.folder / "proftpd.conf").write_text("LoadModule mod_tls.c\n" + text, newline="")
        self.service.scan(self.report)
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.report.bindings
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def ftp(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Proftpd:
    """An installed ProFTPD that does not run."""
    return Proftpd(tmp_path / "etc", machine, report, issue)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("TLSEngine on # a comment", ("tlsengine", ["on"])),
        (r'Name "a \"b\" c" d\e', ("name", ['a "b" c', r"d\e"])),
        ("<VirtualHost 10.0.0.1 ::1>", ("<virtualhost", ["10.0.0.1", "::1"])),
        ("</Global>", ("</global", [])),
        ('Name "without end', ("name", ["without end"])),
        ("Name '/single'", ("name", ["'/single'"])),
        ('""', ("", [])),
    ],
)
def test_words_are_cut_as_proftpd_cuts_them(line: str, words: tuple[str, list[str]]) -> None:
    assert _proftpd_syntax._words(line) == words


def test_the_only_server_of_a_port_has_every_address(ftp: Proftpd) -> None:
    assert ftp.found(ftp.tls("a")) == [("a", [], ["*:21/ftp"])]


def test_without_the_module_there_is_no_tls(ftp: Proftpd) -> None:
    (ftp.folder / "proftpd.conf").write_text(ftp.tls("a"))
    ftp.service.scan(ftp.report)
    assert ftp.report.bindings == []


def test_bound_to_its_address_it_has_no_other(ftp: Proftpd) -> None:
    text = f"SocketBindTight on\nDefaultServer on\nDefaultAddress 10.0.0.1 ::1\nPort 2121\n{ftp.tls('a')}"
    assert ftp.found(text) == [("a", [], ["10.0.0.1:2121/ftp", "[::1]:2121/ftp"])]


def test_who_comes_second_to_an_address_needs_a_name(ftp: Proftpd) -> None:
    text = f"DefaultAddress 10.0.0.1\n{ftp.tls('a')}<VirtualHost 10.0.0.1>\n{ftp.tls('b')}</VirtualHost>\n"
    text += f"<VirtualHost 10.0.0.1>\nServerAlias C.test c*.test\n{ftp.tls('c')}</VirtualHost>\n"
    assert ftp.found(text) == [
        ("a", [], ["10.0.0.1:21/ftp"]),
        ("b", [], []),
        ("c", ["c.test", r"~^c.+\.test$"], ["10.0.0.1:21/ftp"]),
    ]
    assert ftp.warned() == ["no handshake reaches this server"]


def test_before_1_3_7_no_name_is_looked_at(ftp: Proftpd) -> None:
    ftp.machine.answers[("proftpd", "-v")] = said("ProFTPD Version 1.3.6e\n")
    text = f"DefaultAddress 10.0.0.1\n{ftp.tls('a')}"
    text += f"<VirtualHost 10.0.0.1>\nServerAlias c.test\n{ftp.tls('c')}</VirtualHost>\n"
    assert ftp.found(text) == [("a", [], ["10.0.0.1:21/ftp"]), ("c", [], [])]


def test_what_is_said_for_all_is_said_for_each_that_says_nothing(ftp: Proftpd) -> None:
    text = f"<Global>\n{ftp.tls('a')}</Global>\nTLSEngine off\n<VirtualHost 10.0.0.2>\n"
    text += f"TLSECCertificateFile {ftp.folder}/b.crt\n</VirtualHost>\n"
    (binding,) = ftp.found(text)
    assert binding == ("b", [], ["10.0.0.2:21/ftp"])
    assert [one["kind"] for one in ftp.report.bindings[0]["problems"]] == ["key_mismatch"]


def test_a_bundle_is_named_and_not_read(ftp: Proftpd) -> None:
    (binding,) = ftp.found("TLSEngine on\nTLSPKCS12File /etc/x.p12\nTLSOptions UseImplicitSSL\nPort 990\n")
    assert binding == ("-", [], ["*:990"])
    (problem,) = ftp.report.bindings[0]["problems"]
    assert problem == {"kind": "unresolved", "message": "/etc/x.p12 is a PKCS#12 bundle: not read"}


def test_inetd_listens_in_its_place(ftp: Proftpd) -> None:
    assert ftp.found(f"ServerType inetd\n{ftp.tls('a')}") == [("a", [], [])]
    assert ftp.warned() == ["inetd starts it for each session: it has no listener of its own"]


def test_conditions_are_judged(ftp: Proftpd) -> None:
    text = (
        "<IfVersion < 1.3.8>\nTLSEngine off\n</IfVersion>\n<IfVersion !>= 1.3.9>\nDefine NEW\n</IfVersion>\n"
    )
    text += f"<IfDefine !NEW>\nPort 1\n<IfDefine X>\n</IfDefine>\n</IfDefine>\n{ftp.tls('a')}"
    assert ftp.found(text) == [("a", [], ["*:21/ftp"])]


def test_a_variable_of_the_environment_is_filled_in_or_told(ftp: Proftpd) -> None:
    ftp.machine.process(9, "proftpd", "proftpd", "-n", environment={"NAME": "a"})
    text = ftp.tls("a").replace("/a.", "/%{env:NAME}.") + "Port 2%{env:NONE}1\n"
    assert ftp.found(text) == [("a", [], ["*:21/ftp"])]
    assert ftp.warned() == ["port: which value NONE has is not known"]


def test_a_hidden_command_line_is_said(ftp: Proftpd) -> None:
    ftp.machine.process(9, "proftpd", "proftpd: (accepting connections)")
    ftp.found(ftp.tls("a"))
    assert "its command line is hidden, so the usual file is read" in ftp.warned()
    assert ftp.service.reload_commands() == [["kill", "-HUP", "9"]]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["-c", "/a", "-DX", "-q"], ["-c", "/a", "-D", "X"]),
        (["--config=/a", "--define", "X"], ["-c", "/a", "-D", "X"]),
        (["-n", "-d"], ["-d", ""]),
    ],
)
def test_command_lines(words: list[str], options: list[str]) -> None:
    assert proftpd.given(words) == options


def test_the_test_is_given_the_same_file(ftp: Proftpd) -> None:
    ftp.machine.process(9, "proftpd", "proftpd", "-c", "/srv/ftp.conf", "-D", "X")
    assert [argv[1:] for argv in ftp.service.test_commands()] == [["-t", "-c", "/srv/ftp.conf", "-D", "X"]]


def test_a_server_of_ten_thousand_names_at_as_many_addresses_takes_seconds(ftp: Proftpd) -> None:
    names = [f"n{number}.test" for number in range(10_000)]
    begun = time.process_time()
    ((_certificate, asked, listeners),) = ftp.found(
        f"Port 0\n<VirtualHost {' '.join(names)}>\n{ftp.tls('a')}</VirtualHost>\n"
    )
    assert time.process_time() - begun < 10
    assert (asked, listeners) == (names, [f"{name}:21/ftp" for name in names])


def test_more_names_at_all_doors_than_anybody_has_end_the_reading_and_are_told(
    ftp: Proftpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_proftpd_servers, "_NAMES_LIMIT", 20)
    others = "".join(f"<VirtualHost 10.0.0.{number}>\nServerAlias b\n</VirtualHost>\n" for number in range(9))
    addresses = " ".join(f"10.0.0.{number}" for number in range(9))
    own = f"<VirtualHost {addresses}>\nServerAlias {' '.join(f'a{n}' for n in range(9))}\n"
    ftp.found(f"Port 0\n{own}{ftp.tls('a')}</VirtualHost>\n{others}")
    assert "too many names at too many addresses" in str(ftp.report.cut)


def test_ten_thousand_servers_take_seconds(ftp: Proftpd) -> None:
    hosts = [
        f"<VirtualHost 10.0.0.1>\nServerAlias h{n}.test\n{ftp.tls('b')}</VirtualHost>" for n in range(5000)
    ]
    hosts += [f"<VirtualHost 10.1.{n // 250}.{n % 250}>\n{ftp.tls('c')}</VirtualHost>" for n in range(5000)]
    began = time.process_time()
    found = ftp.found("\n".join(hosts) + "\n")
    assert time.process_time() - began < 20
    assert len(found) == 10000
    assert found[1] == ("b", ["h1.test"], ["10.0.0.1:21/ftp"])


TOKENS = ["<VirtualHost ", "</VirtualHost>", "<Global>", "</Global>", "<IfModule ", "</IfModule>", ">", "\n"]
TOKENS += ["TLSEngine on", "Include ", "/", "*", '"', "\\", "#", "\0", "é", "10.0.0.1", "Port", " ", "%{env:"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=60))
def test_no_text_stops_a_scan(words: list[str]) -> None:
    report = _report.Report(_reading.Reader(20.0))
    start = _proftpd_syntax.Start(["mod_tls.c"], [], "1.3.8", {})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "proftpd.conf")
        Path(path).write_text("".join(words).replace("Include /", "Include /nowhere/"))
        reading = _proftpd_syntax.Reading(report.reader, report.warning, start)
        reading.read(path)
        _proftpd_servers.Servers(reading, report, "proftpd").report_bindings()
    assert all(binding["service"] == "proftpd" for binding in report.bindings)
