# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an HAProxy configuration shows to whom."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _haproxy_binds,
    _haproxy_syntax,
    haproxy,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

Binding = dict[str, t.Any]


class HAProxy:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.issue = issue
        self.fingerprints: dict[str, str] = {}
        folder.mkdir()
        machine.program("haproxy")
        machine.answers[("haproxy", "-vv")] = said(
            "HAProxy version 2.6.12-1 2026\nFeature list : +OPENSSL -QUIC\n"
        )
        machine.answers[("haproxy", "-v")] = said("HAProxy version 2.6.12-1+deb12u4 2026/10/17\n")
        self.service = haproxy.HAProxy(machine)
        self.service.config = str(folder / "haproxy.cfg")
        self.service.defaults = (str(folder / "default"),)

    def combined(self, path: str, *, with_key: bool = True) -> Path:
        """A file with a certificate and, usually, its key."""
        made = self.issue("a.test")
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made.pem + (made.key_pem if with_key else ""))
        file.chmod(0o600)
        if not with_key:
            (self.folder / f"{path}.key").write_text(made.key_pem)
            (self.folder / f"{path}.key").chmod(0o600)
        self.fingerprints[made.fingerprint] = path
        return file

    def scan(self, text: str) -> list[Binding]:
        """The bindings of a configuration."""
        (self.folder / "haproxy.cfg").write_text(text)
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
def conf(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> HAProxy:
    """An installed HAProxy that does not run."""
    return HAProxy(tmp_path / "etc", machine, report, issue)


def test_a_combined_file_is_found_and_leaves_its_names_to_the_controller(conf: HAProxy) -> None:
    file = conf.combined("shop.pem")
    (binding,) = conf.scan(f"frontend f\n  bind :443 ssl crt {file} alpn h2\n")
    assert (binding["config_file"], binding["line"]) == (str(conf.folder / "haproxy.cfg"), 2)
    assert (binding["names"], binding["listeners"]) == ([], ["*:443"])
    assert [(one["path"], one["kind"]) for one in binding["files"]] == [(str(file), "combined")]
    assert binding["problems"] == []


def test_a_key_beside_the_certificate_is_found(conf: HAProxy) -> None:
    conf.combined("one.crt", with_key=False)
    two = conf.combined("two.crt", with_key=False)
    (conf.folder / "two.crt.key").rename(two.with_suffix(".key"))
    base = f"global\n crt-base {conf.folder}\n"
    (first,) = conf.scan(base + "listen l\n bind :443 ssl crt one.crt\n")
    assert [(Path(one["path"]).name, one["kind"]) for one in first["files"]] == [
        ("one.crt", "fullchain"),
        ("one.crt.key", "key"),
    ]
    conf.report.bindings.clear()
    (second,) = conf.scan(base + " ssl-load-extra-del-ext\nlisten l\n bind :443 ssl crt two.crt\n")
    assert [Path(one["path"]).name for one in second["files"]] == ["two.crt", "two.key"]
    assert first["problems"] == second["problems"] == []


def test_a_folder_stands_for_its_files(conf: HAProxy) -> None:
    for name in ("certs/b.pem", "certs/a.pem", "certs/.hidden", "certs/sub/c.pem"):
        conf.combined(name)
    conf.combined("certs/d.crt", with_key=False)
    for name in ("a.pem.ocsp", "a.pem.issuer", "a.pem.sctl"):
        (conf.folder / "certs" / name).write_text("x")
    found = conf.found(f"frontend f\n bind :443 ssl crt {conf.folder}/certs/\n")
    assert [certificate for certificate, _names, _listeners in found] == [
        "certs/a.pem",
        "certs/b.pem",
        "certs/d.crt",
    ]


def test_a_bundle_is_one_binding_for_each_kind_of_key(conf: HAProxy) -> None:
    conf.combined("x.pem.rsa")
    conf.combined("x.pem.ecdsa")
    line = f"frontend f\n bind :443 ssl crt {conf.folder}/x.pem\n"
    assert [one[0] for one in conf.found(line)] == ["x.pem.rsa", "x.pem.ecdsa"]
    conf.report.bindings.clear()
    (binding,) = conf.scan("global\n ssl-load-extra-files none\n" + line)
    assert [problem["kind"] for problem in binding["problems"]] == ["missing"]


def test_a_crt_list_gives_names_and_its_own_lines(conf: HAProxy) -> None:
    for name in ("a.pem", "b.pem", "c.pem"):
        conf.combined(name)
    (conf.folder / "list").write_text(
        "# first\n\na.pem [alpn h2,http/1.1 ssl-min-ver TLSv1.2] One.test *.w.test !x.w.test\n"
        f"{conf.folder}/b.pem\nc.pem !* # only by default\n"
    )
    bindings = conf.scan(
        f"global\n crt-base {conf.folder}\nfrontend f\n bind 10.0.0.1:443 ssl crt-list {conf.folder}/list\n"
    )
    assert [(Path(one["config_file"]).name, one["line"], one["names"]) for one in bindings] == [
        ("list", 3, ["one.test", "*.w.test"]),
        ("list", 4, []),
        ("list", 5, []),
    ]
    assert conf.warned() == []


def test_a_crt_store_is_looked_into(conf: HAProxy) -> None:
    conf.combined("a.crt", with_key=False)
    conf.combined("b.pem")
    found = conf.scan(
        f"crt-store web\n crt-base {conf.folder}\n key-base {conf.folder}\n"
        f" load crt a.crt key a.crt.key alias shop\n"
        " load crt b.pem acme LE domains b.test\n"
        "frontend f\n bind :443 ssl crt @web/shop crt @web/b.pem crt @web/gone\n"
    )
    assert [(conf.fingerprints[one["certificate"]], one["managed_by"]) for one in found] == [
        ("a.crt", None),
        ("b.pem", "haproxy"),
    ]
    assert conf.warned() == ["@web/gone is in no crt-store"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bind *:443 ssl # x y", ["bind", "*:443", "ssl"]),
        ("a\\ b \"c d\"'e' f", ["a b", "c de", "f"]),
        ('a "b\\"c" \'d\\e\'', ["a", 'b"c', "d\\e"]),
        ("a\\x41\\n \\#b", ["aA\n", "#b"]),
        ('"$P" "${P}1" "${NONE-x}" "${NONE}" "\\$P" $P \'$P\'', ["443", "4431", "x", "", "$P", "$P", "$P"]),
        ('x"${LIST[*]}"y', ["xa", "b", "cy"]),
        ('"a b', ["a b"]),
        ("", []),
        ("a\u00a0b", ["a\u00a0b"]),
    ],
)
def test_words_quotes_escapes_and_variables(line: str, expected: list[str]) -> None:
    environment = {"P": "443", "LIST": "a b c"}
    assert _haproxy_syntax.words(line, environment.get) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (":443", ["*:443"]),
        ("*:443", ["*:443"]),
        ("0.0.0.0:443", ["*:443"]),
        (":::443", ["[::]:443"]),
        ("[::]:443", ["[::]:443"]),
        ("2001:DB8::1:443", ["[2001:db8::1]:443"]),
        ("ipv6@:443", ["[::]:443"]),
        ("ipv4@10.0.0.1:443", ["10.0.0.1:443"]),
        ("tcp4@10.0.0.1:443", ["10.0.0.1:443"]),
        ("10.0.0.1:443-445", ["10.0.0.1:443", "10.0.0.1:444", "10.0.0.1:445"]),
        ("quic4@:443", []),
        ("unix@x", []),
        ("/run/x.sock", []),
        ("abns@x:1", []),
        ("fd@3", []),
        ("", []),
    ],
)
def test_the_forms_of_an_address(value: str, expected: list[str]) -> None:
    assert _haproxy_binds.addresses(value) == expected


