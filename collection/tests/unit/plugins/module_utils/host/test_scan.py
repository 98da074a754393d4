# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scan as a whole: one answer, whatever a host holds."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import scan, services
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _base,
    _managers,
    _reading,
    _report,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, Made, said
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import issue as issue_certificate
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.plugins.module_utils.host.services._report import Report

HOST = Path(scan.__file__).resolve().parent
OLD_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.6*/bin/python"))


def test_an_answer_has_what_the_contract_says_before_the_controller_has_seen_it() -> None:
    answer = scan.run({"op": "scan", "timeout": 30})
    assert set(answer) == {"server", "bindings", "certificates", "chains", "warnings"}
    assert {"hostname", "services"} < set(answer["server"])
    json.dumps(answer)


def test_only_the_services_asked_for_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(name: str, _machine: object) -> _Absent:
        asked.append(name)
        return _Absent()

    monkeypatch.setattr(scan.services, "get", get)
    assert scan.run({"services": ["nginx"]})["server"]["services"] == []
    assert asked == ["nginx"]
    scan.run({})
    assert asked == ["nginx", *services.KINDS]


class _Absent(_base.Service):
    def found(self) -> bool:
        return False


class _Broken(_base.Service):
    """A kind of server whose scan ends early, after it has found something."""

    name = "broken"

    def __init__(self, machine: FakeMachine, error: Exception) -> None:
        super().__init__(machine)
        self.error = error

    def found(self) -> bool:
        return True

    def running(self) -> bool:
        return False

    def version(self) -> str | None:
        return None

    def scan(self, report: Report) -> None:
        report.binding("broken", "x", 1, None, problems=[("unresolved", "why")])
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            _reading.Exhausted("the time for the scan is over"),
            "is not complete: the time for the scan is over",
        ),
        (ZeroDivisionError("zero"), "broke off by a defect: ZeroDivisionError: zero ("),
    ],
)
def test_what_was_found_before_a_scan_broke_off_stands(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    monkeypatch.setattr(scan.services, "get", lambda _name, _machine: _Broken(machine, error))
    answer = scan.run({"services": ["broken", "broken"], "handshakes": False})
    assert len(answer["bindings"]) == 2
    assert answer["warnings"][0]["message"].startswith(f"the scan of broken {told}")
    assert (
        answer["server"]["services"]
        == [{"name": "broken", "version": None, "running": False, "incomplete": True}] * 2
    )


class _Greedy(_base.Service):
    """A kind of server whose configuration is read without end."""

    def __init__(self, name: str, file: Path, greedy: bool) -> None:
        super().__init__()
        self.name, self.file, self.greedy = name, file, greedy

    def found(self) -> bool:
        return True

    def version(self) -> None:
        return None

    def scan(self, report: Report) -> None:
        report.reader.config(str(self.file))
        while self.greedy:
            report.reader.config(str(self.file))


def test_a_server_whose_files_never_end_takes_nothing_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.conf"
    file.write_text("a")
    monkeypatch.setattr(
        scan.services, "get", lambda name, _machine: _Greedy(name, file, greedy=name < "nginx")
    )
    began = time.monotonic()
    found = scan.run({"services": ["apache", "caddy", "nginx"], "timeout": 4, "handshakes": False})
    assert time.monotonic() - began < 30
    about = {one["name"]: one.get("incomplete", False) for one in found["server"]["services"]}
    assert about == {"apache": True, "caddy": True, "nginx": False}


def test_a_file_of_two_servers_has_one_kind(report: Report, tmp_path: Path, issue: Issue) -> None:
    certificate, key = issue("a.test").save(tmp_path)
    (tmp_path / "chain").write_text(issue("ca").pem)
    (tmp_path / "link").symlink_to("shop.crt")
    report.binding("apache", "a", 1, str(certificate), str(key), str(tmp_path / "chain"))
    assert report.bindings[0]["files"][0]["kind"] == "leaf"
    report.binding("nginx", "n", 1, str(tmp_path / "link"), str(key))
    scan.answer(report, {"addresses": []})
    assert [binding["files"][0]["kind"] for binding in report.bindings] == ["fullchain", "fullchain"]


def test_a_certificate_is_sent_once_and_a_chain_once(
    report: Report, tmp_path: Path, issue: Issue, authority: Made
) -> None:
    shared = issue("a.test", by=authority)
    other = issue("b.test", by=authority)
    for number, made in enumerate((shared, shared, other)):
        certificate, key = made.save(tmp_path, str(number))
        report.binding("nginx", "n", number, str(certificate), str(key))
    answer = scan.answer(report, {"addresses": []})
    assert answer["certificates"] == {
        shared.fingerprint: {"pem": shared.pem},
        other.fingerprint: {"pem": other.pem},
    }
    assert list(answer["chains"].values()) == [authority.pem]
    assert len({binding["chain"] for binding in answer["bindings"]}) == 1


def test_every_address_is_asked_where_this_server_answers(report: Report) -> None:
    report.listens("nginx", ["*:443", "127.0.0.1:443", "10.0.0.1:443", "*:444", "[::]:445", "[::1]:445"])
    report.binding("nginx", "n", 1, None, listeners=["*:443", "*:444", "127.0.0.1:443", "[::]:445"])
    report.binding("haproxy", "h", 1, None, listeners=["*:443"])
    answer = scan.answer(report, {"addresses": ["10.0.0.1", "10.0.0.2"]})
    assert [one["listeners"] for one in answer["bindings"]] == [
        ["10.0.0.2:443", "*:444", "127.0.0.1:443"],
        ["*:443"],
    ]


def test_warnings_are_said_once_and_not_without_end(report: Report) -> None:
    for number in range(1000):
        report.warning(f"warning {number % 700}", "file", 1)
    answer = scan.answer(report, {"addresses": []})
    assert len(answer["warnings"]) == 501
    assert answer["warnings"][-1]["message"] == "200 more warnings"


def test_ten_thousand_virtual_hosts_take_linear_time(
    tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue
) -> None:
    made = issue("a.test")
    made.save(tmp_path)
    pairs = f"ssl_certificate {tmp_path}/shop.crt; ssl_certificate_key {tmp_path}/shop.key;"
    for part in range(10):
        (tmp_path / f"{part}.conf").write_text(
            "".join(
                f"server {{ listen 443 ssl; server_name h{part}-{number}.test; {pairs}"
                " location / { return 204; } }\n"
                for number in range(1000)
            )
        )
    (tmp_path / "nginx.conf").write_text("http { include *.conf; }".replace("*", "[0-9]"))
    machine.program("nginx")
    machine.answers[("nginx", "-V")] = said(stderr=f"configure arguments: --conf-path={tmp_path}/nginx.conf")
    start = time.process_time()
    services.get("nginx", machine).scan(report)
    answer = scan.answer(report, {"addresses": []})
    assert len(answer["bindings"]) == 10000
    assert len(answer["certificates"]) == 1
    assert time.process_time() - start < 20


def test_a_scan_changes_nothing_on_the_disk(
    tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue
) -> None:
    folder = tmp_path / "etc"
    issue("a.test").save(folder)
    (folder / "nginx.conf").write_text(
        "http { server { listen 443 ssl; ssl_certificate shop.crt; ssl_certificate_key shop.key; } }"
    )
    machine.program("nginx")
    machine.answers[("nginx", "-V")] = said(stderr=f"configure arguments: --conf-path={folder}/nginx.conf")

    def tree() -> list[tuple[str, int, int, int]]:
        found = [(str(path), path.stat()) for path in folder.rglob("*")]
        return sorted((name, facts.st_mode, facts.st_size, facts.st_ctime_ns) for name, facts in found)

    before = tree()
    services.get("nginx", machine).scan(report)
    assert len(report.bindings) == 1
    assert tree() == before


@pytest.mark.parametrize(
    "python", [sys.executable, *map(str, OLD_PYTHONS)], ids=lambda path: Path(path).parent.parent.name
)
def test_it_runs_on_the_oldest_python_that_targets_have(python: str) -> None:
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1])\n"
        "from host import scan, services\n"
        "assert [services.get(kind).test_commands() for kind in services.KINDS]\n"
        "print(json.dumps(scan.run({'timeout': 20})))"
    )
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", program, str(HOST.parent)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "bindings" in json.loads(done.stdout)


