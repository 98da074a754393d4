"""ProFTPD itself judges what the scan says of it, and a deploy to it shows or is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, deploy, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

MAIN = r"""
# DefaultServer is on already
LoadModule mod_tls.c
ServerAlias main.test
TLSEngine on
TLSRSACertificateFile \
  "%C/rsa.crt"
TLSRSACertificateKeyFile "%C/rsa.key"
TLSRSACertificateFile %C/late.crt
TLSCertificateChainFile %C/chain.crt
<IfModule !mod_tls.c>
  TLSRSACertificateFile /gone
  <IfModule mod_core.c>
  </IfModule>
</IfModule>
<IfDefine NEVER>
<VirtualHost 127.0.0.1>
  TLSEngine on
  TLSECCertificateFile %C/never.crt
  TLSECCertificateKeyFile %C/never.key
</VirtualHost>
</IfDefine>
<IfVersion >= 1.3.5>
Define SEEN
</IfVersion>
Include /etc/proftpd/corpus-[0-9].inc
"""

INCLUDED = r"""
<Global>
  TLSECCertificateFile %C/global.crt
  tlsECCertificateKeyFile %C/global.key
</Global>
<IfDefine SEEN>
<VirtualHost 127.0.0.2>
  ServerName "the first at its address"
  TLSEngine on
  TLSECCertificateFile %C/first.crt
  TLSECCertificateKeyFile %C/first.key
</VirtualHost>
<VirtualHost 127.0.0.2>
  ServerAlias one.test *.one.test
  TLSEngine yes
  TLSECCertificateFile %C/one.pem
  TLSECCertificateKeyFile %C/one.pem
</VirtualHost>
<VirtualHost 127.0.0.2>
  ServerAlias ONE.test two.test
  TLSEngine on
  TLSECCertificateFile %C/two.pem
  TLSECCertificateKeyFile %C/two.pem
</VirtualHost>
<VirtualHost 127.0.0.2>
  ServerAlias plain.test
</VirtualHost>
</IfDefine>
<VirtualHost 0.0.0.0>
  Port 990
  TLSEngine on
  TLSOptions NoSessionReuseRequired UseImplicitSSL
  TLSECCertificateFile %C/impl.pem
  TLSECCertificateKeyFile %C/impl.pem
  <Anonymous ~ftp>
    <Directory *>
    </Directory>
  </Anonymous>
</VirtualHost>
<VirtualHost 127.0.0.1 ::1>
  Port 2121
  TLSEngine on
</VirtualHost>
<VirtualHost 127.0.0.1>
  Port 0
  TLSEngine on
  TLSECCertificateFile %C/shut.pem
  TLSECCertificateKeyFile %C/shut.pem
