# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Dovecot configuration shows to whom, read without doveconf."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _dovecot_syntax,
    _reading,
    dovecot,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]


class Dovecot:
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
            self.fingerprints[made.fingerprint] = name
            self.key = made.key_pem
        self.service = dovecot.Dovecot(machine)
        self.service.config = str(folder / "dovecot.conf")

    def scan(self, text: str) -> list[Binding]:
        """The bindings of a configuration; %C in it is its folder."""
        (self.folder / "dovecot.conf").write_text(text.replace("%C", str(self.folder)))
        self.report.bindings.clear()
        self.service.scan(self.report)
        return self.report.bindings

    def found(self, text: str) -> list[tuple[t.Any, ...]]:
        """(certificate, names, listeners) of each binding that has a listener."""
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.scan("listen = *\n" + text)
            if one["listeners"]
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Dovecot:
    """An installed Dovecot that does not run and has no doveconf."""
    return Dovecot(tmp_path / "etc", machine, report, issue)


USUAL = "ssl_cert = <%C/one.crt\nssl_key = <%C/one.key\n"
NEW = "ssl_server_cert_file = %C/one.crt\nssl_server_key_file = %C/one.key\n"


def test_certificate_and_key_are_found_with_their_listeners(conf: Dovecot) -> None:
    (binding,) = conf.scan("listen = *\nprotocols = imap pop3 sieve lmtp\n" + USUAL)
    assert (binding["config_file"], binding["line"]) == (conf.service.config, 3)
    assert binding["listeners"] == ["*:143/imap", "*:993", "*:110/pop3", "*:995", "*:4190/sieve"]
    assert [(Path(one["path"]).name, one["kind"]) for one in binding["files"]] == [
        ("one.crt", "fullchain"),
        ("one.key", "key"),
    ]
    assert binding["problems"] == []


@pytest.mark.parametrize(
    ("text", "listeners"),
    [
        ("protocols = imap", ["*:143/imap", "*:993"]),
        ("protocols = none", []),
        ("protocols = imap\nssl = no", []),
        ("protocols = imap pop3\nprotocol pop3 {\n ssl = no\n}", ["*:143/imap", "*:993"]),
        (
            "protocols = imap\nservice imap-login {\n inet_listener imaps {\n port = 0\n }\n}",
            ["*:143/imap"],
        ),
        (
            (
                "protocols = imap\nservice imap-login {\n inet_listener imap {\n"
                " address = 192.0.2.1, localhost\nport=1143\n }\n inet_listener imaps {\n haproxy = yes\n}\n}"
            ),
            ["192.0.2.1:1143/imap", "127.0.0.1:1143/imap"],
        ),
        (
            "protocols = lmtp\nservice lmtp {\n inet_listener lmtp {\n port = 24\n }\n}",
            ["*:24/lmtp"],
        ),
        ("protocols = lmtp\nservice doveadm {\n inet_listener {\n port=2425\nssl = yes\n}\n}", ["*:2425"]),
    ],
)
def test_where_tls_is_offered(conf: Dovecot, text: str, listeners: list[str]) -> None:
    found = [one for _name, _names, where in conf.found(USUAL + text + "\n") for one in where]
    assert [one for one in found if not one.startswith("[")] == listeners


def test_names_addresses_and_protocols_select(conf: Dovecot) -> None:
    assert conf.found(
        "protocols = imap\n" + USUAL + 'local_name "A.test *.b.test" {\n ssl_cert = <%C/two.crt\n'
        " ssl_key = <%C/two.key\n}\nlocal 192.0.2.7 {\n protocol imap {\n  ssl_cert = </gone\n }\n}\n"
        "local 192.0.2.7 {\n protocol !imap {\n ssl_cert = <%C/three.crt\n}\n}\n"
    ) == [
        ("one", [], ["*:143/imap", "*:993"]),
        ("two", ["a.test", "*.b.test"], ["*:143/imap", "*:993"]),
        ("-", [], ["192.0.2.7:143/imap", "192.0.2.7:993"]),
    ]
    assert [one["files"][0]["path"] for one in conf.report.bindings if not one["listeners"]] == [
        str(conf.folder / "three.crt")
    ]
    assert "no handshake is shown this certificate" in conf.warned()


@pytest.mark.parametrize(
    "block",
    [
        "local_name b.test {\n ssl_server_cert_file = %C/two.crt\n ssl_server_key_file = %C/two.key\n}\n",
        "local_name b.test {\n ssl_server {\n cert_file = %C/two.crt\n key_file = %C/two.key\n }\n}\n",
    ],
)
def test_the_settings_of_2_4_are_read(conf: Dovecot, block: str) -> None:
    text = "dovecot_config_version = 2.4.1\nprotocols {\n imap = yes\n pop3 = no\n}\n" + NEW + block
    assert conf.found(text + "mail_x = <<<END\nssl = no\n}\nEND\nauth_x { }\n") == [
        ("one", [], ["*:143/imap", "*:993"]),
        ("two", ["b.test"], ["*:143/imap", "*:993"]),
    ]


