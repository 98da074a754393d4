"""Dovecot is the judge of what is said about its listeners, names and filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, deploy, scan, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.lab import Lab

LOCAL = """
protocols = imap
protocols = $protocols pop3
ssl = required
ssl_cert =   < %C/ec.crt  # said { here
ssl_key = <%C/../corpus/ec.key
ssl_alt_cert = <%C/rsa.crt
ssl_alt_key = <%C/rsa.key
local_name "one.test *.one.test" {
  !include %C/one.inc
}
local_name x.one.test {
  ssl_cert = <%C/hidden.crt
  ssl_key = <%C/hidden.key
}
local_name two.test {
  protocol imap {
    ssl_cert = <%C/two.crt
    ssl_key = <%C/two.key
  }
}
local 127.0.0.2 {
  ssl_cert = <%C/three.crt
  ssl_key = <%C/three.key
  local_name four.test {
    ssl_cert = <%C/four.crt
    ssl_key = <%C/four.key
  }
}
remote 192.0.2.0/24 {
  ssl_cert = <%C/remote.crt
  ssl_key = <%C/remote.key
}
protocol pop3 {
  ssl_cert = <%C/pop.crt
  ssl_key = <%C/pop.key
}
service imap-login {
  inet_listener imaps {
    address = 127.0.0.1 , ::1
  }
  inet_listener more {
    port = 1993
    ssl = yes
    haproxy = yes
  }
}
service pop3-login {
  inet_listener pop3s {
    port = 0
  }
}
!include_try /nowhere/*.conf
!include_try nowhere.conf
"""


@pytest.fixture(scope="module")
def dovecot(services_lab: Lab, authority: Authority) -> Iterator[Corpus]:
    """A Dovecot with the configuration above, for all tests of this file."""
    servers = services_lab.hosts["servers"]
    corpus = Corpus(servers, authority)
    corpus.certificates("ec", "one", "two", "three", "four", "remote", "pop", "hidden")
    corpus.certificates("rsa", key_type="rsa-2048")
    corpus.write(f"{corpus.folder}/one.inc", "ssl_cert = <%C/one.crt\nssl_key = \\\n  <%C/one.key\n")
    usual = servers.read("/etc/dovecot/conf.d/10-ssl.conf")
    corpus.write("/etc/dovecot/conf.d/10-ssl.conf", usual.replace("\nssl_", "\n#ssl_"))
    corpus.write("/etc/dovecot/local.conf", LOCAL)
    try:
        servers.run(["systemctl", "start", "dovecot"])
        yield corpus
    finally:
        servers.run(["systemctl", "stop", "dovecot"])
        servers.run(["systemctl", "reset-failed", "dovecot"], check=False)
        corpus.put_back()


def _one(scanned: Scanned, path: str, *names: str) -> dict[str, Any]:
    return next(
        binding
        for binding in scanned.bindings
        if tuple(binding["names"]) == names
        and f"/srv/corpus/{path}" in {file["path"] for file in binding["files"]}
    )


def test_what_is_found_is_what_handshakes_show(dovecot: Corpus) -> None:
    scanned = scan(dovecot.host, "dovecot")
    assert scanned.contradicted() == {}
    usual = ["*:143/imap", "[::]:143/imap", "127.0.0.1:993", "[::1]:993"]
    assert _one(scanned, "ec.crt")["listeners"] == usual
    assert _one(scanned, "one.crt", "one.test", "*.one.test", "x.one.test")["listeners"] == usual
    assert _one(scanned, "two.crt", "two.test")["listeners"] == usual
    assert _one(scanned, "three.crt")["listeners"] == ["127.0.0.2:143/imap"]
    assert _one(scanned, "four.crt", "four.test")["listeners"] == ["127.0.0.2:143/imap"]
    assert _one(scanned, "pop.crt")["listeners"] == ["*:110/pop3", "[::]:110/pop3"]
    assert _one(scanned, "hidden.crt")["listeners"] == _one(scanned, "remote.crt")["listeners"] == []
    assert "imap-login more expects a proxy: no handshake is made there" in scanned.warned()


def test_files_and_lines(dovecot: Corpus) -> None:
    scanned = scan(dovecot.host, "dovecot")
    one = _one(scanned, "one.crt", "one.test", "*.one.test", "x.one.test")
    assert (one["config_file"], one["line"]) == (f"{dovecot.folder}/one.inc", 1)
    assert [(file["path"], file["kind"]) for file in one["files"]] == [
        (f"{dovecot.folder}/one.crt", "fullchain"),
        (f"{dovecot.folder}/one.key", "key"),
    ]
    told = dovecot.host.read("/etc/dovecot/local.conf").splitlines()
    assert "pop.crt" in told[_one(scanned, "pop.crt")["line"] - 1]


def test_settings_that_contradict_each_other_serve_nobody(dovecot: Corpus) -> None:
    scanned = scan(dovecot.host, "dovecot")
    asked = [{"address": "127.0.0.2", "port": 143, "starttls": "imap", "name": "one.test"}]
    (answer,) = send(dovecot.host, {"op": "probe", "endpoints": asked})["endpoints"]
    assert answer["state"] == "failed"
    told = "settings contradict each other at 127.0.0.2:143/imap for one.test: Dovecot ends such connections"
    assert told in scanned.warned()


def test_without_doveconf_the_files_say_the_same(dovecot: Corpus) -> None:
    host = dovecot.host
    asked = scan(host, "dovecot")
    host.run(["mv", "/usr/bin/doveconf", "/usr/bin/doveconf.away"])
    try:
        read = scan(host, "dovecot")
    finally:
        host.run(["mv", "/usr/bin/doveconf.away", "/usr/bin/doveconf"])
    key = "certificate"
    assert sorted(map(str, read.bindings)) == sorted(map(str, asked.bindings))
    assert {one[key] for one in read.bindings} == {one[key] for one in asked.bindings}


def test_a_broken_configuration_is_read_as_far_as_it_goes(dovecot: Corpus) -> None:
    whole = scan(dovecot.host, "dovecot")
    dovecot.host.write("/etc/dovecot/conf.d/99-broken.conf", "service imap-login {\n")
    try:
        scanned = scan(dovecot.host, "dovecot")
        outcome = deploy(dovecot.host, _one(scanned, "ec.crt"), dovecot.authority.issue("ec.test"))
    finally:
        dovecot.host.run(["rm", "/etc/dovecot/conf.d/99-broken.conf"])
    assert {one["certificate"] for one in scanned.bindings} == {one["certificate"] for one in whole.bindings}
    assert any(message.startswith("doveconf fails") for message in scanned.warned())
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")


def test_a_scan_without_rights_says_what_it_could_not_read(dovecot: Corpus) -> None:
    whole = scan(dovecot.host, "dovecot")
    scanned = scan(dovecot.host, "dovecot", prefix=tuple(UNPRIVILEGED))
    assert [one["line"] for one in scanned.bindings] == [one["line"] for one in whole.bindings]
    assert all("unreadable" in {problem["kind"] for problem in one["problems"]} for one in scanned.bindings)
    assert scanned.result["server"]["services"] == whole.result["server"]["services"]
    assert scanned.result["server"]["services"][0]["version"].startswith("2.3.")


@pytest.mark.parametrize(
    ("path", "names", "key_type"),
    [
        ("ec.crt", (), "ec-256"),
        ("rsa.crt", (), "rsa-2048"),
        ("two.crt", ("two.test",), "ec-256"),
        ("four.crt", ("four.test",), "ec-256"),
    ],
)
def test_a_new_certificate_is_served(
    dovecot: Corpus, path: str, names: tuple[str, ...], key_type: str
) -> None:
    binding = _one(scan(dovecot.host, "dovecot"), path, *names)
    issued = dovecot.authority.issue(*(names or ["any.test"]), key_type=key_type)
    outcome = deploy(dovecot.host, binding, issued)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint)
    scanned = scan(dovecot.host, "dovecot")
    assert scanned.contradicted() == {}
    assert issued.fingerprint in {one["certificate"] for one in scanned.bindings}


def test_what_dovecot_does_not_serve_is_rolled_back(dovecot: Corpus) -> None:
    binding = _one(scan(dovecot.host, "dovecot"), "ec.crt")
    before = dovecot.host.sha256(f"{dovecot.folder}/ec.crt")
    issued = dovecot.authority.issue("any.test", key_type="rsa-2048")  # the other RSA certificate hides it
    outcome = deploy(dovecot.host, binding, issued)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    assert dovecot.host.sha256(f"{dovecot.folder}/ec.crt") == before
    assert scan(dovecot.host, "dovecot").contradicted() == {}


def test_a_stopped_dovecot_gets_its_files(dovecot: Corpus) -> None:
    running = scan(dovecot.host, "dovecot").bindings
    dovecot.host.run(["systemctl", "stop", "dovecot"])
    try:
        scanned = scan(dovecot.host, "dovecot")
        outcome = deploy(dovecot.host, _one(scanned, "ec.crt"), dovecot.authority.issue("ec.test"))
    finally:
        dovecot.host.run(["systemctl", "start", "dovecot"])
    told = ("config_file", "line", "names", "listeners", "files", "certificate")
    assert [[one[key] for key in told] for one in scanned.bindings] == [
        [one[key] for key in told] for one in running
    ]
    assert outcome["state"] == "staged"


def test_without_tls_nothing_is_claimed(dovecot: Corpus) -> None:
    kept = dovecot.host.read("/etc/dovecot/local.conf")
    dovecot.host.write("/etc/dovecot/local.conf", kept.replace("ssl = required", "ssl = no"))
    dovecot.host.run(["systemctl", "restart", "dovecot"])
    try:
        scanned = scan(dovecot.host, "dovecot")
    finally:
        dovecot.host.write("/etc/dovecot/local.conf", kept)
        dovecot.host.run(["systemctl", "restart", "dovecot"])
    assert scanned.bindings
    assert [one["listeners"] for one in scanned.bindings if one["listeners"]] == []
