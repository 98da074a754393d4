# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""server.xml and catalina.properties as Tomcat reads them, and nothing in them that swells or hangs."""

from __future__ import annotations

import io
import time
import typing as t
import zipfile

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _reading,
    _tomcat_server,
    tomcat,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import said
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report
    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue

_CONNECTOR = '<Server><Service>%s<Connector port="1" a="&lt;x&#10;y"/>%s</Service></Server>'


def parsed(data: bytes) -> tuple[list[_tomcat_server.Node], list[str]]:
    """The connectors, and what was warned of."""
    told: list[str] = []
    root = _tomcat_server.parse(data, lambda message, line: told.append(f"{line}: {message}"))
    return [one for server in root.all("Server") for one in server.all("Connector")], told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "utf-8-sig"])
def test_a_server_xml_in_any_usual_encoding(encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n'
    (connector,), told = parsed((head + _CONNECTOR % ("<!-- ü -->\n\n", "")).encode(encoding))
    assert told == []
    assert connector.attributes == {"port": "1", "a": "<x\ny"}
    assert connector.line == 4


def test_only_what_stands_where_tomcat_looks_counts() -> None:
    text = "<Server><Connector port='1'/><Service><Host><Connector port='2'/></Host></Service></Server>"
    assert parsed(text.encode())[0] == []
    assert parsed(b"<Other><Service><Connector/></Service></Other>")[0] == []


def test_what_was_read_before_an_error_stands() -> None:
    connectors, told = parsed((_CONNECTOR % ("", "\n<oops>")).encode())
    assert len(connectors) == 1
    assert told == ["2: it is no well-formed XML (mismatched tag): what comes after this is not read"]


@pytest.mark.parametrize(
    "entities",
    [
        "".join(f'<!ENTITY e{number + 1} "{f"&e{number};" * 10}">' for number in range(19)),
        '<!ENTITY a "&a;">',
        f'<!ENTITY a "{"x" * 90000}">',
        "<!ENTITY % p \"<!ENTITY a SYSTEM 'file:///etc/shadow'>\">%p;",
        '<!ENTITY a SYSTEM "file:///etc/shadow">',
        '<!ENTITY a PUBLIC "x" "http://192.0.2.1/x">',
    ],
)
def test_entities_neither_swell_nor_read_other_files(entities: str) -> None:
    start = time.process_time()
    text = f'<!DOCTYPE s [<!ENTITY e0 "lol">{entities}]>' + _CONNECTOR % ("&e19;&a;" * 1000, "")
    connectors, told = parsed(text.encode())
    assert time.process_time() - start < 2
    assert told != []
    assert "root:" not in repr((connectors, told))


def test_a_short_entity_is_put_in() -> None:
    text = '<!DOCTYPE s [<!ENTITY a "8443">]>' + _CONNECTOR.replace('"1"', '"&a;"') % ("", "")
    (connector,), told = parsed(text.encode())
    assert (connector.attributes["port"], told) == ("8443", [])


@pytest.mark.parametrize(
    "text",
    [
        "<a>" * 300000,
        "<Server>" + "<Service>" * 100000,
        "<Server a='" + "x" * 2000000,
        "\0" * 100000,
        "<!DOCTYPE",
    ],
)
def test_a_hostile_file_takes_linear_time(text: str) -> None:
    start = time.process_time()
    assert parsed(text.encode())[0] == []
    assert time.process_time() - start < 3


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reading_raise(data: bytes) -> None:
    parsed(data)
    parsed(b"<Server><Service>" + data)
    _tomcat_server.properties(data.decode("latin-1"))


def test_properties_in_java_s_own_format() -> None:
    text = (
        "# a comment \\\n! another\na=1\n b : 2 \nc 3\nd\\ e\\=f = g\\\n   h\\\\\ni=\\u00e4\\t!\n"
        "empty=\r\nwin=dows\r\na=last\nend=open\\"
    )
    assert _tomcat_server.properties(text) == {
        "a": "last",
        "b": "2 ",
        "c": "3",
        "d e=f": "gh\\",
        "i": "ä\t!",
        "empty": "",
        "win": "dows",
        "end": "open",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${a}/x", "1/x"),
        ("${b}", "1"),
        ("${gone:-else}", "else"),
        ("${a:-else}", "1"),
        ("${gone}", "${gone}"),
        ("${gone", "${gone"),
        ("$a $$ ${", "$a $$ ${"),
        ("${${a}}", "${${a}}"),
        ("${self}", "${self}"),
    ],
)
def test_properties_in_values(value: str, expected: str) -> None:
    assert _tomcat_server.Values({"a": "1", "b": "${a}", "self": "${self}"}).of(value) == expected


def test_properties_that_double_themselves_end() -> None:
    known = {"grow": "${grow}${grow}"}
    assert len(_tomcat_server.Values(known).of("${grow}")) < 1 << 20