def test_one_bind_line_may_have_several_addresses_and_certificates(conf: HAProxy) -> None:
    one, two = conf.combined("one.pem"), conf.combined("two.pem")
    assert conf.found(
        f"listen l\n bind 10.0.0.1:443,10.0.0.2:443,/run/s ssl crt {one} name crt crt {two}\n"
    ) == [
        ("one.pem", [], ["10.0.0.1:443", "10.0.0.2:443"]),
        ("two.pem", [], ["10.0.0.1:443", "10.0.0.2:443"]),
    ]
    assert conf.warned() == ["/run/s: no certificate is looked for there"]


def test_only_tls_listeners_of_frontends_count(conf: HAProxy) -> None:
    file = conf.combined("one.pem")
    assert not conf.found(
        f"frontend f\n bind :80 crt {file}\nbackend b\n"
        f" server s 10.0.0.1:1 ssl crt {file}\n bind :1 ssl crt {file}\n"
    )


def test_a_disabled_section_listens_nowhere(conf: HAProxy) -> None:
    file = conf.combined("one.pem")
    assert conf.found(
        f"frontend f\n bind :443 ssl crt {file}\n disabled\ndefaults\n disabled\n"
        f"frontend g\n bind :444 ssl crt {file}\n"
        f"frontend h\n enabled\n bind :445 ssl crt {file}\n"
    )[1:] == [("one.pem", [], []), ("one.pem", [], ["*:445"])]


