# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Exim configuration shows to whom, read without Exim."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _exim_files,
    _exim_strings,
    _reading,
    exim,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]


class Exim:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.fingerprints: dict[str, str] = {}
        folder.mkdir()
        for name in ("one", "two", "three"):
            made = issue(f"{name}.test")
            made.save(folder, name)
            (folder / f"{name}.pem").write_text(made.pem + made.key_pem)
            (folder / f"{name}.pem").chmod(0o600)
            self.fingerprints[made.fingerprint] = name
        self.service = exim.Exim(machine)
        self.service.configs = (str(folder / "exim.conf"),)

    def scan(self, text: str) -> list[Binding]:
        """The bindings of a configuration; %C in it is its folder."""
        (self.folder / "exim.conf").write_text(text.replace("%C", str(self.folder)))
        self.report.bindings.clear()
        self.service.scan(self.report)
        return self.report.bindings

    def found(self, text: str) -> list[tuple[t.Any, ...]]:
        """(certificate, names, listeners) of each binding."""
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.scan(text)
        ]

    def chosen(self, text: str) -> list[tuple[str, list[str]]]:
        """(certificate, names) where this chooses the file with certificate and key."""
        return [(name, names) for name, names, _where in self.found("tls_certificate = " + text + "\n")]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Exim:
    """An installed Exim that does not run and cannot be asked."""
    return Exim(tmp_path / "etc", machine, report, issue)


def test_lists_of_certificates_and_keys_belong_together(conf: Exim) -> None:
    first, second = conf.scan(
        "LIST = one.key : %C/two\n.ifdef LIST\nlocal_interfaces = 192.0.2.1\n"
        ".else\ntls_certificate = /x\n.endif\n"
        "tls_certificate = \\\n  # said\n  %C/one.crt : %C/two.crt\nhide tls_privatekey = %C/LIST.key\n"
        "begin acl\ntls_certificate = /gone\n"
    )
    assert [[(Path(one["path"]).name, one["kind"]) for one in of["files"]] for of in (first, second)] == [
        [("one.crt", "fullchain"), ("one.key", "key")],
        [("two.crt", "fullchain"), ("two.key", "key")],
    ]
    assert (first["listeners"], first["line"], first["problems"]) == (["192.0.2.1:25/smtp"], 7, [])


@pytest.mark.parametrize(
    ("options", "listeners"),
    [
        ("local_interfaces = 127.0.0.1 : 127.0.0.2.26", ["127.0.0.1:25/smtp", "127.0.0.2:26/smtp"]),
        ("local_interfaces = <; ::1 ; [2001:db8::1]:26\ndisable_ipv6 = true", []),
        ("local_interfaces = 127.0.0.1\ntls_advertise_hosts =", []),
        ("local_interfaces = 127.0.0.1\ntls_advertise_hosts = 10.0.0.0/8", []),
        (
            (
                "local_interfaces = 0.0.0.0\ndaemon_smtp_ports = smtp : 465 : submission\n"
                "tls_on_connect_ports = 465\ntls_advertise_hosts ="
            ),
            ["*:465"],
        ),
    ],
)
def test_where_tls_is_offered(conf: Exim, options: str, listeners: list[str]) -> None:
    assert conf.found(f"tls_certificate = %C/one.pem\n{options}\n") == [("one", [], listeners)]


def test_a_name_in_a_path_is_looked_for_in_the_folder(conf: Exim) -> None:
    for name in ("two", "three"):
        (conf.folder / "by" / f"{name}.test").mkdir(parents=True)
        os.link(conf.folder / f"{name}.pem", conf.folder / "by" / f"{name}.test" / "tls.pem")
    (conf.folder / "by" / "empty.test").mkdir()
    choice = "%C/by/${lc:$tls_in_sni}/tls.pem"
    expected = [("one", []), ("three", ["three.test"]), ("two", ["two.test"])]
    assert conf.chosen("${if exists{" + choice + "}{" + choice + "}{%C/one.pem}}") == expected
    assert conf.chosen("${lookup{$tls_in_sni}dsearch,ret=full{%C/by}{$value/tls.pem}{%C/one.pem}}")[:1] == [
        ("one", [])
    ]


