# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Traefik is found to show, whoever tells it so: a file, flags or its environment."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import pwd
import struct
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _report,
    _traefik_settings,
    traefik,
)
from ansible_collections.notafter.tls.plugins.module_utils.host.services._machine import Process
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import FakeMachine, Issue, Made, said

Report = _report.Report
VERSION = "Version:      3.1.2\nCodename:     comte\nGo version:   go1.22.5\n"


class Traefik:
    """A Traefik that runs, its folder, and what a scan finds of it."""

    def __init__(self, folder: Path, machine: FakeMachine, report: Report, issue: Issue) -> None:
        self.folder = folder
        self.machine = machine
        self.report = report
        self.made: dict[str, Made] = {}
        for name in ("a", "b", "c"):
            self.made[name] = issue(f"{name}.test")
            self.made[name].save(folder, name)
        machine.answers["traefik", "version"] = said(VERSION)
        machine.program("traefik")
        self.service = traefik.Traefik(machine)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder; `%C` in it is the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("%C", str(self.folder)))
        return path

    def runs(self, *words: str, unit: str | None = None, uid: int = 0, **environment: str) -> None:
        """Starts it in its folder with arguments."""
        arguments = [word.replace("%C", str(self.folder)) for word in words]
        told = {name: value.replace("%C", str(self.folder)) for name, value in environment.items()}
        self.machine.process(100, "traefik", "traefik", *arguments, uid=uid, unit=unit, environment=told)
        (self.machine.root / "proc/100/cwd").unlink()
        (self.machine.root / "proc/100/cwd").symlink_to(self.folder)

    def found(self) -> list[tuple[str, list[str]]]:
        """(certificate, listeners) of each binding, in the order of the report."""
        known = {made.fingerprint: name for name, made in self.made.items()}
        self.service.scan(self.report)
        return [(known.get(one["certificate"], "-"), one["listeners"]) for one in self.report.bindings]

    def warned(self) -> list[tuple[str | None, int | None, str]]:
        """What was warned of, and where; files by their names."""
        return [
            (one["file"] and Path(one["file"]).name, one["line"], one["message"])
            for one in self.report.warnings
        ]

    def problems(self) -> list[tuple[str, str]]:
        """The kinds of problems, each with the binding's file and line."""
        return [
            (problem["kind"], f"{Path(one['config_file']).name}:{one['line']}")
            for one in self.report.bindings
            for problem in one["problems"]
        ]

    def stored(self, *names: str) -> list[dict[str, t.Any]]:
        """The entries of these certificates as Traefik keeps them."""
        return [entry(self.made[name]) for name in names]


def entry(made: Made) -> dict[str, t.Any]:
    """A certificate of Traefik's own in acme.json."""
    names = [name.value for name in made.certificate.extensions[0].value]
    body = base64.b64encode(made.fullchain.encode()).decode()
    key = base64.b64encode(made.key_pem.encode()).decode()
    return {
        "domain": {"main": names[0], "sans": names[1:]},
        "certificate": body,
        "key": key,
        "Store": "default",
    }


@pytest.fixture
def web(tmp_path: Path, machine: FakeMachine, report: Report, issue: Issue) -> Traefik:
    """An installed Traefik that does not run yet."""
    return Traefik(tmp_path / "etc", machine, report, issue)


STATIC = """\
entryPoints:
  web:
    address: ":80"
    http:
      redirections:
        entryPoint: {to: websecure, scheme: https}
  websecure:
    address: ':443'   # the usual one
  dns:
    address: :853/udp
providers:
  file:
    directory: %C/dynamic
"""
DYNAMIC = """\
# two of our own
tls:
  certificates:
  - certFile: "%C/a.crt"
    keyFile: '%C/a.key'
  - {certFile: %C/b.crt, keyFile: %C/b.key, stores: [default]}
  stores:
    default:
      defaultCertificate:
        certFile: %C/c.crt
        keyFile: %C/c.key
"""
IN_TOML = """\
[[tls.certificates]]
  certFile = "%C/a.crt"
  keyFile = '%C/a.key'
[[tls.certificates]]
certFile = "%C/b.crt" # and its key
keyFile = "%C/b.key"
stores = [ "default", ]
[tls.stores]
  [tls.stores.default.defaultCertificate]
  certFile = "%C/c.crt"
  keyFile = "%C/c.key"
"""