def test_variables_come_from_the_configuration_and_from_the_service(conf: HAProxy) -> None:
    conf.combined("one.pem")
    (conf.folder / "default").write_text(
        f'# x\nCERTS="{conf.folder}"\nEXTRAOPTS="-S /run/x.sock -f {conf.folder}/more"\n'
    )
    (conf.folder / "more").mkdir()
    (conf.folder / "more" / "b.cfg").write_text('listen b\n bind :444 ssl crt "${CERTS}/one.pem"\n')
    (conf.folder / "more" / "c.txt").write_text('listen c\n bind :445 ssl crt "${CERTS}/one.pem"\n')
    text = (
        'global\n setenv PORT 443\n presetenv PORT 1\nfrontend f\n bind :"$PORT" ssl crt "${CERTS}/one.pem"\n'
    )
    assert [one[2] for one in conf.found(text)] == [["*:443"], ["*:444"]]
    assert conf.service.test_command()[1:] == [
        "-c",
        "-C",
        "/",
        "-f",
        str(conf.folder / "haproxy.cfg"),
        "-f",
        f"{conf.folder}/more",
    ]
    assert conf.service.command_environment() == {"CERTS": str(conf.folder)}


def test_conditional_blocks_are_judged_as_far_as_known(conf: HAProxy) -> None:
    file = conf.combined("one.pem")

    def bind(port: int) -> str:
        return f" bind :{port} ssl crt {file}\n"

    found = conf.found(
        "frontend f\n"
        f".if version_atleast(2.4)\n{bind(1)}.else\n{bind(901)}.endif\n"
        f".if version_before(2.4-dev3)\n"
        f"{bind(902)}.elif feature(OPENSSL) && !defined(NO)\n{bind(2)}.else\n{bind(903)}.endif\n"
        f".if feature(QUIC) || streq(a,b)\n{bind(904)}.endif\n"
        f".if 0\n{bind(905)}.if 1\n{bind(906)}.endif\n{bind(907)}.endif\n"
        f".if unheard_of(x)\n{bind(3)}.else\n{bind(4)}.endif\n"
    )
    assert [listeners for _certificate, _names, listeners in found] == [["*:1"], ["*:2"], ["*:3"], ["*:4"]]
    assert conf.warned() == ["a condition that only HAProxy can judge: its lines are taken as they stand"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", False),
        ("0", False),
        ("-1", True),
        ("!0 && 1", True),
        ("yes() || unknown()", True),
        ("no() && unknown()", False),
        ("yes() && unknown()", None),
        ("(yes() || no()) && !no()", True),
        ("yes() || no() && no()", True),
        ("( yes()", None),
        (")", None),
        ("&&", None),
        ("!" * 500, None),
        ("(" * 500, None),
    ],
)
def test_conditions(expression: str, expected: bool | None) -> None:
    known = {"yes": True, "no": False}
    assert _haproxy_syntax.truth(expression, lambda name, _arguments: known.get(name)) is expected