def test_names_that_are_compared_with_or_looked_up(conf: Exim) -> None:
    (conf.folder / "names").write_text("a.test: two\n*.b.test three\n")
    choice = "${lookup{$tls_in_sni}wildlsearch{%C/names}{%C/$value.pem}{%C/one.pem}}"
    assert conf.chosen(choice) == [("one", []), ("two", ["a.test"]), ("three", ["*.b.test"])]
    choice = (
        "${if !and{{def:tls_sni}{or{{eq{$tls_sni}{x.test}}{eqi{Y.test}{$tls_sni}}}}}{%C/one.pem}{%C/two.pem}}"
    )
    assert conf.chosen(choice) == [("one", []), ("two", ["x.test", "y.test"])]
    assert conf.chosen("${lookup{x}lsearch{%C/gone}{a}{b}}") == [("-", [])]


@pytest.mark.parametrize(
    "text",
    [
        "${run{/bin/touch %C/ran}}",
        "${if match{$tls_in_sni}{x}{%C/one.pem}{%C/two.pem}}",
        "${perl{x}}",
        "${readfile{%C/one.pem}}",
        "/srv/$received_port.pem",
        "${lookup{$tls_in_sni}cdb{%C/x}}",
        "${lookup{a}lsearch{%C/exim.conf}{$value}fail}",
        "${if",
        "}",
        "$",
    ],
)
def test_what_only_exim_knows_is_unresolved_and_never_run(conf: Exim, text: str) -> None:
    (binding,) = conf.scan("\ntls_certificate = " + text + "\n")
    assert [problem["kind"] for problem in binding["problems"]] == ["unresolved"]
    assert (binding["certificate"], binding["line"]) == (None, 2)
    assert not (conf.folder / "ran").exists()


def test_a_key_that_only_exim_knows_leaves_the_certificate(conf: Exim) -> None:
    (binding,) = conf.scan("tls_certificate = %C/one.crt\ntls_privatekey = ${run{x}}\n")
    assert conf.fingerprints[binding["certificate"]] == "one"
    assert "unresolved" in {problem["kind"] for problem in binding["problems"]}
    assert conf.warned() == ["tls_privatekey: ${run...} is not judged here"]


def test_a_folder_that_includes_itself_ends(conf: Exim) -> None:
    assert conf.found(
        ".include %C/exim.conf\nlocal_interfaces = 127.0.0.1\ntls_certificate = %C/one.pem\n"
    ) == [("one", [], ["127.0.0.1:25/smtp"])]


class TestRunning:
    """A daemon's command line counts."""

    def test_its_ports_and_its_file_count(self, conf: Exim) -> None:
        other = conf.folder / "other.conf"
        other.write_text(f"tls_certificate = {conf.folder}/two.pem\nlocal_interfaces = 192.0.2.1\n")
        arguments = ("exim", "-bd", "-q30m", "-C", str(other), "-oX", "26:127.0.0.1", "-tls-on-connect")
        conf.machine.process(10, "exim", *arguments)
        conf.machine.process(11, "exim", "exim", "-Mc", "x")
        assert conf.found("") == [("two", [], ["127.0.0.1:26"])]
        assert [one[1:] for one in conf.service.test_commands()] == [["-C", str(other), "-bV"]]
        assert conf.service.reload_commands() == [["kill", "-HUP", "10"]]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has to tell its own from others")
    def test_only_exim_s_own_user_is_believed(self, conf: Exim) -> None:
        conf.machine.answers[("exim", "-C", "/dev/null", "-bV", "-bP", "exim_user")] = said(
            "exim_user = mail\n"
        )
        conf.machine.process(10, "exim", "exim", "-bd", "-C", "/home/x/conf", uid=8)
        conf.machine.process(12, "exim", "exim", "-bd", uid=65534)
        assert [one.pid for one in conf.service.masters()] == [10]
        assert [one.pid for one in conf.service.strangers()] == [12]
        (command,) = conf.service.test_commands()
        assert command[:4] == ["runuser", "-u", "mail", "--"]