@pytest.mark.parametrize(
    ("name", "text", "lines"), [("x.yml", DYNAMIC, [4, 6, 10]), ("x.toml", IN_TOML, [2, 5, 10])]
)
def test_the_certificates_of_the_file_provider_are_found_with_file_and_line(
    web: Traefik, name: str, text: str, lines: list[int]
) -> None:
    web.write("traefik.yml", STATIC)
    web.write("dynamic/below/" + name, text)
    web.runs("--configfile", "%C/traefik.yml")
    assert sorted(web.found()) == [("a", ["*:443"]), ("b", ["*:443"]), ("c", ["*:443"])]
    bindings = sorted(web.report.bindings, key=lambda one: int(one["line"]))
    assert [one["line"] for one in bindings] == lines
    assert [one["own_names"] for one in bindings] == [True, True, False]
    assert [one["kind"] for one in bindings[0]["files"]] == ["fullchain", "key"]
    assert web.problems() == []
    assert web.warned() == []


STARTED = {
    "flags": (
        [
            "--entryPoints.tls.address=:8443",
            "--providers.file.filename=%C/x.toml",
            "--api",
            "-log.level",
            "info",
        ],
        {},
    ),
    "variables": (
        [],
        {"TRAEFIK_ENTRYPOINTS_TLS_ADDRESS": ":8443", "TRAEFIK_PROVIDERS_FILE_FILENAME": "%C/x.toml"},
    ),
    "its home": ([], {"HOME": "%C/home"}),
    "its folder": ([], {}),
}


@pytest.mark.parametrize("way", list(STARTED))
def test_it_goes_by_a_file_by_flags_or_by_its_environment(web: Traefik, way: str) -> None:
    words, environment = STARTED[way]
    web.write("x.toml", '[[tls.certificates]]\ncertFile = "%C/a.crt"\nkeyFile = "%C/a.key"\n')
    static = '[entryPoints.tls]\naddress = ":8443"\n[providers.file]\nfilename = "x.toml"\n'
    places = {"its home": "home/.config/traefik.toml", "its folder": "traefik.toml"}
    if way in places:
        web.write(places[way], static)
    web.runs(*words, **environment)
    assert web.found() == [("a", ["*:8443"])]


def test_flags_are_not_looked_at_where_there_is_a_file(web: Traefik) -> None:
    web.write("traefik.yaml", "entryPoints: {one: {address: ':1001'}}\nproviders: {file: {filename: x.yml}}")
    web.write("x.yml", "tls: {certificates: [{certFile: a.crt, keyFile: a.key}]}\n")
    web.runs("--entryPoints.two.address=:1002")
    assert web.found() == [("a", ["*:1001"])]


def test_without_an_entry_point_there_is_port_80(web: Traefik) -> None:
    web.write("x.yml", "tls: {certificates: [{certFile: a.crt, keyFile: a.key}]}\n")
    web.runs("--providers.file.filename=%C/x.yml")
    assert web.found() == [("a", ["*:80"])]


ROUTERS = """\
tls:
  certificates: [{certFile: a.crt, keyFile: a.key}]
http:
  routers:
    shop: {rule: "Host(`a.test`)", entryPoints: [second], service: s, tls: {}}
    plain: {rule: "Host(`b.test`)", entryPoints: [first], service: s}
"""
THREE = [f"--entrypoints.{name}.address={at}" for name, at in (("first", ":1"), ("second", "[::]:2"))]


def test_listeners_are_those_that_are_meant_for_tls(web: Traefik) -> None:
    web.write("x.yml", ROUTERS)
    web.runs(*THREE, "--providers.file.filename=x.yml", "--entrypoints.third.address=10.0.0.1:3",
             "--entrypoints.third.http.tls", "--entrypoints.third.http.tls.certresolver=le")  # fmt: skip
    assert web.found() == [("a", ["*:2", "10.0.0.1:3"])]