def test_versions_are_compared_as_numbers() -> None:
    versions = ["2.4-dev3", "2.4-dev19", "2.4.0", "2.4.10", "2.10.1-1+deb12u4"]
    assert sorted(versions, key=_haproxy_syntax.newer) == versions


def test_a_crt_list_that_cannot_be_read_is_told(conf: HAProxy) -> None:
    assert not conf.found("frontend f\n bind :443 ssl crt-list /no/such/list\n")
    assert conf.warned() == [
        "the crt-list /no/such/list is not read: No such file or directory",
        "a TLS listener without a certificate",
    ]


class TestRunning:
    """A process that runs shows its files on its command line."""

    def test_its_files_count_and_the_master_is_told_to_reload(self, conf: HAProxy) -> None:
        file = conf.combined("one.pem")
        other = conf.folder / "other.cfg"
        other.write_text(f"listen l\n bind :444 ssl crt {file}\n")
        conf.machine.process(
            10,
            "haproxy",
            "haproxy",
            "-sf",
            "8",
            "9",
            "-x",
            "sockpair@5",
            "-Ws",
            "-f",
            str(other),
            "-p",
            "/run/p",
        )
        conf.machine.process(11, "haproxy", "haproxy", "-Ws", "-f", str(other), parent=10)
        assert [one[2] for one in conf.found("")] == [["*:444"]]
        assert conf.service.test_command()[1:] == ["-c", "-C", "/", "-f", str(other)]
        assert conf.service.reload_commands() == [["kill", "-USR2", "10"]]

    def test_a_process_without_a_master_is_followed_by_a_new_one(self, conf: HAProxy) -> None:
        conf.machine.process(10, "haproxy", "haproxy", "-f", "/etc/x.cfg", "-D")
        assert conf.service.reload_command()[1:] == ["-f", "/etc/x.cfg", "-D", "-sf", "10"]

    def test_only_variables_that_the_configuration_uses_are_passed_on(self, conf: HAProxy) -> None:
        (conf.folder / "haproxy.cfg").write_text('listen l\n bind :"$PORT"\n.if defined(MORE)\n.endif\n')
        environment = {"PORT": "443", "MORE": "1", "SECRET": "x", "PATH": "/bin"}
        conf.machine.process(
            10, "haproxy", "haproxy", "-W", "-f", str(conf.folder / "haproxy.cfg"), environment=environment
        )
        assert conf.service.command_environment() == {"PORT": "443", "MORE": "1"}


def test_version_and_presence(conf: HAProxy) -> None:
    assert conf.service.found()
    assert conf.service.version() == "2.6.12-1+deb12u4"
    assert not conf.service.running()
    assert conf.service.reload_commands() == []


_PIECES = st.sampled_from(
    [
        ".if ",
        ".elif 1\n",
        ".else\n",
        ".endif\n",
        "global\n",
        "frontend f\n",
        "bind :443 ssl crt /gone",
        "\n",
        '"',
        "'",
        "\\",
        "#",
        "$",
        "${A",
        "}",
        "[*]",
        "setenv A ",
        '"$A$A"',
        "\\x4",
        " ",
        "crt-store s\n",
        "load crt x key y",
        "&&",
    ]
)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=60).map("".join)))
def test_no_text_makes_the_reading_raise(text: str) -> None:
    reading = _haproxy_syntax.Reading({}, lambda _name, _arguments: None, lambda *_: None)
    reading.read(text, "x")


@given(st.text(max_size=60))
def test_no_line_of_a_crt_list_makes_its_reading_raise(line: str) -> None:
    _haproxy_binds.entry_of(line)
    _haproxy_binds.addresses(line)


def test_a_long_line_takes_linear_time() -> None:
    start = time.process_time()
    for line in (
        "a" * (1 << 20),
        '"' * (1 << 19),
        "\\a" * (1 << 19),
        '"' + "$a" * (1 << 18),
        '"' + "${" * (1 << 18),
    ):
        _haproxy_syntax.words(line, {"a": ""}.get)
    assert time.process_time() - start < 20