def test_the_test_s_java_wants_no_port_and_no_log_of_the_running_one() -> None:
    options = (
        "-Djava.util.logging.config.file=/x -Dcom.sun.management.jmxremote.port=9 -Dmine=1 -Xmx8g "
        "-javaagent:/a.jar -agentlib:jdwp=transport=dt_socket,server=y,address=8000 "
        "--add-opens java.base/java.io=ALL-UNNAMED "
        "--add-opens=java.base/java.lang=ALL-UNNAMED -classpath /b.jar -XX:+HeapDump -Dcatalina.base=/base"
    )
    assert " ".join(tomcat.tested_options(options.split())) == (
        "-Dmine=1 --add-opens java.base/java.io=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED "
        "-classpath /b.jar -Dcatalina.base=/base"
    )


def started(machine: FakeMachine, *more: str, unit: str | None = None) -> Path:
    """The base of a Tomcat that runs."""
    base = machine.root / "base"
    (base / "conf").mkdir(parents=True)
    options = ["-Xmx1g", f"-Dcatalina.base={base}", f"-Dcatalina.home={base}/home", *more]
    machine.process(100, "java", "/usr/bin/java", *options, tomcat.MAIN, "start", unit=unit)
    return base


def test_a_java_that_is_no_tomcat_is_none(machine: FakeMachine) -> None:
    machine.process(100, "java", "/usr/bin/java", "-jar", "/opt/app.jar", tomcat.MAIN + "2")
    service = tomcat.Tomcat(machine)
    service.places = ()
    assert not service.running()
    assert not service.found()


def test_what_no_service_has_started_cannot_be_started_again(machine: FakeMachine) -> None:
    started(machine)
    with pytest.raises(HostError, match="process 100 is no service of systemd"):
        tomcat.Tomcat(machine).reload_commands()


def test_only_the_service_of_a_tomcat_itself_is_restarted(machine: FakeMachine) -> None:
    """A Tomcat that cron has started lives in the service of cron."""
    machine.with_systemd()
    started(machine, unit="cron.service")
    show = ("systemctl", "show", "--property=MainPID", "cron.service")
    machine.answers[show] = said("MainPID=7\n")
    with pytest.raises(HostError, match="no service of systemd"):
        tomcat.Tomcat(machine).reload_commands()
    machine.answers[show] = said("MainPID=100\n")
    assert tomcat.Tomcat(machine).reload_commands() == [["systemctl", "restart", "cron.service"]]


def scanned(machine: FakeMachine, report: Report, base: Path, text: str) -> list[dict[str, t.Any]]:
    (base / "conf" / "server.xml").write_text(f"<Server><Service>{text}</Service></Server>")
    tomcat.Tomcat(machine).scan(report)
    return report.bindings


def with_version(base: Path, version: str) -> None:
    """The archive that Tomcat's version stands in."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("org/apache/catalina/util/ServerInfo.properties", f"server.number={version}.0\n")
    (base / "home" / "lib").mkdir(parents=True)
    (base / "home" / "lib" / "catalina.jar").write_bytes(data.getvalue())


@pytest.mark.parametrize(
    ("version", "known"), [("8.5.99", True), ("9.0.80", True), ("10.1.5", False), ("11.0.0", False)]
)
def test_the_old_attributes_hold_where_tomcat_knows_them(
    machine: FakeMachine, report: Report, issue: Issue, version: str, known: bool
) -> None:
    base = started(machine)
    with_version(base, version)
    made = issue("a.test")
    certificate, key = made.save(base / "conf")
    assert tomcat.Tomcat(machine).version() == version
    old = f'SSLCertificateFile="conf/{certificate.name}" SSLCertificateKeyFile="{key}"'
    bindings = scanned(machine, report, base, f'<Connector port="8443" SSLEnabled="true" {old}/>')
    assert [one["certificate"] for one in bindings] == ([made.fingerprint] if known else [])
    if known:
        assert bindings[0]["listeners"] == ["*:8443"]
        assert bindings[0]["problems"] == []
    else:
        assert any("does not know SSLCertificateFile" in one["message"] for one in report.warnings)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('port="8443"', ["*:8443"]),
        ('port="8443" address="::1"', ["[::1]:8443"]),
        ('port="8443" address="0.0.0.0"', ["*:8443"]),
        ('port="8443" address="10.0.0.5"', ["10.0.0.5:8443"]),
        ('port="-1"', []),
        ('port="0"', []),
        ('port="x"', []),
        ('port="70000"', []),
        ('port="8443" address="${unknown}"', []),
        ('unixDomainSocketPath="/run/x"', []),
    ],
)
def test_where_a_connector_listens(
    machine: FakeMachine, report: Report, issue: Issue, attributes: str, expected: list[str]
) -> None:
    base = started(machine)
    issue("a.test").save(base / "conf")
    inner = '<Certificate certificateFile="conf/shop.crt" certificateKeyFile="conf/shop.key"/>'
    text = f'<Connector SSLEnabled="true" {attributes}><SSLHostConfig>{inner}</SSLHostConfig></Connector>'
    (binding,) = scanned(machine, report, base, text)
    assert binding["listeners"] == expected


def test_a_broken_archive_has_no_version(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for data in (b"", b"PK\x03\x04" + b"\0" * 100, b"x" * 1000):
        (tmp_path / "lib" / "catalina.jar").write_bytes(data)
        assert _tomcat_server.version(str(tmp_path), _reading.Reader(5.0)) is None