def test_where_others_tell_traefik_too_every_entry_point_may_be_meant(web: Traefik) -> None:
    web.write("x.yml", ROUTERS)
    web.runs(*THREE, "--providers.file.filename=x.yml", "--providers.docker")
    assert web.found() == [("a", ["*:1", "*:2"])]
    assert [said for _file, _line, said in web.warned()] == [
        "what the provider docker tells Traefik, certificates too, is not seen here"
    ]


RESOLVERS = """\
entryPoints:
  websecure: {address: ":443"}
certificatesResolvers:
  LetsEncrypt:
    acme: {storage: acme.json, email: a@a.test, tlsChallenge: {}}
  sail:
    tailscale: {}
providers: {file: {filename: x.yml}}
"""


def test_what_its_own_acme_has_got_is_found_and_is_its_own(web: Traefik) -> None:
    web.write("traefik.yml", RESOLVERS)
    web.write(
        "x.yml",
        "http: {routers: {r: {rule: 'Host(`a.test`, `new.test`)', tls: {certResolver: letsencrypt}}}}",
    )
    kept = {"LetsEncrypt": {"Account": {"PrivateKey": "c2VjcmV0"}, "Certificates": web.stored("a", "b")}}
    web.write("acme.json", json.dumps(kept, indent=2)).chmod(0o600)
    web.runs()
    assert web.found() == [("b", ["*:443"]), ("a", ["*:443"]), ("-", ["*:443"])]
    assert {one["managed_by"] for one in web.report.bindings} == {"traefik"}
    assert [one["files"] for one in web.report.bindings] == [[], [], []]
    assert web.problems() == [("missing", "x.yml:1")]
    assert [one["line"] for one in web.report.bindings[:2]] == [21, 12]
    assert web.warned() == [("traefik.yml", None, "what the resolver sail gets is not kept in a file")]


def test_no_key_of_acme_json_leaves_the_host(web: Traefik) -> None:
    stored = web.stored("a", "b")
    stored[0]["key"], stored[1]["key"] = stored[1]["key"], "!" + stored[1]["key"]
    web.write(
        "acme.json", json.dumps({"le": {"Account": {"PrivateKey": "c2VjcmV0"}, "Certificates": stored}})
    )
    web.runs("--certificatesresolvers.le.acme.storage=acme.json")
    web.found()
    told = json.dumps([web.report.bindings, web.report.warnings, web.report.materials.certificates])
    secrets = ["c2VjcmV0", *(one["key"] for one in stored), "PRIVATE KEY"]
    secrets += [line for made in web.made.values() for line in made.key_pem.splitlines()[1:-1]]
    assert not [secret for secret in secrets if secret in told]
    assert ("key_mismatch", "acme.json:1") in web.problems()
    assert [kind for kind, _place in web.problems()].count("key_readable_by_others") == 2


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("{", ["malformed"]),
        ("[]", ["malformed"]),
        ("", []),
        (None, []),
        ('{"le": {"Certificates": null}}', []),
    ],
)
def test_a_store_that_cannot_be_read_is_a_problem_and_one_that_is_not_there_none(
    web: Traefik, text: str | None, kinds: list[str]
) -> None:
    if text is not None:
        web.write("acme.json", text).chmod(0o600)
    web.runs("--certificatesresolvers.le.acme.email=a@a.test")
    web.found()
    assert [kind for kind, _place in web.problems()] == kinds
    assert bool(web.warned()) == (text is None)


def test_a_store_of_version_1_is_read(web: Traefik) -> None:
    web.write("traefik.toml", '[entryPoints.https]\naddress = ":443"\n[entryPoints.https.tls]\n'
              '[[entryPoints.https.tls.certificates]]\ncertFile = "b.crt"\nkeyFile = "b.key"\n'
              '[acme]\nstorage = "acme.json"\nentryPoint = "https"\n')  # fmt: skip
    old = [{"Domain": {"Main": "a.test", "SANs": None}, "Certificate": one["certificate"], "Key": one["key"]}
           for one in web.stored("a")]  # fmt: skip
    web.write("acme.json", json.dumps({"Account": {}, "Certificates": old, "HTTPChallenges": {}})).chmod(
        0o600
    )
    web.runs()
    assert web.found() == [("b", ["*:443"]), ("a", ["*:443"])]
    assert [one["managed_by"] for one in web.report.bindings] == [None, "traefik"]


