# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a configuration of Caddy's shows to whom."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _caddy_admin,
    _caddy_places,
    _caddy_sites,
    _reading,
    _report,
    caddy,
)
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, said
from hypothesis import given, settings
from hypothesis import strategies as st

Report = _report.Report


class Caddy:
    """A configuration that a scan reads."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.fingerprints: dict[str, str] = {}
        for name in ("a", "b"):
            made = issue(f"{name}.test")
            made.save(folder, name)
            self.fingerprints[made.fingerprint] = name
        machine.program("caddy")
        self.service = caddy.Caddy(machine)
        self.service.configs = (str(folder / "caddy.json"), str(folder / "Caddyfile"))

    def file(self, name: str, *tags: str) -> dict[str, t.Any]:
        """An entry of load_files."""
        paths = {"certificate": f"{self.folder}/{name}.crt", "key": f"{self.folder}/{name}.key"}
        return {**paths, "tags": list(tags)}

    def found(
        self, servers: dict[str, t.Any], *files: t.Any, **more: t.Any
    ) -> list[tuple[str, list[str], list[str]]]:
        """(certificate, names, listeners) of each binding."""
        http = {"servers": servers, **more.pop("http", {})}
        apps = {"http": http, "tls": {"certificates": {"load_files": list(files)}}}
        (self.folder / "caddy.json").write_text(json.dumps({"apps": apps, **more}))
        self.service.scan(self.report)
        return [
            (self.fingerprints.get(one["certificate"], "-"), one["names"], one["listeners"])
            for one in self.report.bindings
        ]

    def warned(self) -> list[str]:
        """What was warned of."""
        return [warning["message"] for warning in self.report.warnings]


@pytest.fixture
def web(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Caddy:
    """An installed Caddy that does not run."""
    return Caddy(tmp_path / "etc", machine, report, issue)


def policy(*names: str, tag: str = "") -> dict[str, t.Any]:
    """A connection policy."""
    made: dict[str, t.Any] = {"match": {"sni": list(names)}} if names else {}
    return {**made, "certificate_selection": {"any_tag": [tag]}} if tag else made


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (":443", ["*:443"]),
        ("0.0.0.0:443", ["*:443"]),
        ("[::]:443", ["*:443"]),
        ("[::1]:8443-8444", ["[::1]:8443", "[::1]:8444"]),
        ("tcp/10.0.0.1:443", ["10.0.0.1:443"]),
        ("udp/:443", []),
        ("unix//run/caddy.sock", []),
        ("a.test", []),
    ],
)
def test_listeners(text: str, found: list[str]) -> None:
    assert [one.replace("[::]", "*") for one in _caddy_sites.listeners(text)] == found


def test_a_policy_shows_the_certificates_that_it_asks_for(web: Caddy) -> None:
    server = {
        "listen": [":443", ":80"],
        "tls_connection_policies": [policy("x.test", "*.x.test", tag="t0"), {}],
    }
    assert web.found({"s": server}, web.file("a", "t0"), web.file("b", "unused")) == [
        ("a", ["*.x.test", "x.test"], ["*:443"]),
        ("b", [], ["*:443"]),
    ]
    assert [one["own_names"] for one in web.report.bindings] == [True, True]


def test_a_certificate_of_one_server_is_not_told_of_the_others(web: Caddy) -> None:
    servers = {
        "one": {"listen": [":443"], "tls_connection_policies": [policy("a.test", tag="t0"), {}]},
        "two": {"listen": [":444"], "tls_connection_policies": [policy(tag="t1")]},
    }
    assert web.found(servers, web.file("a", "t0"), web.file("b", "t1")) == [
        ("a", ["a.test"], ["*:443"]),
        ("b", [], ["*:444"]),
    ]


def test_names_that_caddy_manages_are_told_as_its_own(web: Caddy) -> None:
    stored = web.folder / "data/certificates/acme/shop.test"
    stored.mkdir(parents=True)
    for kind in ("crt", "key"):
        (stored / f"shop.test.{kind}").write_bytes((web.folder / f"a.{kind}").read_bytes())
    server = {
        "listen": [":443"],
        "routes": [{"match": [{"host": ["shop.test", "*.none.test", "skip.test"]}]}],
    }
    server["automatic_https"] = {"skip": ["skip.test"]}
    storage = {"module": "file_system", "root": str(web.folder / "data")}
    assert web.found({"s": server}, storage=storage) == [
        ("a", ["shop.test"], ["*:443"]),
        ("-", ["*.none.test"], ["*:443"]),
    ]
    assert [one["managed_by"] for one in web.report.bindings] == ["caddy", "caddy"]
    assert [one["kind"] for one in web.report.bindings[1]["problems"]] == ["missing"]


def test_where_https_is_off_there_is_no_tls(web: Caddy) -> None:
    route = {"match": [{"host": ["shop.test"]}]}
    off = {"listen": [":443"], "routes": [route], "automatic_https": {"disable": True}}
    plain = {"listen": [":8080"], "routes": [route]}
    assert web.found({"a": off, "b": plain}, http={"http_port": 8080}) == []


def test_a_certificate_that_no_server_shows_is_told(web: Caddy) -> None:
    assert web.found({}, web.file("a")) == [("a", [], [])]
    assert web.warned() == [f"no server shows {web.folder}/a.crt"]


def test_a_file_of_caddys_is_made_plain_by_caddy(web: Caddy) -> None:
    web.service.configs = (str(web.folder / "Caddyfile"),)
    (web.folder / "Caddyfile").write_text(f":443 {{\n\timport more/*\n\ttls {web.folder}/a.crt x\n}}\n")
    (web.folder / "more").mkdir()
    (web.folder / "more/one").write_text("import one\n# {$LOOP}\n")
    server = {"listen": [":443"], "tls_connection_policies": [policy(tag="t0")]}
    apps = {
        "http": {"servers": {"s": server}},
        "tls": {"certificates": {"load_files": [web.file("a", "t0")]}},
    }
    web.machine.answers[("caddy", "adapt")] = said(json.dumps({"apps": apps}))
    web.service.scan(web.report)
    (binding,) = web.report.bindings
    assert (binding["config_file"], binding["line"]) == (f"{web.folder}/Caddyfile", 3)


def test_what_cannot_be_known_is_said(web: Caddy) -> None:
    web.service.configs = (str(web.folder / "Caddyfile"),)
    (web.folder / "Caddyfile").write_text("}\n")
    web.machine.answers[("caddy", "adapt")] = said(stderr="unexpected }", returncode=1)
    web.service.scan(web.report)
    assert web.warned() == [
        "caddy adapt fails: unexpected }",
        "what Caddy makes of its configuration is not known",
    ]


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("localhost:2019", ("localhost", 2019, "")),
        ("0.0.0.0:2020", ("localhost", 2020, "")),
        ("[::1]:2019", ("::1", 2019, "")),
        ("unix//run/caddy.sock|0220", ("localhost", 80, "/run/caddy.sock")),
        ("udp/:1", None),
        (":99999", None),
    ],
)
def test_admin_endpoints(text: str, endpoint: tuple[str, int, str] | None) -> None:
    found = _caddy_admin.endpoint(text)
    assert found == (None if endpoint is None else _caddy_admin.Endpoint(*endpoint))


def test_only_the_process_itself_may_tell_what_it_runs(web: Caddy) -> None:
    web.machine.process(9, "caddy", "caddy", "run")
    (process,) = web.machine.processes(("caddy",))
    proc = web.machine.root / "proc"
    (proc / "net").mkdir()
    row = "   {}: 0100007F:07E3 00000000:0000 {} 00000000:00000000 00:00000000 00000000  0  0 {} 1\n"
    (proc / "net/tcp").write_text("head\n" + row.format(0, "0A", 11) + row.format(1, "01", 12))
    assert not _caddy_admin._holds(web.machine, process, 2019)
    (proc / "9/fd").mkdir()
    os.symlink("socket:[11]", proc / "9/fd/3")
    assert _caddy_admin._holds(web.machine, process, 2019)
    (proc / "net/tcp6").write_text("head\n" + row.format(0, "0A", 13))
    assert not _caddy_admin._holds(web.machine, process, 2019)
    assert not _caddy_admin._holds(web.machine, process, 2020)


def test_an_endpoint_that_says_a_byte_at_a_time_is_left(web: Caddy, monkeypatch: pytest.MonkeyPatch) -> None:
    web.machine.process(9, "caddy", "caddy", "run")
    (process,) = web.machine.processes(("caddy",))
    monkeypatch.setattr(_caddy_admin, "_SECONDS", 1.0)
    monkeypatch.setattr(_caddy_admin, "_holds", lambda *_given: True)
    left = threading.Event()

    def drip(door: socket.socket) -> None:
        caller, _address = door.accept()
        with caller:
            caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not left.wait(0.2):
                try:
                    caller.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as door:
        server = threading.Thread(target=drip, args=(door,))
        server.start()
        start = time.monotonic()
        asked = _caddy_admin.Endpoint("127.0.0.1", door.getsockname()[1], "")
        found = _caddy_admin.running(web.machine, process, asked)
        took = time.monotonic() - start
        left.set()
        server.join()
    assert found is None
    assert took < 30


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["run", "--environ", "--config", "/c", "-a", "x"], {"--config": "/c", "--adapter": "x"}),
        (["run", "--config=/c", "-r"], {"--config": "/c", "--resume": ""}),
    ],
)
def test_command_lines(words: list[str], found: dict[str, str]) -> None:
    assert found.items() <= caddy.given(words).items()


def test_what_resumes_is_read_from_what_it_saved(web: Caddy) -> None:
    saved = web.folder / "caddy/autosave.json"
    saved.parent.mkdir()
    saved.write_text("{}")
    environment = {"XDG_CONFIG_HOME": str(web.folder), "SECRET": "x", "HOME": "/h"}
    web.machine.process(9, "caddy", "caddy", "run", "--resume", environment=environment)
    (instance,) = web.service.instances()
    assert instance.config == str(saved)
    environment = {"XDG_CONFIG_HOME": str(web.folder), "HOME": "/h"}
    assert web.service.command_environment() == {"STEPPATH": "/", **environment}
    assert web.service.test_commands()[0][1:] == ["validate", "--config", str(saved)]


def test_ten_thousand_sites_take_seconds(web: Caddy) -> None:
    names = range(10000)
    policies = [policy(f"h{n}.test", tag=f"t{n}") for n in names]
    files = [web.file("a", f"t{n}") for n in names]
    began = time.process_time()
    found = web.found({"s": {"listen": [":443"], "tls_connection_policies": [*policies, {}]}}, *files)
    assert time.process_time() - began < 20
    assert found == [("a", [f"h{n}.test"], ["*:443"]) for n in names]


WORDS = [
    "apps",
    "http",
    "servers",
    "listen",
    "tls",
    "certificates",
    "load_files",
    "certificate",
    "key",
    "tags",
]
WORDS += [
    "tls_connection_policies",
    "match",
    "sni",
    "host",
    "routes",
    "automatic_https",
    ":443",
    "a.test",
    "\0",
]
WORDS += [
    "automation",
    "policies",
    "load_folders",
    "load_pem",
    "certificate_selection",
    "any_tag",
    "../..",
    "\ud800",
]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(WORDS)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(WORDS), inner)),
    max_leaves=40,
)


@settings(max_examples=400, deadline=None)
@given(JSON, JSON, JSON)
def test_no_configuration_stops_a_scan(server: t.Any, certificates: t.Any, policies: t.Any) -> None:
    report = _report.Report(_reading.Reader(20.0))
    tls = {"certificates": certificates, "automation": {"policies": policies}}
    config = {
        "apps": {"http": {"servers": {"s": server, "t": {"listen": [":1"], "routes": server}}}, "tls": tls}
    }
    parsed = _caddy_admin.parsed(json.dumps(config).encode())
    places = _caddy_places.Places(report.reader, report.warning)
    places.config = "Caddyfile"
    _caddy_sites.Sites(parsed, places, "/nowhere", report, "caddy").report_bindings()
    assert all(binding["service"] == "caddy" for binding in report.bindings)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"a":' * 100000, b"\xff", b'{"a": "\\ud800"}'])
def test_what_is_no_configuration_is_none(body: bytes) -> None:
    assert _caddy_admin.parsed(body) is None
