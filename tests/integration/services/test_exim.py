"""Exim is the judge of what is said about its listeners and its strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

CHOICE = (
    "${if exists{FOLDER/by/${tls_in_sni}.%s}\\\n"
    "   # said in between\n"
    "   {FOLDER/by/$tls_in_sni.%s}\\\n"
    "   {${lookup {$tls_in_sni} lsearch {FOLDER/names} {FOLDER/$value.%s}\\\n"
    "   {${if and{ {def:tls_sni} {eqi{$tls_sni}{EQ.test}} } {FOLDER/eq.%s}\\\n"
    "   {FOLDER/rsa.%s : FOLDER/ec.%s}}}}}}"
)
CONFIG = """
FOLDER = %C
.include_if_exists /nowhere/at/all
.ifdef NOTHING
tls_certificate = /gone
.else
.include %C/more.conf
.endif
daemon_smtp_ports = 25 : 465 : submission
tls_on_connect_ports = 465
local_interfaces = <; 127.0.0.1 ; [::1]:2525 ; 127.0.0.2.1025
primary_hostname = mail.test
smtp_accept_max = 100
acl_smtp_rcpt = accept

begin acl

tls_certificate:
  accept
"""
MORE = "tls_certificate = " + CHOICE.replace("%s", "crt") + "\nhide tls_privatekey = "
MORE += CHOICE.replace("%s", "key") + "\n"


def _restart(host: LabHost) -> None:
    """Starts Exim anew, however often that was done before."""
    host.run(["systemctl", "reset-failed", "exim4"], check=False)
    host.run(["systemctl", "restart", "exim4"])


@pytest.fixture(scope="module")
def exim(services_lab: Lab, authority: Authority) -> Iterator[Corpus]:
    """An Exim with the configuration above, for all tests of this file."""
    others = services_lab.hosts["others"]
    corpus = Corpus(others, authority)
    corpus.certificates("ec", "eq", "named", "file", "plain")
    corpus.certificates("rsa", key_type="rsa-2048")
    for kind in ("crt", "key"):
        path = f"{corpus.folder}/by/file.test.{kind}"
        others.write(path, others.read(f"{corpus.folder}/file.{kind}"), 0o640)
    corpus.write(f"{corpus.folder}/names", "# names\nnamed.test: named\nother.test:\tnamed\n")
    corpus.write(f"{corpus.folder}/more.conf", MORE)
    corpus.write("/etc/exim4/exim4.conf", CONFIG)
    others.run(["chown", "-R", "Debian-exim", corpus.folder])
    try:
        _restart(others)
        yield corpus
    finally:
        corpus.put_back()
        _restart(others)


def _one(scanned: Scanned, path: str, *names: str) -> dict[str, Any]:
    return next(
        binding
        for binding in scanned.bindings
        if tuple(binding["names"]) == names
        and f"/srv/corpus/{path}" in {file["path"] for file in binding["files"]}
    )


def test_what_is_found_is_what_handshakes_show(exim: Corpus) -> None:
    scanned = scan(exim.host, "exim")
    assert scanned.contradicted() == {}
    usual = ["127.0.0.1:25/smtp", "127.0.0.1:465", "127.0.0.1:587/smtp"]
    usual += ["[::1]:2525/smtp", "127.0.0.2:1025/smtp"]
    found = [
        _one(scanned, "rsa.crt"),
        _one(scanned, "ec.crt"),
        _one(scanned, "by/file.test.crt", "file.test"),
        _one(scanned, "named.crt", "named.test", "other.test"),
        _one(scanned, "eq.crt", "eq.test"),
    ]
    assert scanned.bindings == found
    assert {tuple(one["listeners"]) for one in found} == {tuple(usual)}
    assert {(one["config_file"], one["line"]) for one in found} == {(f"{exim.folder}/more.conf", 1)}
    assert [(file["path"], file["kind"]) for file in found[1]["files"]] == [
        (f"{exim.folder}/ec.crt", "fullchain"),
        (f"{exim.folder}/ec.key", "key"),
    ]
    assert scanned.warned() == []
    assert scanned.result["server"]["services"] == [{"name": "exim", "version": "4.96", "running": True}]


def test_a_broken_configuration_is_read_as_far_as_it_goes(exim: Corpus) -> None:
    whole = scan(exim.host, "exim").bindings
    exim.host.write("/etc/exim4/exim4.conf", CONFIG.replace("%C", exim.folder) + "\nbegin nonsense\n")
    try:
        scanned = scan(exim.host, "exim")
        outcome = deploy(exim.host, _one(scanned, "rsa.crt"), exim.authority.issue("any.test"))
    finally:
        exim.host.write("/etc/exim4/exim4.conf", CONFIG.replace("%C", exim.folder))
    told = ("config_file", "line", "names", "listeners", "files", "certificate")
    assert [[one[key] for key in told] for one in scanned.bindings] == [
        [one[key] for key in told] for one in whole
    ]
    assert any(message.startswith("exim -bP fails, so the files are read") for message in scanned.warned())
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")


def test_a_scan_without_rights_says_what_it_could_not_read(exim: Corpus) -> None:
    whole = scan(exim.host, "exim")
    scanned = scan(exim.host, "exim", prefix=tuple(UNPRIVILEGED))
    assert [one["line"] for one in scanned.bindings] == [one["line"] for one in whole.bindings]
    unread = [one for one in scanned.bindings if "unreadable" in {p["kind"] for p in one["problems"]}]
    assert unread == scanned.bindings
    assert scanned.result["server"]["services"] == whole.result["server"]["services"]


@pytest.fixture
def narrow(exim: Corpus) -> Iterator[Callable[[int], None]]:
    """Lets Exim take only so many sessions at a time, ours among them."""
    text = CONFIG.replace("%C", exim.folder)

    def take(sessions: int) -> None:
        few = text.replace("smtp_accept_max = 100", f"smtp_accept_max = {sessions}")
        few = few.replace("25 : 465 : submission", "25").replace("<; 127.0.0.1 ; [::1]:2525", "<; 127.0.0.1")
        exim.host.write("/etc/exim4/exim4.conf", few)
        _restart(exim.host)

    try:
        yield take
    finally:
        exim.host.run(["systemctl", "stop", "holder"], check=False)
        exim.host.write("/etc/exim4/exim4.conf", text)
        _restart(exim.host)


def test_of_a_few_sessions_a_scan_takes_no_more(exim: Corpus, narrow: Callable[[int], None]) -> None:
    narrow(5)
    scanned = scan(exim.host, "exim")
    sights = [sight for one in scanned.bindings for sight in one["served"]]
    assert len(sights) >= 6
    assert [sight for sight in sights if sight["error"]] == []
    assert scanned.warned() == []


def test_an_exim_that_takes_no_more_sessions_is_not_called_silent(
    exim: Corpus, narrow: Callable[[int], None]
) -> None:
    narrow(1)
    hold = "import socket, time; held = socket.create_connection(('127.0.0.1', 25)); time.sleep(600)"
    exim.host.run(["systemd-run", "--unit=holder", "--collect", "python3", "-c", hold])
    established = ["ss", "-Htn", "state", "established", "sport", "=", ":25"]
    exim.host.wait_until(lambda: exim.host.run(established).stdout != "", "nobody holds a session")
    scanned = scan(exim.host, "exim")
    assert [one["served"] for one in scanned.bindings] == [[]] * len(scanned.bindings)
    assert "not_served" not in {problem["kind"] for one in scanned.bindings for problem in one["problems"]}
    told = [message for message in scanned.warned() if "127.0.0.1:25/smtp is not known: asked too" in message]
    assert len(told) == 1, scanned.warned()


@pytest.mark.parametrize(
    ("path", "names", "key_type"),
    [
        ("rsa.crt", (), "rsa-2048"),
        ("ec.crt", (), "ec-256"),
        ("by/file.test.crt", ("file.test",), "ec-256"),
        ("named.crt", ("named.test", "other.test"), "rsa-2048"),
    ],
)
def test_a_new_certificate_is_served(exim: Corpus, path: str, names: tuple[str, ...], key_type: str) -> None:
    binding = _one(scan(exim.host, "exim"), path, *names)
    issued = exim.authority.issue(*(names or ["any.test"]), key_type=key_type)
    outcome = deploy(exim.host, binding, issued)
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint)
    scanned = scan(exim.host, "exim")
    assert scanned.contradicted() == {}
    assert issued.fingerprint in {one["certificate"] for one in scanned.bindings}


def test_what_exim_does_not_serve_is_rolled_back(exim: Corpus) -> None:
    binding = _one(scan(exim.host, "exim"), "ec.crt")
    before = exim.host.sha256(f"{exim.folder}/ec.crt")
    issued = exim.authority.issue("any.test", key_type="rsa-2048")  # the RSA certificate before it hides it
    outcome = deploy(exim.host, binding, issued)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    assert exim.host.sha256(f"{exim.folder}/ec.crt") == before
    assert scan(exim.host, "exim").contradicted() == {}


def test_a_stopped_exim_gets_its_files(exim: Corpus) -> None:
    running = scan(exim.host, "exim").bindings
    exim.host.run(["systemctl", "stop", "exim4"])
    try:
        scanned = scan(exim.host, "exim")
        issued = exim.authority.issue("any.test", key_type="rsa-2048")
        outcome = deploy(exim.host, _one(scanned, "rsa.crt"), issued)
    finally:
        _restart(exim.host)
    told = ("config_file", "line", "names", "listeners", "files", "certificate")
    assert [[one[key] for key in told] for one in scanned.bindings] == [
        [one[key] for key in told] for one in running
    ]
    assert outcome["state"] == "staged"


@pytest.fixture
def debian(exim: Corpus) -> Iterator[LabHost]:
    """The same host with the configuration that Debian makes of many files."""
    host = exim.host
    files = ("/etc/default/exim4", "/etc/exim4/update-exim4.conf.conf")
    kept = {path: host.read(path) for path in files}
    default = kept[files[0]].replace(
        "LISTENEROPTIONS=''", "LISTENEROPTIONS='-oX 25:465 -oP /run/exim4/exim.pid'"
    )
    host.run(["mv", "/etc/exim4/exim4.conf", "/etc/exim4/away"])
    host.write(files[0], default)
    host.write(files[1], kept[files[1]].replace("use_split_config='false'", "use_split_config='true'"))
    try:
        yield host
    finally:
        for path, content in kept.items():
            host.write(path, content)
        host.run(["rm", "-f", MACROS])
        host.run(["mv", "/etc/exim4/away", "/etc/exim4/exim4.conf"])
        _restart(host)


MACROS = "/etc/exim4/conf.d/main/000_localmacros"


def test_the_many_files_of_debian_are_read_as_one(exim: Corpus, debian: LabHost) -> None:
    macros = f"MAIN_TLS_ENABLE = yes\nMAIN_TLS_CERTKEY = {exim.folder}/plain.pem\n"
    debian.write(MACROS, macros + "tls_on_connect_ports = 465\n")
    _restart(debian)
    scanned = scan(debian, "exim")
    assert scanned.contradicted() == {}
    (binding,) = scanned.bindings
    assert binding["listeners"] == ["127.0.0.1:25/smtp", "127.0.0.1:465", "[::1]:25/smtp", "[::1]:465"]
    told = debian.read(binding["config_file"]).splitlines()
    assert "tls_certificate" in told[binding["line"] - 1]
    assert [(file["path"], file["kind"]) for file in binding["files"]] == [
        (f"{exim.folder}/plain.pem", "combined")
    ]
    issued = exim.authority.issue("plain.test")
    assert deploy(debian, binding, issued)["state"] == "deployed"


def test_an_exim_that_signs_for_itself_is_told(debian: LabHost) -> None:
    _restart(debian)
    scanned = scan(debian, "exim")
    assert scanned.bindings == []
    assert scanned.warned() == ["tls_certificate is not set: Exim signs certificates of its own making"]


def test_a_name_alone_gets_nothing_where_the_usual_file_is_missing(exim: Corpus, debian: LabHost) -> None:
    chosen = f"{exim.folder}/by/$tls_in_sni"
    macros = (
        f"MAIN_TLS_ENABLE = yes\nMAIN_TLS_CERTIFICATE = {chosen}.crt\nMAIN_TLS_PRIVATEKEY = {chosen}.key\n"
    )
    debian.write(MACROS, macros)
    _restart(debian)
    scanned = scan(debian, "exim")
    first, second = scanned.bindings
    assert [problem["kind"] for problem in first["problems"]][:1] == ["missing"]
    assert (second["names"], second["listeners"]) == (["file.test"], [])
    assert scanned.contradicted() == {}