def test_a_resolver_that_is_gone_shows_nothing(web: Traefik) -> None:
    web.write("acme.json", json.dumps({"old": {"Certificates": web.stored("a")}})).chmod(0o600)
    web.runs("--certificatesresolvers.new.acme.storage=acme.json")
    assert web.found() == []
    assert [said for _file, _line, said in web.warned()] == [
        "the resolver old is configured no more: what it has got is not shown"
    ]


def test_of_two_certificates_with_the_same_names_only_the_first_is_shown(web: Traefik, issue: Issue) -> None:
    web.made["twin"] = issue("a.test")
    web.made["twin"].save(web.folder, "twin")
    pairs = "".join(f"  - {{certFile: {name}.crt, keyFile: {name}.key}}\n" for name in ("a", "twin"))
    web.write("x.yml", "tls:\n  certificates:\n" + pairs)
    web.runs("--providers.file.filename=x.yml")
    assert web.found() == [("a", ["*:80"]), ("twin", [])]
    assert web.warned() == [
        ("x.yml", 4, "Traefik shows another certificate with the very same names (a.test)")
    ]


def test_certificates_are_told_in_the_order_in_which_traefik_looks_through_them(
    web: Traefik, issue: Issue
) -> None:
    for name, names in (("few", ["x.test"]), ("many", ["x.test", "y.test"]), ("star", ["*.test"])):
        web.made[name] = issue(*names)
        web.made[name].save(web.folder, name)
    pairs = "".join(
        f"  - {{certFile: {name}.crt, keyFile: {name}.key}}\n" for name in ("star", "few", "many")
    )
    web.write("x.yml", "tls:\n  certificates:\n" + pairs)
    web.runs("--providers.file.filename=x.yml")
    assert [name for name, _listeners in web.found()] == ["many", "few", "star"]


UNRESOLVED = """\
tls:
  certificates:
    - certFile: {{ env "CERT" }}
      keyFile: a.key
    - certFile: *shared
      keyFile: a.key
    - keyFile: a.key
{{ range $i, $e := until 3 }}
    - certFile: a.crt
      keyFile: a.key
{{ end }}
    - certFile: b.crt
      keyFile: b.key
      <<: *more
  stores:
    other: {defaultCertificate: {certFile: c.crt, keyFile: c.key}}
    default:
      defaultGeneratedCert: {resolver: le, domain: {main: a.test}}
tcp:
  routers:
    mail: {rule: "HostSNI(`m.test`)", service: m, tls: {passthrough: true}}
"""


def test_what_is_not_known_is_told_with_file_and_line(web: Traefik) -> None:
    web.write("x.yml", UNRESOLVED)
    web.runs("--providers.file.filename=x.yml")
    assert [name for name, _listeners in web.found()] == ["b", "a", "-", "-", "-"]
    assert web.problems() == [("unresolved", f"x.yml:{line}") for line in (3, 5, 7)]
    assert sorted(line for _file, line, _said in web.warned() if line) == [8, 11, 14, 16, 18, 21]


def test_a_certificate_in_the_configuration_itself_is_read_and_its_key_is_not(web: Traefik) -> None:
    made = web.made["a"]
    pem, key = (text.replace("\n", "\n        ").rstrip() for text in (made.fullchain, made.key_pem))
    web.write(
        "x.yml", f"tls:\n  certificates:\n    - certFile: |\n        {pem}\n      keyFile: |\n        {key}\n"
    )
    web.runs("--providers.file.filename=x.yml")
    assert web.found() == [("a", ["*:80"])]
    assert web.problems() == [("unresolved", "x.yml:3")]
    assert web.report.bindings[0]["files"] == []
    assert made.key_pem.splitlines()[1] not in json.dumps([web.report.bindings, web.report.warnings])


def test_a_default_certificate_is_shown_to_nobody_where_names_are_asked_for_strictly(web: Traefik) -> None:
    store = "{default: {defaultCertificate: {certFile: c.crt, keyFile: c.key}}}"
    strict = f"tls:\n  options: {{default: {{sniStrict: true}}}}\n  stores: {store}\n"
    web.write("x.yml", strict)
    web.runs("--providers.file.filename=x.yml")
    assert web.found() == [("c", [])]


