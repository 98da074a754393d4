# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Postfix configuration shows to whom, read without postconf."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _postfix_syntax, postfix
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]


class Postfix:
    """A configuration directory that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.issue = issue
        self.fingerprints: dict[str, str] = {}
        folder.mkdir()
        self.service = postfix.Postfix(machine)
        self.service.config = str(folder)

    def key_first(self, *names: str, key: str = "ec-256") -> None:
        """NAME.crt, NAME.key and NAME.pem, which has its key first."""
        for name in names:
            made = self.issue(f"{name}.test", key=key)
            made.save(self.folder, name)
            (self.folder / f"{name}.pem").write_text(made.key_pem + made.pem)
            (self.folder / f"{name}.pem").chmod(0o600)
            self.fingerprints[made.fingerprint] = name

    def scan(self, main: str, master: str = "smtp inet n - n - - smtpd\n") -> list[Binding]:
        """The bindings of the two files; %C in them is the folder."""
        (self.folder / "main.cf").write_text(main.replace("%C", str(self.folder)))
        (self.folder / "master.cf").write_text(master.replace("%C", str(self.folder)))
        self.report.bindings.clear()
        self.service.scan(self.report)
        return self.report.bindings

    def found(self, main: str, master: str = "smtp inet n - n - - smtpd\n") -> list[tuple[t.Any, ...]]:
        """(certificate, names, listeners of IPv4) of each binding."""
        return [
            (
                self.fingerprints.get(one["certificate"], "-"),
                one["names"],
                [where for where in one["listeners"] if not where.startswith("[")],
            )
            for one in self.scan(main, master)
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Postfix:
    """An installed Postfix that does not run and has no postconf."""
    made = Postfix(tmp_path / "etc", machine, report, issue)
    made.key_first("one", "two")
    return made


def test_a_certificate_and_its_key_are_found(conf: Postfix) -> None:
    (binding,) = conf.scan(
        "crt = %C\n#smtpd_tls_cert_file=/gone\nsmtpd_tls_cert_file =\n  ${crt}/one.crt\n"
        "smtpd_tls_key_file = $(crt)/one.key\nsmtpd_tls_security_level = may\ninet_protocols = ipv4\n"
    )
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "main.cf"), 3)
    assert binding["listeners"] == ["*:25/smtp"]
    assert [(Path(one["path"]).name, one["kind"]) for one in binding["files"]] == [
        ("one.crt", "fullchain"),
        ("one.key", "key"),
    ]
    assert binding["problems"] == []


@pytest.mark.parametrize(
    ("settings", "listeners"),
    [
        ("smtpd_tls_security_level = none\nsmtpd_use_tls = yes", None),
        ("smtpd_use_tls = yes", ["*:25/smtp"]),
        ("smtpd_enforce_tls = yes", ["*:25/smtp"]),
        ("smtpd_tls_security_level = verify", ["*:25/smtp"]),
        ("smtpd_tls_wrappermode = yes\nsmtpd_tls_security_level = none", ["*:25"]),
        ("smtpd_use_tls = yes\nmaster_service_disable = inet", None),
        ("smtpd_use_tls = yes\nmaster_service_disable = smtp.inet", None),
        ("smtpd_use_tls = yes\ninet_interfaces = 192.0.2.1, [2001:db8::1]", ["192.0.2.1:25/smtp"]),
        ("smtpd_use_tls = yes\ninet_interfaces = loopback-only", ["127.0.0.1:25/smtp"]),
        ("smtpd_use_tls = yes\ninet_protocols = ipv6", []),
        ("smtpd_tls_security_level = None", None),
        ("smtpd_use_tls = Yes\nsmtpd_tls_wrappermode = YES", ["*:25"]),
        ("", None),
    ],
)
def test_where_tls_is_offered(conf: Postfix, settings: str, listeners: list[str] | None) -> None:
    found = conf.found(f"smtpd_tls_cert_file = %C/one.pem\n{settings}\n")
    assert found == [("one", [], listeners or [])]
    assert ("no service shows this certificate" in conf.warned()) is (listeners is None)


def test_options_of_a_service_override_for_it_alone(conf: Postfix) -> None:
    master = (
        "smtp inet n - n - - smtpd\nsmtps inet n - n - - smtpd -v\n# said\n  -o smtpd_tls_wrappermode=yes\n"
        "  -o { smtpd_tls_chain_files = $mine/two.key,\n   $mine/two.crt }\n  -o mine=%C\n"
        "10.0.0.1:2525 inet n - n - - /usr/libexec/smtpd\n  -osmtpd_tls_security_level=none\nshort inet n\n"
    )
    main = "smtpd_tls_cert_file = %C/one.pem\nsmtpd_tls_security_level = may\n"
    assert conf.found(main, master) == [("one", [], ["*:25/smtp"]), ("two", [], ["*:465"])]
    assert conf.report.bindings[1]["line"] == 5


def test_keys_and_chains_may_be_parted_in_any_way(conf: Postfix) -> None:
    conf.key_first("rsa", key="rsa-2048")
    (conf.folder / "both.pem").write_text(
        (conf.folder / "one.pem").read_text() + (conf.folder / "rsa.pem").read_text()
    )
    (conf.folder / "both.pem").chmod(0o600)
    use = "smtpd_use_tls = yes\nsmtpd_tls_cert_file = /gone\nsmtpd_tls_chain_files ="
    first, second = conf.scan(f"{use} %C/one.pem %C/rsa.key, %C/rsa.crt\n")
    assert [(Path(one["path"]).name, one["kind"]) for one in first["files"]] == [("one.pem", "combined")]
    assert [Path(one["path"]).name for one in second["files"]] == ["rsa.crt", "rsa.key"]
    first, second = conf.scan(f"{use} %C/both.pem\n")
    assert first["files"] == second["files"] == []
    assert [conf.fingerprints[one["certificate"]] for one in (first, second)] == ["one", "rsa"]
    (wrong,) = conf.scan(f"{use} %C/one.crt %C/one.key\n")
    assert [problem["kind"] for problem in wrong["problems"]] == ["malformed"]


def test_maps_select_by_name_and_the_first_wins(conf: Postfix) -> None:
    (conf.folder / "names").write_text(
        f"# c\nTwo.test {conf.folder}/two.key\n  {conf.folder}/two.crt\n.sub.test {conf.folder}/two.pem\n"
        f"one.test {conf.folder}/two.pem\n"
    )
    main = (
        "smtpd_use_tls = yes\nsmtpd_tls_cert_file = none\ninet_protocols = ipv4\n"
        "tls_server_sni_maps = inline:{{one.test = %C/one.pem}}, hash:%C/names pcre:%C/x cdb:%C/none\n"
    )
    assert [(name, names) for name, names, _where in conf.found(main)] == [
        ("one", ["one.test"]),
        ("two", ["two.test"]),
        ("two", ["*.sub.test"]),
    ]
    assert [(Path(one["config_file"]).name, one["line"]) for one in conf.report.bindings] == [
        ("main.cf", 4),
        ("names", 2),
        ("names", 4),
    ]
    folder = conf.folder
    assert conf.warned() == [
        f"{folder}/names.db was never made with postmap -F",
        f"the map pcre:{folder}/x is not looked into",
        f"the names of cdb:{folder}/none are not known, for its text is not there: No such file or directory",
    ]


def test_a_map_older_than_its_files_is_told(conf: Postfix) -> None:
    import os  # noqa: PLC0415

    (conf.folder / "names").write_text(f"one.test {conf.folder}/one.pem\n")
    (conf.folder / "names.lmdb").write_text("")
    os.utime(conf.folder / "names.lmdb", (1, 1))
    os.utime(conf.folder / "names", (1, 1))
    conf.scan("smtpd_use_tls = yes\nsmtpd_tls_cert_file = none\ntls_server_sni_maps = lmdb:%C/names\n")
    assert [one.split(" which")[0] for one in conf.warned()] == [
        f"{conf.folder}/one.pem is newer than {conf.folder}/names.lmdb,"
    ]


def test_what_only_postconf_can_expand_is_told(conf: Postfix) -> None:
    conf.scan("smtpd_use_tls = yes\nsmtpd_tls_cert_file = ${x?{%C/one.pem}}\n")
    assert "smtpd_tls_cert_file is not resolved without postconf" in conf.warned()


def test_a_client_s_certificate_serves_nobody(conf: Postfix) -> None:
    master = "relay unix - - n - - smtp -o smtp_tls_cert_file=%C/two.pem\n"
    assert conf.found("smtp_tls_cert_file = %C/one.pem\n", master) == [("one", [], []), ("two", [], [])]


class TestRunning:
    """A master's environment tells its configuration."""

    def test_every_master_has_its_own_directory(self, conf: Postfix, tmp_path: Path) -> None:
        second = tmp_path / "second"
        second.mkdir()
        (second / "main.cf").write_text(
            f"smtpd_use_tls = yes\ninet_protocols = ipv4\nsmtpd_tls_cert_file = {conf.folder}/two.pem\n"
        )
        (second / "master.cf").write_text("26 inet n - n - - smtpd\n")
        for name in ("qmgr", "smtpd", "postfix", "postmap"):
            conf.machine.program(name)
        conf.machine.process(10, "master", "/x/master", "-w", environment={"MAIL_CONFIG": str(second)})
        found = conf.found("smtpd_use_tls = yes\nsmtpd_tls_cert_file = %C/one.pem\n")
        assert found == [("two", [], ["*:26/smtp"]), ("one", [], [])]
        assert conf.warned() == ["this instance does not run: nothing listens for it"]
        assert [one[1:] for one in conf.service.test_commands()] == [["-c", str(second), "check"]]
        assert [one[1:] for one in conf.service.reload_commands()] == [["-c", str(second), "reload"]]

    def test_maps_that_hold_copies_are_made_anew_before_the_reload(self, conf: Postfix) -> None:
        (conf.folder / "main.cf").write_text(f"tls_server_sni_maps = hash:{conf.folder}/a hash:/gone\n")
        (conf.folder / "a").write_text(f"one.test {conf.folder}/one.pem\n")
        for name in ("qmgr", "smtpd"):
            conf.machine.program(name)
        conf.machine.process(10, "master", "/x/master", "-c", str(conf.folder))
        assert [Path(one[0]).name for one in conf.service.reload_commands()] == ["postmap", "postfix"]
        assert conf.service.reload_commands()[0][-2:] == ["-F", f"hash:{conf.folder}/a"]

    def test_other_programs_of_that_name_are_not_postfix(self, conf: Postfix) -> None:
        conf.machine.process(10, "master", "/usr/lib/cyrus/bin/master", "-d")
        assert not conf.service.running()


