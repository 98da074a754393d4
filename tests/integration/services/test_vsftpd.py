"""vsftpd itself judges what the scan says of it, and a deploy to it shows or is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

MAIN = """\
# a comment = no setting
listen=YES
listen_ipv6=NO
anonymous_enable=YES
secure_chroot_dir=/var/run/vsftpd/empty
ssl_enable=NO
  ssl_enable=true
rsa_cert_file=/nowhere
#rsa_cert_file=%C/other.crt
rsa_cert_file=%C/../corpus/rsa.crt  \t
rsa_private_key_file=%C/rsa.key\r
dsa_cert_file=%C/ec.pem
ssl_ciphers=HIGH
"""

FIRST = """\
listen=NO
listen_ipv6=YES
listen_port=01737
setproctitle_enable=YES
anonymous_enable=YES
secure_chroot_dir=/var/run/vsftpd/empty
rsa_cert_file=%C/other.pem
"""

SECOND = """\
ssl_enable=1
implicit_ssl=YES
rsa_cert_file=
dsa_cert_file=%C/six.crt
"""

GUARD = "/etc/systemd/system/vsftpd.service.d/guard.conf"
UNIT = """\
[Service]
Environment="FURTHER=-oanon_max_rate=0 -odsa_private_key_file=%C/six.key" WHERE=vsftpd
ExecStart=/usr/sbin/vsftpd /etc/${WHERE}-first.conf /etc/vsftpd-second.conf $FURTHER
"""


@pytest.fixture
def vsftpd(servers: LabHost, authority: Authority) -> Iterator[Corpus]:
    """A vsftpd on port 21, and the means for a second one."""
    corpus = Corpus(servers, authority)
    corpus.certificates("ec", "six")
    corpus.certificates("rsa", "other", key_type="rsa-2048")
    corpus.write("/etc/vsftpd.conf", MAIN)
    start(corpus)
    yield corpus
    servers.run(["systemctl", "stop", "vsftpd", "corpus-vsftpd"], check=False)
    corpus.put_back()
    servers.run(["systemctl", "daemon-reload"])
    servers.run(["systemctl", "reset-failed"])


def start(corpus: Corpus, unit: str = "vsftpd") -> None:
    """Starts a service anew and waits until it listens."""
    corpus.host.run(["systemctl", "reset-failed"])
    corpus.host.run(["systemctl", "restart", unit])
    port = ":21 " if unit == "vsftpd" else ":991 "
    corpus.host.wait_until(lambda: port in corpus.host.run(["ss", "-Hltn"]).stdout, f"{unit} listens", 60)


def second(corpus: Corpus) -> None:
    """A further vsftpd, of several files, that hides its arguments behind a title."""
    corpus.write("/etc/vsftpd-first.conf", FIRST)
    corpus.write("/etc/vsftpd-second.conf", SECOND)
    corpus.write("/etc/systemd/system/corpus-vsftpd.service", UNIT)
    corpus.host.run(["systemctl", "daemon-reload"])
    start(corpus, "corpus-vsftpd")


def test_every_process_shows_what_its_files_and_options_say(vsftpd: Corpus) -> None:
    second(vsftpd)
    scanned = scan(vsftpd.host, "vsftpd")
    assert scanned.contradicted() == {}
    found = {vsftpd.fingerprints[one["certificate"]]: one for one in scanned.bindings}
    assert {name: one["listeners"] for name, one in found.items()} == {
        "rsa": ["*:21/ftp"],
        "ec": ["*:21/ftp"],
        "six": ["[::]:991", "*:991"],
    }
    assert (found["rsa"]["config_file"], found["rsa"]["line"]) == ("/etc/vsftpd.conf", 10)
    files = {name: [(file["path"], file["kind"]) for file in one["files"]] for name, one in found.items()}
    assert files == {
        "rsa": [(f"{vsftpd.folder}/rsa.crt", "fullchain"), (f"{vsftpd.folder}/rsa.key", "key")],
        "ec": [(f"{vsftpd.folder}/ec.pem", "combined")],
        "six": [(f"{vsftpd.folder}/six.crt", "fullchain"), (f"{vsftpd.folder}/six.key", "key")],
    }
    assert [one["problems"] for one in scanned.bindings] == [[], [], []]
    (about,) = scanned.result["server"]["services"]
    assert (about["name"], about["version"], about["running"]) == ("vsftpd", "3.0.3", True)


def test_of_two_certificates_with_one_kind_of_key_the_second_is_shown(vsftpd: Corpus) -> None:
    vsftpd.write("/etc/vsftpd.conf", MAIN.replace("ec.pem", "other.pem"))
    start(vsftpd)
    scanned = scan(vsftpd.host, "vsftpd")
    assert scanned.contradicted() == {}
    assert [one["listeners"] for one in scanned.bindings] == [[], ["*:21/ftp"]]
    assert f"no listener shows {vsftpd.folder}/rsa.crt" in scanned.warned()


def test_what_does_not_run_is_read_from_its_usual_file(vsftpd: Corpus) -> None:
    vsftpd.host.run(["systemctl", "stop", "vsftpd"])
    scanned = scan(vsftpd.host, "vsftpd")
    assert sorted(vsftpd.named(scanned)) == [("ec", ()), ("rsa", ())]
    assert scanned.result["server"]["services"][0]["running"] is False


def test_who_is_not_root_is_told_what_could_not_be_read(vsftpd: Corpus) -> None:
    scanned = scan(vsftpd.host, "vsftpd", prefix=tuple(UNPRIVILEGED))
    rsa, ec = scanned.bindings
    assert vsftpd.fingerprints[rsa["certificate"]] == "rsa"
    assert ec["certificate"] is None
    for binding in (rsa, ec):
        assert "unreadable" in [problem["kind"] for problem in binding["problems"]]


def test_a_deploy_restarts_it_and_a_new_handshake_shows_the_new_certificate(
    vsftpd: Corpus, authority: Authority
) -> None:
    second(vsftpd)
    bindings = {vsftpd.fingerprints[one["certificate"]]: one for one in scan(vsftpd.host, "vsftpd").bindings}
    for name, key_type in (("rsa", "rsa-2048"), ("six", "ec-256")):
        issued = authority.issue(f"{name}.test", key_type=key_type)
        outcome = deploy(vsftpd.host, bindings[name], issued)
        assert (outcome["state"], outcome["message"]) == (
            "deployed",
            "new handshakes show the new certificate",
        )
        shown = {one["fingerprint"] for one in outcome["endpoints"]}
        assert shown == {issued.fingerprint}
    assert scan(vsftpd.host, "vsftpd").contradicted() == {}


def test_where_the_restart_fails_the_old_files_serve_again(vsftpd: Corpus, authority: Authority) -> None:
    host, certificate = vsftpd.host, f"{vsftpd.folder}/rsa.crt"
    vsftpd.write(f"{vsftpd.folder}/sum", host.run(["sha256sum", certificate]).stdout)
    vsftpd.write(GUARD, f"[Service]\nExecStartPre=/usr/bin/sha256sum --check {vsftpd.folder}/sum\n")
    host.run(["systemctl", "daemon-reload"])
    before = host.read(certificate)
    (binding, _second) = scan(host, "vsftpd").bindings
    outcome = deploy(host, binding, authority.issue("rsa.test", key_type="rsa-2048"))
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed")
    assert host.read(certificate) == before
    assert host.pids("vsftpd") != []
    assert scan(host, "vsftpd").contradicted() == {}


def test_a_broken_configuration_is_left_alone(vsftpd: Corpus, authority: Authority) -> None:
    (binding, _second) = scan(vsftpd.host, "vsftpd").bindings
    vsftpd.write("/etc/vsftpd.conf", MAIN + "no_such_setting=1\n")
    outcome = deploy(vsftpd.host, binding, authority.issue("rsa.test", key_type="rsa-2048"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert "unrecognised variable in config file: no_such_setting" in outcome["message"]


def test_a_process_that_nobody_can_restart_is_left_alone(vsftpd: Corpus, authority: Authority) -> None:
    host = vsftpd.host
    host.run(["systemctl", "stop", "vsftpd"])
    host.run(["vsftpd", "-obackground=YES", "/etc/vsftpd.conf"])
    try:
        host.wait_until(lambda: ":21 " in host.run(["ss", "-Hltn"]).stdout, "vsftpd listens", 60)
        (binding, _second) = scan(host, "vsftpd").bindings
        outcome = deploy(host, binding, authority.issue("rsa.test", key_type="rsa-2048"))
        assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "cannot_restart")
    finally:
        for pid in host.pids("vsftpd"):
            host.run(["kill", str(pid)])