_SEEDS = {
    "nginx": """http { ssl_certificate %s/a.crt; ssl_certificate_key %s/a.key; include %s/*.inc;
server { listen 443 ssl; server_name a.test *.b.test ~^c(.+)$ .d.test; }
server { listen [::]:444 ssl; listen unix:/x ssl; server_name $hostname;
  ssl_certificate %s/$ssl_server_name.crt; ssl_certificate_key data:x; } }
stream { server { listen 1-9 ssl; } }""",
    "apache": """Listen 443
Listen [::1]:444 https
Define d %s
Include %s/*.inc
<Macro m $a>
<VirtualHost *:443 10.0.0.1>
ServerName $a
ServerAlias *.b.test
SSLEngine on
SSLCertificateFile "${d}/a.crt"
SSLCertificateKeyFile \\
 ${d}/a.key
</VirtualHost>
</Macro>
Use m a.test
Use m b.test
<IfDefine d>
MDomain c.test
</IfDefine>
<IfVersion >= 2.4>
</IfVersion>
""",
    "haproxy": """global
 crt-base %s
 setenv X "a b"
defaults
 mode http
frontend f
 bind :443,[::1]:444 ssl crt a.crt crt %s/ crt-list %s/a.inc
.if streq("$X",a) || version_atleast(2.4)
 bind :445-450 ssl crt '%s/a.crt' alpn h2
.else
 bind 1.2.3.4:"${Y-5}" ssl crt "${X[*]}"
.endif
crt-store s
 load crt a.crt key a.key alias b
""",
}
_DAMAGE = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [b"{", b"}", b";", b'"', b"'", b"\\", b"\n", b"\r", b"\0", b"\xff", b"$", b"${", b"#", b"<", b"*"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(_SEEDS)),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 9), _DAMAGE), max_size=9),
)
def test_no_damage_to_a_configuration_makes_a_scan_raise(
    kind: str, damage: list[tuple[int, int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = bytearray(_SEEDS[kind].replace("%s", folder).encode())
        for place, length, new in damage:
            text[place : place + length] = new
        answer = _scan_of(kind, Path(folder), bytes(text))
    json.dumps(answer, ensure_ascii=False).encode()


def _scan_of(kind: str, folder: Path, text: bytes) -> dict[str, t.Any]:
    """What a scan makes of one configuration beside a certificate and a file to include."""
    for name in ("a.crt", "a.key"):
        (folder / name).write_bytes(_GIVEN[name])
    (folder / "a.inc").write_bytes(text[:50])
    (folder / "conf").write_bytes(text)
    machine = FakeMachine(folder / "machine")
    for program in ("nginx", "apache2"):
        machine.program(program)
    machine.answers[("nginx", "-V")] = said(stderr=f"configure arguments: --conf-path={folder}/conf")
    machine.answers[("apache2", "-V")] = said(f' -D HTTPD_ROOT="{folder}"\n -D SERVER_CONFIG_FILE="conf"\n')
    reader = _reading.Reader(20.0)
    report = _report.Report(reader, _managers.Managers(reader, certbot=(), acme_sh=()))
    service = services.get(kind, machine)
    if kind == "haproxy":
        service.config, service.defaults = str(folder / "conf"), ()
    with contextlib.suppress(_reading.Exhausted):
        service.scan(report)
    return scan.answer(report, {"addresses": ["10.0.0.1"]})


def _given() -> dict[str, bytes]:
    made = issue_certificate("a.test")
    return {"a.crt": made.pem.encode(), "a.key": made.key_pem.encode()}


_GIVEN = _given()