def test_the_word_of_postconf_counts(conf: Postfix) -> None:
    conf.machine.program("postconf")
    conf.machine.answers[("postconf", "-d", "mail_version")] = said("mail_version = 3.7.11\n")
    assert conf.service.version() == "3.7.11"
    told = f"smtpd_tls_cert_file = {conf.folder}/two.pem\nsmtpd_use_tls = yes\ninet_protocols = ipv4\n"
    told += f"inet_interfaces = all\nsmtpd_tls_key_file = {conf.folder}/two.pem\nsmtpd_tls_chain_files =\n"
    conf.machine.answers[("postconf", "-c", str(conf.folder), "-x")] = said(told)
    assert conf.found("smtpd_tls_cert_file = %C/one.pem\n") == [("two", [], ["*:25/smtp"])]


_VALUES = st.text(alphabet='ab$({})?: =,\n\t#\\"', max_size=80)


@given(_VALUES)
def test_no_text_makes_the_reading_raise(text: str) -> None:
    for entry in _postfix_syntax.entries("smtp inet n - n - - smtpd " + text):
        assert entry.kind == "inet"
    for setting in _postfix_syntax.assignments(text).values():
        _postfix_syntax.expand(setting.value, {"a": "$b", "b": "$a"}.get)
    _postfix_syntax.inline_pairs(text)
    _postfix_syntax.pairs(text)


def test_long_and_looping_texts_take_linear_time() -> None:
    start = time.process_time()
    long = 1 << 19
    for text in ("{" * long, "a" * long, " \n" * long, "-o " * long, "$a" * long, "${" * long):
        _postfix_syntax.entries("smtp inet n - n - - smtpd " + text)
        _postfix_syntax.listed(text)
        _postfix_syntax.expand(text, {"a": "$a$a"}.get)
    assert time.process_time() - start < 20