def test_the_word_of_exim_counts(conf: Exim) -> None:
    conf.machine.program("exim4")
    told = f"tls_certificate = {conf.folder}/two.pem\ntls_privatekey = <value not displayable>\n"
    told += (
        "local_interfaces = 127.0.0.1\ndaemon_smtp_ports = smtp\ntls_advertise_hosts = *\nno_disable_ipv6\n"
    )
    conf.machine.answers[("exim4", "-bV", "-bP", "tls_certificate")] = said(told)
    conf.machine.answers[("exim4", "-bV", "-bP", "config_file")] = said(f"{conf.folder}/exim.conf\n")
    conf.machine.answers[("exim4", "-bV")] = said("Exim version 4.96 #2 built 27-May-2026\n")
    assert conf.found("tls_certificate = %C/one.pem\ntls_privatekey = %C/two.key\n") == [
        ("two", [], ["127.0.0.1:25/smtp"])
    ]
    assert [Path(one["path"]).name for one in conf.report.bindings[0]["files"]] == ["two.pem", "two.key"]
    assert conf.service.version() == "4.96"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a : b", ["a", "b"]),
        ("<; a:b ; ::1", ["a:b", "::1"]),
        ("::::1 : 127.0.0.1", ["::1", "127.0.0.1"]),
        ("", []),
        (" : ", []),
    ],
)
def test_lists(value: str, expected: list[str]) -> None:
    assert _exim_files.items(value) == expected


_PIECES = st.sampled_from(
    [
        "${if ",
        "${lookup",
        "{",
        "}",
        "$tls_in_sni",
        "exists",
        "eq",
        "and",
        "!",
        "\\",
        "\\N",
        "def:",
        "x",
        " ",
        "lsearch",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=40).map("".join)))
def test_no_string_makes_the_judgement_raise(text: str) -> None:
    reader = _reading.Reader(10.0)
    try:
        expansion = _exim_strings.Expansion(text, {}, reader)
        found = expansion.candidates()
        expansion.of("a.test")
    except _exim_strings.Unresolved:
        found = []
    assert len(found) < 100


def test_long_strings_take_linear_time() -> None:
    start = time.process_time()
    for text in ("{" * (1 << 19), "${if " * (1 << 17), "$a" * (1 << 18), "\\N" * (1 << 19), "x" * (1 << 20)):
        try:
            _exim_strings.Expansion(text, {"a": ""}, _reading.Reader(60.0)).of("")
        except _exim_strings.Unresolved:
            continue
    assert time.process_time() - start < 20


def test_of_several_branches_one_counts(conf: Exim) -> None:
    text = (
        "%s = 1\n.ifdef A\ntls_certificate = %%C/one.pem\n.elifdef B\ntls_certificate = %%C/two.pem\n"
        ".else\ntls_certificate = %%C/three.pem\n.endif\n"
    )
    shown = [name for macro in "ABD" for name, _names, _where in conf.found(text % macro)]
    assert shown == ["one", "two", "three"]


def test_twenty_thousand_names_in_a_list_take_seconds(conf: Exim) -> None:
    names = [f"n{number}.test" for number in range(20000)]
    (conf.folder / "list").write_text("".join(f"{name}: {conf.folder}/two.pem\n" for name in names))
    began = time.process_time()
    (_usual, other) = conf.chosen("${lookup{$tls_in_sni}lsearch{%C/list}{$value}{%C/one.pem}}")
    assert time.process_time() - began < 10
    assert other == ("two", names)
