# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an Apache configuration shows to whom."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _apache_syntax,
    _reading,
    apache,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]


class Apache:
    """A ServerRoot that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.fingerprints: dict[str, str] = {}
        self.issue = issue
        folder.mkdir()
        machine.program("apache2")
        machine.answers[("apache2", "-V")] = said(
            f' -D HTTPD_ROOT="{folder}"\n -D SERVER_CONFIG_FILE="apache2.conf"\n'
        )
        machine.answers[("apache2", "-v")] = said("Server version: Apache/2.4.66 (Debian)\n")
        machine.answers[("apache2", "-l")] = said("Compiled in modules:\n  core.c\n  mod_so.c\n")
        self.service = apache.Apache(machine)

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the configuration."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def certificate(self, *names: str) -> None:
        """NAME.crt, NAME.key and NAME.pem (both in one) for each name."""
        for name in names:
            made = self.issue(f"{name}.test")
            made.save(self.folder, name)
            (self.folder / f"{name}.pem").write_text(made.pem + made.key_pem)
            (self.folder / f"{name}.pem").chmod(0o600)
            self.fingerprints[made.fingerprint] = name

    def scan(self, text: str | None = None) -> list[Binding]:
        """The bindings of a configuration that listens on 443."""
        if text is not None:
            self.write("apache2.conf", "Listen 443\nLoadModule ssl_module modules/mod_ssl.so\n" + text)
        self.service.scan(self.report)
        return self.report.bindings

    def found(self, text: str) -> list[tuple[str, list[str], list[str]]]:
        """(certificate, names, listeners) of each binding."""
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.scan(text)
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Apache:
    """An installed Apache that does not run."""
    made = Apache(tmp_path / "etc", machine, report, issue)
    made.certificate("one", "two")
    return made


def host(name: str, certificate: str = "one", address: str = "*:443", more: str = "") -> str:
    """A virtual host that serves a combined file."""
    return (
        f"<VirtualHost {address}>\nServerName {name}\nSSLEngine on\n"
        f"SSLCertificateFile {certificate}.pem\n{more}\n</VirtualHost>\n"
    )


def test_a_virtual_host_with_three_files_is_found(conf: Apache) -> None:
    (conf.folder / "chain.crt").write_text((conf.folder / "two.crt").read_text())
    (binding,) = conf.scan(
        "<VirtualHost *:443>\n  ServerName Shop.test\n"
        "  ServerAlias www.shop.test *.shop.test\n  SSLEngine on\n"
        "  SSLCertificateFile one.crt\n  SSLCertificateKeyFile one.key\n"
        "  SSLCertificateChainFile chain.crt\n</VirtualHost>\n"
    )
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "apache2.conf"), 7)
    assert binding["names"] == ["shop.test", "www.shop.test", "*.shop.test"]
    assert [(Path(file["path"]).name, file["kind"]) for file in binding["files"]] == [
        ("one.crt", "leaf"),
        ("chain.crt", "chain"),
        ("one.key", "key"),
    ]
    assert binding["chain"] in conf.report.materials.chains
    assert binding["problems"] == []


def test_a_key_in_the_certificate_s_file_is_found_there(conf: Apache) -> None:
    (binding,) = conf.scan(host("a.test"))
    assert [(Path(file["path"]).name, file["kind"]) for file in binding["files"]] == [("one.pem", "combined")]
    assert binding["problems"] == []


def test_words_quotes_and_continued_lines(conf: Apache) -> None:
    assert conf.found(
        '<VirtualHost  "*:443" >\n\tservername a.test\nSSLENGINE On\n# a comment \\\n'
        "SSLCertificateFile gone\n"
        "SSLCertificateFile \\\n   'one.pem'\n</virtualhost>\n"
    ) == [("one", ["a.test"], ["*:443"])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ("a 'b \"c' d", ["a", 'b "c', "d"]),
        ('a "b \\" c"', ["a", 'b " c']),
        ("a b\\ c", ["a", "b\\", "c"]),
        ("a b\\\\c", ["a", "b\\c"]),
        ('a "b', ["a", "b"]),
        ('a ""', ["a", ""]),
        ("a\u00a0b", ["a\u00a0b"]),
    ],
)
def test_words_are_cut_as_apache_cuts_them(text: str, expected: list[str]) -> None:
    assert _apache_syntax.words(text) == expected


def test_includes_with_globs_folders_and_what_is_optional(conf: Apache) -> None:
    conf.write("sites-enabled/1.conf", host("a.test"))
    conf.write("sites-enabled/2.save", host("save.test"))
    conf.write("sites-enabled/.3.conf", host("hidden.test"))
    conf.write("folder/deep/er/x", host("b.test"))
    conf.write("folder/apex", host("b1.test"))
    conf.write("folder/zone", host("b2.test"))
    conf.write("c/onf.conf", host("c.test"))
    names = [
        names
        for _certificate, names, _listeners in conf.found(
            "IncludeOptional sites-en*/[1-9].conf\nInclude folder\nIncludeOptional [c]/*.conf\n"
            "IncludeOptional nothing/*\nInclude gone/*.conf\n"
        )
    ]
    assert names == [["a.test"], ["b1.test"], ["b.test"], ["b2.test"], ["c.test"]]
    assert conf.warned() == ["nothing to include: gone/*.conf"]


def test_a_folder_is_not_walked_without_end(conf: Apache, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write("folder/a/x", host("a.test"))
    (conf.folder / "folder" / "a" / "round").symlink_to("..")
    (conf.folder / "folder" / "b").symlink_to("a")
    assert [names for _certificate, names, _listeners in conf.found("Include folder\n")] == [["a.test"]]
    monkeypatch.setattr(_apache_syntax, "_FOLDER_LIMIT", 3)
    for number in range(9):
        conf.write(f"large/{number}", "")
    conf.found("Include large\n")
    assert conf.warned() == [f"{conf.folder}/large holds too many files to be a configuration"]


def test_an_include_inside_a_virtual_host_keeps_its_place(conf: Apache) -> None:
    conf.write("tls.inc", "\nSSLEngine on\nSSLCertificateFile one.pem\n")
    (binding,) = conf.scan("<VirtualHost *:443>\nServerName a.test\nInclude tls.inc\n</VirtualHost>\n")
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "tls.inc"), 3)


def test_variables_come_from_define_and_from_envvars(conf: Apache) -> None:
    conf.write(
        "envvars",
        'unset HOME\nif [ "${APACHE_CONFDIR##/etc/apache2-}" != "${APACHE_CONFDIR}" ] ; then\n'
        '  SUFFIX="-x"\nelse\n  SUFFIX=\nfi\nexport DIR=$APACHE_CONFDIR$SUFFIX\n'
        'export FILE="${DIR}/one" # why\n',
    )
    assert conf.found(
        "Define name a.test\nDefine CERT ${FILE}.pem\nDefine PORT 443\n"
        "<VirtualHost *:${PORT}>\nServerName ${name}\n"
        "SSLEngine on\nSSLCertificateFile ${CERT}\n</VirtualHost>\nDefine name b\n"
        + host("${name}.test", "${DIR}/two", "*:${PORT}")
    ) == [("one", ["a.test"], ["*:443"]), ("two", ["b.test"], ["*:443"])]


def test_a_variable_that_nobody_defines_is_told(conf: Apache) -> None:
    (binding,) = conf.scan(host("a.test", "/etc/${NOWHERE}/x"))
    assert binding["certificate"] is None
    assert binding["problems"] == [
        {"kind": "unresolved", "message": "/etc/${NOWHERE}/x.pem: ${NOWHERE} is not defined"}
    ]


def test_conditions_are_judged_as_far_as_known(conf: Apache) -> None:
    def when(condition: str, name: str) -> str:
        return f"<{condition}>\n{host(name)}</{condition.partition(' ')[0]}>\n"

    found = conf.found(
        "Define YES\nLoadModule rewrite_module modules/mod_rewrite.so\n"
        "LoadModule mpm_event_module modules/mod_mpm_event.so\n"
        + when("IfModule ssl_module", "1.yes")
        + when("IfModule mod_ssl.c", "2.yes")
        + when("IfModule !mod_gnutls.c", "3.yes")
        + when("IfModule mod_gnutls.c", "no")
        + when("IfModule event.c", "4.yes")
        + when("IfDefine YES", "5.yes")
        + when("IfDefine !NO", "6.yes")
        + when("IfDefine NO", "no")
        + when(f"IfFile {conf.folder}/one.pem", "7.yes")
        + when("IfFile /no/such/file", "no")
        + when("IfVersion >= 2.4", "8.yes")
        + when("IfVersion < 2.4", "no")
        + when("IfVersion !< 2.4", "9.yes")
        + "<IfDefine NO>\n<IfDefine YES>\n"
        + host("no")
        + "</IfDefine>\n"
        + host("no")
        + "</IfDefine>\n"
    )
    assert [names for _certificate, names, _listeners in found] == [[f"{n}.yes"] for n in range(1, 10)]
    assert conf.warned() == []


def test_a_module_counts_from_the_line_that_loads_it(conf: Apache) -> None:
    assert not conf.found(
        f"<IfModule md_module>\n{host('a.test')}</IfModule>\nLoadModule md_module modules/mod_md.so\n"
    )


def test_a_condition_that_cannot_be_judged_is_taken_and_told(conf: Apache) -> None:
    assert len(conf.found(f"<IfDirective SSLEngine>\n{host('a.test')}</IfDirective>\n")) == 1
    assert conf.warned() == ["<ifdirective> cannot be judged: its lines are taken as they stand"]


def test_a_macro_is_read_where_it_is_used(conf: Apache) -> None:
    body = host("$name", "$name_file").replace("SSLEngine on", "ServerAlias www.$name")
    assert conf.found(
        f"<Macro Vhost $name $name_file>\n{body}SSLEngine on\n</Macro>\n"
        'Use vhost a.test one\nUSE VHost b.test "two"\nUse nothing\n'
    ) == [("one", ["a.test", "www.a.test"], ["*:443"]), ("two", ["b.test", "www.b.test"], ["*:443"])]
    assert conf.warned() == ["no macro is called nothing"]


def test_a_virtual_host_takes_from_the_main_server_what_it_has_not(conf: Apache) -> None:
    found = conf.found(
        "SSLEngine on\nSSLCertificateFile one.crt\nSSLCertificateKeyFile one.key\n"
        "<VirtualHost *:443>\nServerName a.test\n</VirtualHost>\n"
        "<VirtualHost *:443>\nServerName b.test\nSSLCertificateFile two.crt\n"
        "SSLCertificateKeyFile two.key\n</VirtualHost>\n"
        "<VirtualHost *:443>\nServerName c.test\nSSLEngine off\n</VirtualHost>\n"
    )
    assert found == [("one", ["a.test"], ["*:443"]), ("two", ["b.test"], ["*:443"])]


def test_the_main_server_answers_where_no_virtual_host_does(conf: Apache) -> None:
    assert conf.found("Listen 8443\nSSLEngine on\nSSLCertificateFile one.pem\n" + host("a.test", "two")) == [
        ("two", ["a.test"], ["*:443"]),
        ("one", [], ["*:8443"]),
    ]


def test_two_certificates_of_one_host_are_two_bindings_in_order(conf: Apache) -> None:
    bindings = conf.scan(
        "<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile one.crt\nSSLCertificateFile two.crt\n"
        "SSLCertificateKeyFile one.key\nSSLCertificateKeyFile two.key\n</VirtualHost>\n"
    )
    assert [[Path(file["path"]).name for file in one["files"]] for one in bindings] == [
        ["one.crt", "one.key"],
        ["two.crt", "two.key"],
    ]
    assert all(one["problems"] == [] for one in bindings)


@pytest.mark.parametrize(
    ("listen", "address", "expected"),
    [
        ("Listen 444", "*:444", ["*:444"]),
        ("Listen 0.0.0.0:444 https", "_default_:444", ["*:444"]),
        ("Listen 10.0.0.1:444", "*:444", ["10.0.0.1:444"]),
        ("Listen 10.0.0.1:444", "10.0.0.1:444", ["10.0.0.1:444"]),
        ("Listen 10.0.0.1:444", "10.0.0.2:444", []),
        ("Listen 444", "10.0.0.1:444", ["10.0.0.1:444"]),
        ("Listen [::]:444", "[2001:DB8::1]:444", ["[2001:db8::1]:444"]),
        ("Listen 444", "10.0.0.1", ["10.0.0.1:443", "10.0.0.1:444"]),
        ("Listen 444", "*", ["*:443", "*:444"]),
        ("Listen 444", "*:445", []),
    ],
)
def test_a_virtual_host_is_reached_where_the_server_listens(
    conf: Apache, listen: str, address: str, expected: list[str]
) -> None:
    ((_certificate, _names, listeners),) = conf.found(listen + "\n" + host("a.test", address=address))
    assert listeners == expected


def test_the_first_host_of_an_address_decides_for_a_name_and_for_tls(conf: Apache) -> None:
    assert conf.found(
        host("a.test", more="ServerAlias *.a.test")
        + host("b.a.test", "two", more="ServerAlias c.test a.test")
        + "Listen 444\n<VirtualHost *:444>\nServerName plain.test\n</VirtualHost>\n"
        + host("d.test", "two", "*:444")
    ) == [("one", ["a.test", "*.a.test"], ["*:443"]), ("two", ["c.test"], ["*:443"]), ("two", ["d.test"], [])]


def test_stars_in_odd_places_become_expressions(conf: Apache) -> None:
    ((_certificate, names, _listeners),) = conf.found(
        host("a.test", more="ServerAlias www.* ?.test b\u00fccher.test")
    )
    assert names == ["a.test", "~^www\\..+$", "~^.\\.test$"]
    assert conf.warned() == ["the server name b\u00fccher.test cannot be asked for"]


def test_what_mod_md_manages_is_told_with_its_own_files(conf: Apache) -> None:
    (binding,) = conf.scan("MDomain a.test www.a.test auto\nMDStoreDir store\n" + host("a.test"))
    assert binding["managed_by"] == "mod_md"
    assert [file["path"] for file in binding["files"]] == [
        f"{conf.folder}/store/domains/a.test/pubcert.pem",
        f"{conf.folder}/store/domains/a.test/privkey.pem",
    ]


def test_sections_that_are_not_closed_and_things_that_go_round_end(conf: Apache) -> None:
    conf.write("a.conf", "Include b.conf\n<Directory /x>\n")
    conf.write("b.conf", "Include a.conf\n</VirtualHost>\n")
    assert not conf.found(
        "Include a.conf\n<Macro m>\nUse m\n</Macro>\nUse m\n<VirtualHost *:443>\nSSLEngine on\n"
    )
    assert sorted(conf.warned()) == sorted(
        [
            f"{conf.folder}/a.conf includes itself or lies too deep",
            "</virtualhost> ends nothing",
            "<directory> never ends",
            "the macro m uses itself",
            "<virtualhost> never ends",
            "a TLS virtual host without a certificate",
        ]
    )


@pytest.mark.parametrize(
    "text",
    [
        "Define a xxxxxxxxxxxxxxxx\n" + "Define a ${a}${a}\n" * 60,
        "<Macro a0 $x>\n# $x\n</Macro>\n"
        + "".join(f"<Macro a{n} $x>\nUse a{n - 1} $x$x\nUse a{n - 1} $x$x\n</Macro>\n" for n in range(1, 19))
        + "Use a18 xxxxxxxx\n",
    ],
)
def test_what_grows_without_end_is_stopped(conf: Apache, text: str) -> None:
    start = time.process_time()
    conf.scan(text)
    assert isinstance(conf.report.cut, _reading.Exhausted)
    assert time.process_time() - start < 10


class TestRunning:
    """A server that runs is asked which virtual hosts it has."""

    def dump(self, conf: Apache, *lines: int) -> None:
        """The server tells of virtual hosts on these lines."""
        conf.machine.process(
            10, "apache2", "/usr/sbin/apache2", "-k", "start", environment={"PEM": "one.pem"}
        )
        told = "".join(f"*:443  a.test ({conf.folder}/apache2.conf:{line})\n" for line in lines)
        conf.machine.answers[("apache2", "-t")] = said(told)

    def test_its_environment_counts(self, conf: Apache) -> None:
        self.dump(conf, 3)
        assert conf.found(
            "<VirtualHost *:443>\nSSLEngine on\nSSLCertificateFile ${PEM}\n</VirtualHost>\n"
        ) == [("one", [], ["*:443"])]
        assert conf.warned() == []

    def test_a_host_that_only_one_of_us_sees_is_told(self, conf: Apache) -> None:
        self.dump(conf, 3, 99)
        assert conf.found(host("a.test") + f"<IfSection x>\n{host('b.test')}</IfSection>\n") == [
            ("one", ["a.test"], ["*:443"])
        ]
        assert {
            "a virtual host that only the server understands",
            "a virtual host that the server does not have",
        } < set(conf.warned())

    def test_when_its_own_test_fails_that_is_told_and_the_files_count(self, conf: Apache) -> None:
        self.dump(conf)
        conf.machine.answers[("apache2", "-t")] = said(stderr="AH00526: Syntax error", returncode=1)
        assert len(conf.found(host("a.test"))) == 1
        assert conf.warned() == ["its own test of the configuration fails: AH00526: Syntax error"]

    def test_the_control_script_tests_and_reloads(self, conf: Apache) -> None:
        conf.machine.program("apache2ctl")
        self.dump(conf)
        assert [Path(word).name for word in conf.service.test_command()] == ["apache2ctl", "configtest"]
        assert [Path(word).name for word in conf.service.reload_command()] == ["apache2ctl", "graceful"]

    def test_a_master_with_its_own_files_is_tested_with_them(self, conf: Apache) -> None:
        conf.machine.program("apache2ctl")
        other = conf.write("other/my.conf", "Listen 1\n")
        conf.machine.process(
            10, "apache2", "apache2", "-d", str(other.parent), "-f", "my.conf", "-DX", "-k", "start"
        )
        conf.machine.process(11, "apache2", "apache2", "-k", "start", parent=10)
        assert conf.service.test_command()[1:] == [
            "-d",
            str(other.parent),
            "-f",
            "my.conf",
            "-D",
            "X",
            "-t",
        ]
        assert conf.service.instances()[0].config == str(other)

    def test_a_second_instance_of_debian_s_is_led_by_its_folder(self, conf: Apache) -> None:
        conf.machine.program("apache2ctl")
        conf.write("envvars", "")
        conf.machine.process(10, "apache2", "apache2", "-d", str(conf.folder), "-k", "start")
        assert conf.service.test_command()[:2] == ["env", f"APACHE_CONFDIR={conf.folder}"]


def test_version_and_presence(conf: Apache) -> None:
    assert conf.service.found()
    assert conf.service.version() == "2.4.66"
    assert not conf.service.running()


_PIECES = st.sampled_from(
    [
        "<VirtualHost *:443>",
        "</VirtualHost>",
        "<IfDefine x>",
        "</IfDefine>",
        "<Macro a $b>",
        "</Macro>",
        "Use a ${c}\n",
        "Define c ${c}x\n",
        "\\\n",
        "\n",
        '"',
        "'",
        "#",
        "SSLEngine on\n",
        "<",
        ">",
        "${",
        "}",
        " ",
        "Include *\n",
    ]
)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=60).map("".join)))
def test_no_text_makes_the_reading_raise(text: str) -> None:
    warned: list[str] = []
    reading = _apache_syntax.Reading(
        _reading.Reader(10.0),
        _apache_syntax.Start("/no/such/folder", {}, [], [], None),
        lambda message, _file, _line: warned.append(message),
    )
    reading.obey(_apache_syntax.lines(text, "x"), reading.main)


def test_a_long_file_takes_linear_time() -> None:
    start = time.process_time()
    for text in (
        "a" * (1 << 20),
        "\\\n" * (1 << 19),
        '"\\' * (1 << 19),
        "<a>\n" * (1 << 17),
        "Use x\n" * (1 << 17),
    ):
        reading = _apache_syntax.Reading(
            _reading.Reader(60.0), _apache_syntax.Start("/", {}, [], [], None), lambda *_: None
        )
        reading.obey(_apache_syntax.lines(text, "x"), reading.main)
        _apache_syntax.words(text)
    assert time.process_time() - start < 20