def test_includes_comments_and_continued_lines(conf: Dovecot) -> None:
    (conf.folder / "conf.d").mkdir()
    (conf.folder / "conf.d" / "a.conf").write_text(
        "ssl_cert = \\\n  <%C/one.crt # said\n".replace("%C", "..")
    )
    (conf.folder / "conf.d" / "b.conf").write_text(f"ssl_key=<{conf.folder}/one.key\n!include b.conf\n")
    (binding,) = conf.scan("protocols=imap\n!include conf.d/*.conf\n!include_try gone\n!include gone\n")
    assert (Path(binding["config_file"]).name, binding["line"]) == ("a.conf", 1)
    assert conf.warned() == [
        f"{conf.folder}/conf.d/b.conf includes itself",
        f"{conf.folder}/gone is not read: No such file or directory",
    ]


def test_a_key_in_the_configuration_never_passes(conf: Dovecot) -> None:
    secret = conf.key.strip().splitlines()[1]
    (binding,) = conf.scan(f"protocols = imap\nssl_cert = <%C/three.crt\nssl_key = {secret}\n")
    assert "unresolved" in {problem["kind"] for problem in binding["problems"]}
    assert secret not in json.dumps([conf.report.bindings, conf.report.warnings])


def test_what_only_doveconf_knows_is_told(conf: Dovecot) -> None:
    conf.machine.program("doveconf")
    told = (
        "protocols = imap\nlisten = *\nssl_cert = </elsewhere.pem\n"
        "service imap-login {\n  inet_listener imap {\n    port = 1143\n  }\n  protocol = imap\n}\n"
    )
    conf.machine.answers[("doveconf", "-c", conf.service.config)] = said(told)
    first, second = conf.scan(USUAL)
    assert first["listeners"] == ["*:1143/imap"]
    assert (second["certificate"], second["problems"][0]["kind"]) == (None, "unresolved")


class TestRunning:
    """A master shows its configuration on its command line."""

    def test_each_master_has_its_own_configuration(self, conf: Dovecot) -> None:
        other = conf.folder / "other.conf"
        other.write_text("protocols = imap\nlisten = 127.0.0.1\n" + USUAL.replace("%C", str(conf.folder)))
        conf.machine.process(10, "dovecot", "/usr/sbin/dovecot", "-c", str(other))
        conf.machine.process(11, "dovecot", "dovecot", parent=10)
        (binding,) = conf.scan("")
        assert binding["listeners"] == ["127.0.0.1:143/imap", "127.0.0.1:993"]
        assert conf.service.test_commands() == [["doveconf", "-n", "-c", str(other)]]
        assert conf.service.reload_commands() == [["doveadm", "-c", str(other), "reload"]]

    def test_version_and_presence(self, conf: Dovecot) -> None:
        assert not conf.service.running()
        conf.machine.program("dovecot")
        conf.machine.answers[("dovecot", "--version")] = said("2.4.1-4 (7d8c0e5759)\n")
        assert conf.service.found()
        assert conf.service.version() == "2.4.1"


_PIECES = st.sampled_from(
    [
        "local_name x {\n",
        "ssl_server {\n",
        "}\n",
        "a = <b",
        "\n",
        "=",
        "{",
        "#",
        '"',
        "'",
        "\\",
        "$a",
        "<<<",
        " ",
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=60).map("".join)))
def test_no_text_makes_the_reading_raise(text: str) -> None:
    reading = _dovecot_syntax.Reading(_reading.Reader(10.0), lambda *_: None)
    reading.parse(text, "/x")
    assert reading.stack[0] is reading.root


def test_long_lines_take_linear_time() -> None:
    start = time.process_time()
    for line in (
        '"' * (1 << 19),
        "\\a" * (1 << 19),
        "a=" + "$a" * (1 << 19),
        "a {\n" * 100000,
        "a\\\n" * 100000,
    ):
        reading = _dovecot_syntax.Reading(_reading.Reader(60.0), lambda *_: None)
        reading.parse(line, "/x")
    assert time.process_time() - start < 20


def test_thousands_of_names_take_no_longer_than_their_number(conf: Dovecot) -> None:
    sections = "".join(
        f"local_name {name}{number}.test {{\n ssl_cert = <%C/two.crt\n ssl_key = <%C/two.key\n}}\n"
        for number in range(1500)
        for name in ("n", "*.n")
    )
    text = "ssl_cert = <%C/one.crt\nssl_key = <%C/one.key\n" + sections
    began = time.process_time()
    bindings = conf.scan(text)
    assert time.process_time() - began < 15
    assert sum(len(one["names"]) for one in bindings) == 3000


def test_sections_in_sections_thousands_deep_are_read(conf: Dovecot) -> None:
    deep = 5000
    inner = "ssl_cert = <%C/two.crt\nssl_key = <%C/two.key\n"
    text = "ssl_cert = <%C/one.crt\nssl_key = <%C/one.key\nlocal_name deep.test {\n"
    found = conf.found(text + "protocol imap {\n" * deep + inner + "}\n" * (deep + 1))
    assert ("two", ["deep.test"]) in [one[:2] for one in found]


def test_the_text_of_a_line_that_is_not_understood_is_not_repeated(conf: Dovecot) -> None:
    conf.scan("ssl_key = -----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n")
    assert "MIGHAgEA" not in json.dumps(conf.warned())
    assert "a line that is not understood" in conf.warned()
