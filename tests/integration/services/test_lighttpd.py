"""lighttpd itself judges what the scan says of it, and a deploy to it shows or is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

MAIN = r"""
server.document-root = "/var/www/html"
server.errorlog = "/var/log/lighttpd/error.log"
server.pid-file = "/run/lighttpd.pid"
server.username = "www-data"
server.groupname = "www-data"
server.port = 8080
server.modules = ( "mod_access" ) # mod_openssl comes later
server.modules += (
  "mod_openssl",  # "
)
include "corpus/*.conf"
"""

FIRST = r"""
var.base = "%C"
var.certs = var.base + "/" # } { "
ssl.pemfile = var.certs + "default.pem"
$HTTP["scheme"] == "https" { $HTTP["host"] == "by-scheme.test" {
  ssl.pemfile = var.certs + "scheme.pem"
} }
$SERVER["socket"] == "0.0.0.0:8443" { ssl.engine = "enable"
  $HTTP["host"] == "one.test" { ssl.pemfile = var.certs + "one.pem" }
  else $HTTP["host"] =~ "(^|\.)two\.test$"
  {
    ssl.privkey = var.certs + "two.key"
    ssl.pemfile = var.certs + "two.crt"
  }
  else $HTTP["host"] =~ "^t[hx]ree\." { ssl.pemfile = var.certs + "three.pem" }
  else $HTTP["host"] == "Hidden.test" { ssl.pemfile = var.certs + "hidden.pem" }
  else { ssl.pemfile = var.certs + "else.pem" }
}
$SERVER["socket"] == "[::1]:8444" {
  ssl.engine = "enable"
  ssl.pemfile = var.certs + "six.pem"
  $HTTP["host"] != "not.test" { ssl.pemfile = var.certs + "not.pem" }
}
"""

SECOND = r"""
$SERVER["socket"] == "localhost:8445" { ssl.engine = "enable" }
$HTTP["host"] == "late.test" { ssl.pemfile = var.certs + "late.pem" }
$SERVER["socket"] == "0.0.0.0:8443" {
  $HTTP["host"] == "again.two.test" { ssl.pemfile = var.certs + "again.pem" }
}
$SERVER["socket"] == ":8446" { ssl.engine = "disable" }
$HTTP["host"] == "shadow.test" { ssl.pemfile = "/gone" }
$HTTP["host"] == "shadow.test" { ssl.pemfile := "%C/one.pem" }
"""

NAMES = (
    "default",
    "scheme",
    "one",
    "two",
    "three",
    "else",
    "six",
    "not",
    "late",
    "again",
    "shadow",
    "hidden",
)


@pytest.fixture
def lighttpd(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """A lighttpd whose certificates depend on nearly everything."""
    corpus = Corpus(servers, authority)
    corpus.certificates(*NAMES)
    corpus.write("/etc/lighttpd/lighttpd.conf", MAIN)
    corpus.write("/etc/lighttpd/corpus/1.conf", FIRST)
    corpus.write("/etc/lighttpd/corpus/2.conf", SECOND)
    start(corpus)
    yield corpus
    servers.run(["systemctl", "stop", "lighttpd"], check=False)
    corpus.put_back()
    servers.run(["rm", "-rf", "/etc/lighttpd/corpus"])
    servers.run(["systemctl", "daemon-reload"])
    servers.run(["systemctl", "reset-failed"])


def start(corpus: Corpus) -> None:
    """Starts it anew and waits until it listens."""
    corpus.host.run(["systemctl", "reset-failed"])
    corpus.host.run(["systemctl", "restart", "lighttpd"])
    ready = [":8080 ", ":8443 "]
    corpus.host.wait_until(
        lambda: all(port in corpus.host.run(["ss", "-Hltn"]).stdout for port in ready), "lighttpd listens", 60
    )


def shown(corpus: Corpus) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(certificate, names, listeners) of each binding that has a certificate."""
    return {
        (corpus.fingerprints[one["certificate"]], tuple(one["names"]), tuple(one["listeners"]))
        for one in scan(corpus.host, "lighttpd").bindings
        if one["certificate"] is not None
    }