def test_a_stopped_traefik_is_read_from_its_usual_file(web: Traefik, monkeypatch: pytest.MonkeyPatch) -> None:
    web.write("traefik.yml", "providers: {file: {filename: %C/x.yml}}\n")
    web.write(
        "x.yml",
        "tls: {certificates: [{certFile: a.crt, keyFile: a.key}, {certFile: %C/b.crt, keyFile: %C/b.key}]}",
    )
    monkeypatch.setattr(_traefik_settings, "_BASES", (str(web.folder / "traefik"),))
    assert web.found() == [("b", ["*:80"]), ("-", ["*:80"])]
    assert web.problems() == [("unresolved", "x.yml:1")]  # relative to nobody knows what
    assert web.service.reload_commands() == []


@pytest.mark.parametrize(
    ("folder", "written"), [(False, "x.yml"), (True, "dynamic/m.toml")], ids=["a file", "a folder"]
)
def test_a_file_that_traefik_watches_is_touched_to_make_it_load(
    web: Traefik, folder: bool, written: str
) -> None:
    web.write("dynamic/below/a.yml", "")
    web.write("dynamic/a.txt", "")
    path = web.write(written, "")
    web.runs("--providers.file.directory=dynamic" if folder else "--providers.file.filename=x.yml")
    assert web.service.reload_commands() == [["touch", "-c", "-h", "-m", "--", str(path)]]


def test_a_watcher_of_a_folder_sees_that_touch_as_a_write(web: Traefik) -> None:
    path = web.write("x.yml", "")
    web.write("target", "")
    path.unlink()
    path.symlink_to("target")
    web.runs("--providers.file.filename=x.yml")
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(web.folder), 0xFFF) > 0
    subprocess.run(web.service.reload_commands()[0], check=True)
    _watch, mask, _cookie, size = struct.unpack_from("iIII", os.read(watch, 4096))
    os.close(watch)
    assert (mask, size > 0) == (0x2, True)  # IN_MODIFY, with the name of the link


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files that are root's")
def test_what_a_user_says_makes_root_touch_nothing_of_its_own(web: Traefik) -> None:
    web.write("x.yml", "")
    web.runs("--providers.file.filename=/etc/passwd", uid=1000)
    assert web.service.reload_commands() == []
    liar = Process(100, 1, 1000, "traefik", ["traefik", "--providers.file.filename=/etc/passwd"])
    assert not web.machine.may_write_for(liar, "/etc/passwd")
    assert web.machine.may_write_for(liar._replace(user=0), "/etc/passwd")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_another_ones_file_is_touched_with_his_rights(web: Traefik) -> None:
    path = web.write("x.yml", "")
    os.chown(path, 1, 1)
    web.runs("--providers.file.filename=x.yml")
    owner = pwd.getpwuid(1).pw_name
    touch = ["touch", "-c", "-h", "-m", "--", str(path)]
    assert web.service.reload_commands() == [["runuser", "-u", owner, "--", *touch]]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (VERSION, ["--providers.file.filename=x.yml", "--providers.file.watch=false"]),
        (VERSION, ["--providers.file.filename=nowhere.yml"]),
        (VERSION, ["--certificatesresolvers.le.acme.email=a@a.test"]),
        ("Version: 2.4.9", ["--providers.file.filename=x.yml"]),
        ("no word of it", ["--providers.file.filename=x.yml"]),
    ],
)
def test_what_is_not_watched_is_restarted_by_systemd_and_else_left_alone(
    web: Traefik, version: str, words: list[str]
) -> None:
    web.write("x.yml", "")
    web.machine.answers["traefik", "version"] = said(version)
    web.machine.answers["systemctl", "show", "--property=MainPID"] = said("MainPID=100")
    web.runs(*words, unit="traefik.service")
    with pytest.raises(HostError, match="must be started anew"):
        web.service.reload_commands()
    web.machine.with_systemd()
    assert web.service.reload_commands() == [["systemctl", "restart", "traefik.service"]]


def test_its_version_is_what_it_says(web: Traefik) -> None:
    assert web.service.version() == "3.1.2"