</VirtualHost>
"""


@pytest.fixture
def proftpd(others: LabHost, authority: Authority) -> Iterator[Corpus]:
    """A ProFTPD with many servers."""
    corpus = Corpus(others, authority)
    corpus.certificates("global", "first", "one", "two", "impl", "shut", "never")
    corpus.certificates("rsa", "late", key_type="rsa-2048")
    chain = corpus.host.read(f"{corpus.folder}/rsa.crt").partition("-----END CERTIFICATE-----\n")[2]
    corpus.host.write(f"{corpus.folder}/chain.crt", chain)
    corpus.write("/etc/proftpd/conf.d/corpus.conf", MAIN)
    corpus.write("/etc/proftpd/corpus-1.inc", INCLUDED)
    start(corpus)
    yield corpus
    others.run(["systemctl", "stop", "proftpd"], check=False)
    corpus.put_back()
    others.run(["systemctl", "daemon-reload"])
    others.run(["systemctl", "reset-failed"])


def start(corpus: Corpus) -> None:
    """Starts it anew and waits until it listens."""
    corpus.host.run(["systemctl", "reset-failed"])
    corpus.host.run(["systemctl", "restart", "proftpd"])
    corpus.host.wait_until(lambda: ":21 " in corpus.host.run(["ss", "-Hltn"]).stdout, "ProFTPD listens", 60)


def test_every_server_shows_what_its_files_say(proftpd: Corpus) -> None:
    scanned = scan(proftpd.host, "proftpd")
    assert scanned.contradicted() == {}
    found = {
        (proftpd.fingerprints[one["certificate"]], tuple(one["names"]), tuple(one["listeners"]))
        for one in scanned.bindings
    }
    assert found == {
        ("rsa", (), ("*:21/ftp",)),
        ("global", (), ("*:21/ftp",)),
        ("first", (), ("127.0.0.2:21/ftp",)),
        ("one", ("one.test", "*.one.test"), ("127.0.0.2:21/ftp",)),
        ("two", ("two.test",), ("127.0.0.2:21/ftp",)),
        ("impl", (), ("*:990",)),
        ("global", (), ("127.0.0.1:2121/ftp", "[::1]:2121/ftp")),
        ("shut", (), ()),
    }
    (rsa,) = (one for one in scanned.bindings if proftpd.fingerprints[one["certificate"]] == "rsa")
    assert [(file["path"], file["kind"]) for file in rsa["files"]] == [
        (f"{proftpd.folder}/rsa.crt", "fullchain"),
        (f"{proftpd.folder}/chain.crt", "chain"),
        (f"{proftpd.folder}/rsa.key", "key"),
    ]
    assert (rsa["config_file"], rsa["line"]) == ("/etc/proftpd/conf.d/corpus.conf", 7)
    assert "no handshake reaches this server" in scanned.warned()
    (about,) = scanned.result["server"]["services"]
    assert (about["name"], about["version"], about["running"]) == ("proftpd", "1.3.8", True)


def test_only_what_is_sent_is_told_as_a_chain(proftpd: Corpus) -> None:
    message = f"only the first certificate of {proftpd.folder}/impl.pem is sent"
    assert any(one.startswith(message) for one in scan(proftpd.host, "proftpd").warned())
    shown = proftpd.host.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:990", "-showcerts"], input="", check=False
    )
    assert shown.stdout.count("BEGIN CERTIFICATE") == 1


def test_a_master_says_by_its_service_which_file_it_reads(proftpd: Corpus) -> None:
    proftpd.write("/etc/proftpd/other.conf", proftpd.host.read("/etc/proftpd/proftpd.conf"))
    proftpd.write("/etc/default/proftpd", 'CONFIG_FILE=/etc/proftpd/other.conf\nOPTIONS="-D NEVER"\n')
    start(proftpd)
    scanned = scan(proftpd.host, "proftpd")
    assert scanned.contradicted() == {}
    (never,) = (one for one in scanned.bindings if proftpd.fingerprints[one["certificate"]] == "never")
    assert never["listeners"] == ["127.0.0.1:21/ftp"]


def test_a_further_include_that_loops_ends(proftpd: Corpus) -> None:
    proftpd.host.run(["systemctl", "stop", "proftpd"])
    proftpd.write("/etc/proftpd/corpus-2.inc", "Include /etc/proftpd/corpus-2.inc\nInclude /dev/zero\n")
    scanned = scan(proftpd.host, "proftpd")
    assert ("rsa", ()) in proftpd.named(scanned)
    assert any("files include each other without end" in one for one in scanned.warned())
    assert any("/dev/zero is not read" in one for one in scanned.warned())


def test_who_is_not_root_is_told_what_could_not_be_read(proftpd: Corpus) -> None:
    scanned = scan(proftpd.host, "proftpd", prefix=tuple(UNPRIVILEGED))
    by_name = {proftpd.fingerprints.get(one["certificate"], "-"): one for one in scanned.bindings}
    assert "unreadable" in [problem["kind"] for problem in by_name["rsa"]["problems"]]
    assert "unreadable" in [problem["kind"] for problem in by_name["-"]["problems"]]


def test_a_deploy_is_shown_by_a_new_handshake(proftpd: Corpus, authority: Authority) -> None:
    bindings = scan(proftpd.host, "proftpd").bindings
    for name, key_type in (("rsa", "rsa-2048"), ("one", "ec-256"), ("impl", "ec-256")):
        (binding,) = (one for one in bindings if proftpd.fingerprints[one["certificate"]] == name)
        issued = authority.issue(f"{name}.test", f"*.{name}.test", key_type=key_type)
        outcome = deploy(proftpd.host, binding, issued)
        assert (outcome["state"], outcome["reason"]) == ("deployed", "verified"), outcome["message"]
        assert issued.fingerprint in {one["fingerprint"] for one in outcome["endpoints"]}
    assert scan(proftpd.host, "proftpd").contradicted() == {}


def test_what_is_not_shown_is_taken_back(proftpd: Corpus, authority: Authority) -> None:
    """An elliptic certificate where the server was told to offer RSA ciphers alone."""
    proftpd.write(
        "/etc/proftpd/corpus-1.inc",
        INCLUDED.replace("TLSECCertificateFile %C/impl.pem", "TLSRSACertificateFile %C/late.pem")
        .replace("TLSECCertificateKeyFile %C/impl.pem", "TLSRSACertificateKeyFile %C/late.pem")
        .replace("Port 990", "Port 990\n  TLSProtocol TLSv1.2\n  TLSCipherSuite aRSA"),
    )
    start(proftpd)
    bindings = scan(proftpd.host, "proftpd").bindings
    (binding,) = (
        one
        for one in bindings
        if one["listeners"] == ["*:990"]
        and one["names"] == []
        and proftpd.fingerprints[one["certificate"]] == "late"
    )
    before = proftpd.host.read(f"{proftpd.folder}/late.pem")
    outcome = deploy(proftpd.host, binding, authority.issue("late.test"), verify_seconds=2)
    assert outcome["state"] == "rolled_back", outcome["message"]
    assert proftpd.host.read(f"{proftpd.folder}/late.pem") == before
    assert scan(proftpd.host, "proftpd").contradicted() == {}


def test_a_broken_configuration_is_left_alone(proftpd: Corpus, authority: Authority) -> None:
    binding = scan(proftpd.host, "proftpd").bindings[0]
    whole = proftpd.host.read("/etc/proftpd/proftpd.conf")
    proftpd.write("/etc/proftpd/proftpd.conf", whole + "NoSuchDirective on\n")
    outcome = deploy(proftpd.host, binding, authority.issue("rsa.test", key_type="rsa-2048"))
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert "unknown configuration directive 'NoSuchDirective'" in outcome["message"]