def test_every_socket_shows_to_each_name_what_its_conditions_say(lighttpd: Corpus) -> None:
    scanned = scan(lighttpd.host, "lighttpd")
    assert scanned.contradicted() == {}
    assert shown(lighttpd) == {
        ("default", (), ("*:8443", "localhost:8445")),
        ("scheme", ("by-scheme.test",), ("localhost:8445",)),
        ("one", ("one.test",), ("*:8443",)),
        ("one", ("shadow.test",), ("*:8443", "[::1]:8444", "localhost:8445")),
        ("two", ("two.test", "*.two.test"), ("*:8443",)),
        ("three", (r"~^t[hx]ree\.",), ("*:8443",)),
        ("else", ("~.*",), ("*:8443",)),
        ("six", (), ("[::1]:8444",)),
        ("not", ("~.*",), ("[::1]:8444",)),
        ("late", ("late.test",), ("*:8443", "[::1]:8444", "localhost:8445")),
        ("again", ("again.two.test",), ("*:8443",)),
        ("hidden", (), ()),
    }


def test_every_name_of_the_configuration_sees_what_the_scan_says(lighttpd: Corpus) -> None:
    """By name, and as a name that only a pattern or an else can mean."""
    claimed: dict[str, dict[str, str]] = {}
    for binding in scan(lighttpd.host, "lighttpd").bindings:
        for listener in binding["listeners"]:
            for name in binding["names"]:
                claimed.setdefault(listener, {})[name] = lighttpd.fingerprints[binding["certificate"]]
    asked = {
        "three.test": r"~^t[hx]ree\.",
        "nobody.test": "~.*",
        "by-scheme.test": "~.*",
        "a.two.test": "*.two.test",
    }
    for name, claim in asked.items():
        argv = ["openssl", "s_client", "-connect", "127.0.0.1:8443", "-servername", name]
        served = lighttpd.host.run(argv, input="", check=False).stdout
        certificate = lighttpd.host.read(f"{lighttpd.folder}/{claimed['*:8443'][claim]}.crt")
        body = certificate.split("-----")[2].strip()
        assert body in served


def test_what_a_command_prints_is_asked_of_lighttpd_itself(lighttpd: Corpus) -> None:
    host = lighttpd.host
    lighttpd.write("/usr/local/bin/corpus-socket", '#!/bin/sh\necho "var.shell = \\"$1\\""\n')
    host.run(["chmod", "755", "/usr/local/bin/corpus-socket"])
    lighttpd.write(
        "/etc/lighttpd/corpus/3.conf",
        'include_shell "/usr/local/bin/corpus-socket " + server.port\n'
        '$SERVER["socket"] == "127.0.0.1:1" + var.shell { ssl.engine = "enable"\n'
        '  ssl.pemfile = "%C/shadow.pem" }\n',
    )
    start(lighttpd)
    scanned = scan(host, "lighttpd")
    assert scanned.contradicted() == {}
    (shadow,) = (
        one for one in scanned.bindings if one["listeners"] == ["127.0.0.1:18080"] and one["names"] == []
    )
    assert (shadow["config_file"], shadow["line"]) == ("/etc/lighttpd/corpus/3.conf", 3)
    assert {name for name, _names in lighttpd.named(scanned)} == set(NAMES)


def test_what_others_than_root_may_change_is_not_run(lighttpd: Corpus) -> None:
    host = lighttpd.host
    program = f"{lighttpd.folder}/socket"
    host.write(program, f"#!/bin/sh\ntouch {lighttpd.folder}/ran\n", 0o777)
    lighttpd.write("/etc/lighttpd/corpus/3.conf", f'include_shell "{program}"\n')
    start(lighttpd)
    host.run(["rm", f"{lighttpd.folder}/ran"])
    scanned = scan(host, "lighttpd")
    assert not host.exists(f"{lighttpd.folder}/ran")
    assert f"what '{program}' prints is part of its configuration, and is not read" in scanned.warned()
    assert ("again", ("again.two.test",)) in lighttpd.named(scanned)


def test_what_does_not_run_is_read_and_nothing_is_started(lighttpd: Corpus) -> None:
    lighttpd.host.run(["systemctl", "stop", "lighttpd"])
    lighttpd.write("/etc/lighttpd/corpus/3.conf", f'include_shell "/usr/bin/touch {lighttpd.folder}/ran"\n')
    lighttpd.write("/etc/lighttpd/corpus/4.conf", 'include "4.conf"\ninclude "/dev/zero"\n')
    scanned = scan(lighttpd.host, "lighttpd")
    assert not lighttpd.host.exists(f"{lighttpd.folder}/ran")
    assert {name for name, _names in lighttpd.named(scanned)} == set(NAMES) - {"shadow"}
    (about,) = scanned.result["server"]["services"]
    assert (about["name"], about["version"], about["running"]) == ("lighttpd", "1.4.69", False)


def test_who_is_not_root_is_told_what_could_not_be_read(lighttpd: Corpus) -> None:
    scanned = scan(lighttpd.host, "lighttpd", prefix=tuple(UNPRIVILEGED))
    by_name = {lighttpd.fingerprints.get(one["certificate"], "-"): one for one in scanned.bindings}
    assert set(by_name) == {"-", "two"}
    for binding in by_name.values():
        assert "unreadable" in [problem["kind"] for problem in binding["problems"]]


def of(corpus: Corpus, name: str) -> dict[str, object]:
    """The binding of a certificate that is shown to somebody."""
    bindings = scan(corpus.host, "lighttpd").bindings
    return next(
        one for one in bindings if corpus.fingerprints[one["certificate"]] == name and one["listeners"]
    )


def test_keys_of_roots_alone_mean_a_restart(lighttpd: Corpus, authority: Authority) -> None:
    """A graceful restart would end this lighttpd, which runs as www-data."""
    before = lighttpd.host.pids("lighttpd")
    for name in ("two", "default", "late"):
        issued = authority.issue(f"{name}.test", f"*.{name}.test")
        outcome = deploy(lighttpd.host, of(lighttpd, name), issued)
        assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
        lighttpd.fingerprints[issued.fingerprint] = name
    assert lighttpd.host.pids("lighttpd") != before
    assert scan(lighttpd.host, "lighttpd").contradicted() == {}


def test_keys_that_the_process_may_read_are_loaded_by_a_reload(
    lighttpd: Corpus, authority: Authority
) -> None:
    host = lighttpd.host
    host.run(["sh", "-c", f"chgrp www-data {lighttpd.folder}/*; chmod 640 {lighttpd.folder}/*"])
    host.run(["chown", "-R", "www-data", "/var/log/lighttpd"])
    lighttpd.write("/etc/lighttpd/corpus/1.conf", FIRST)
    start(lighttpd)
    before = host.pids("lighttpd")
    issued = authority.issue("two.test", "*.two.test")
    outcome = deploy(host, of(lighttpd, "two"), issued)
    assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
    assert host.pids("lighttpd") == before


def test_where_it_does_not_come_up_the_old_files_serve_again(lighttpd: Corpus, authority: Authority) -> None:
    host, certificate = lighttpd.host, f"{lighttpd.folder}/two.crt"
    host.write(f"{lighttpd.folder}/sum", host.run(["sha256sum", certificate]).stdout)
    guard = f"[Service]\nExecStartPre=/usr/bin/sha256sum --check {lighttpd.folder}/sum\n"
    lighttpd.write("/etc/systemd/system/lighttpd.service.d/guard.conf", guard)
    host.run(["systemctl", "daemon-reload"])
    before = host.read(certificate)
    outcome = deploy(host, of(lighttpd, "two"), authority.issue("two.test", "*.two.test"))
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed"), outcome["message"]
    assert host.read(certificate) == before
    assert scan(host, "lighttpd").contradicted() == {}


def test_a_broken_configuration_is_left_alone(lighttpd: Corpus, authority: Authority) -> None:
    binding = of(lighttpd, "two")
    lighttpd.write("/etc/lighttpd/corpus/9.conf", 'ssl.pemfile = "\n')
    outcome = deploy(lighttpd.host, binding, authority.issue("two.test"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
