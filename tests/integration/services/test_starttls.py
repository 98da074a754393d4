"""The words before TLS, said to the servers that they are for; lmtp, nntp and sieve have none here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import Corpus, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

POSTFIX = {
    "smtpd_tls_cert_file": "%C/a.crt",
    "smtpd_tls_key_file": "%C/a.key",
    "smtpd_tls_security_level": "may",
}
DOVECOT = "ssl = yes\nssl_cert = <%C/a.crt\nssl_key = <%C/a.key\n"
VSFTPD = (
    "listen=NO\nlisten_ipv6=YES\nlocal_enable=YES\nssl_enable=YES\nrsa_cert_file=%C/a.crt\n"
    "rsa_private_key_file=%C/a.key\nsecure_chroot_dir=/var/run/vsftpd/empty\nftpd_banner=Hello\n"
)
POSTGRESQL = "ssl = on\nssl_cert_file = '%C/a.crt'\nssl_key_file = '%C/a.key'\nlisten_addresses = '*'\n"
MARIADB = "[mysqld]\nbind-address = *\nssl-cert = %C/a.crt\nssl-key = %C/a.key\n"
PROSODY = 'VirtualHost "a.test"\nssl = { certificate = "%C/a.crt"; key = "%C/a.key" }\n'
SLAPD = (
    "include /etc/ldap/schema/core.schema\npidfile /var/run/slapd/slapd.pid\n"
    "TLSCertificateFile %C/a.crt\nTLSCertificateKeyFile %C/a.key\n"
)
SLAPD_DEFAULT = (
    "SLAPD_CONF=/etc/ldap/slapd.conf\nSLAPD_USER=openldap\nSLAPD_GROUP=openldap\n"
    "SLAPD_SERVICES='ldap:/// ldapi:///'\n"
)
UNITS = ("postfix", "dovecot", "vsftpd", "prosody", "postgresql@15-main", "mariadb")
PLACES = {
    "smtp": 25,
    "imap": 143,
    "pop3": 110,
    "ftp": 21,
    "ldap": 389,
    "postgres": 5432,
    "mysql": 3306,
    "xmpp": 5222,
    "xmpp-server": 5269,
}


def configure(corpus: Corpus) -> None:
    """Gives each server the certificate."""
    host = corpus.host
    corpus.write("/etc/postfix/main.cf", host.read("/etc/postfix/main.cf"))
    host.run(
        ["postconf", "-e", *(f"{key}={value}".replace("%C", corpus.folder) for key, value in POSTFIX.items())]
    )
    corpus.write("/etc/dovecot/conf.d/10-ssl.conf", DOVECOT)
    corpus.write("/etc/vsftpd.conf", VSFTPD)
    corpus.write("/etc/postgresql/15/main/conf.d/tls.conf", POSTGRESQL)
    corpus.write("/etc/mysql/mariadb.conf.d/90-tls.cnf", MARIADB)
    corpus.write("/etc/prosody/conf.d/a.cfg.lua", PROSODY)
    corpus.write("/etc/ldap/slapd.conf", SLAPD)
    corpus.write("/etc/default/slapd", SLAPD_DEFAULT)


@pytest.fixture(scope="module")
def corpus(services_lab: Lab, authority: Authority) -> Iterator[Corpus]:
    """Every server with the same certificate, started; afterwards stopped and as they were."""
    servers: LabHost = services_lab.hosts["servers"]
    found = Corpus(servers, authority, "/srv/starttls-corpus")
    found.certificates("a")
    # each server's own account has to read the key: PostgreSQL wants to own it, the others are in its group
    servers.run(["chmod", "755", found.folder])
    servers.run(["sh", "-c", f"chmod 640 {found.folder}/a.key && chown root:ssl-cert {found.folder}/a.key"])
    for user in ("openldap", "mysql", "prosody", "postgres"):
        servers.run(["usermod", "-a", "-G", "ssl-cert", user])
    try:
        configure(found)
        servers.run(["systemctl", "restart", "slapd", *UNITS], timeout=120)
        servers.wait_until(lambda: listening(servers), "not all servers listen")
        yield found
    finally:
        servers.run(["systemctl", "stop", *UNITS], check=False)
        for user in ("openldap", "mysql", "prosody"):
            servers.run(["gpasswd", "-d", user, "ssl-cert"], check=False)
        found.put_back()
        servers.run(["systemctl", "restart", "slapd"], check=False)


def listening(host: LabHost) -> bool:
    """Whether all of them do."""
    said = host.run(["ss", "-ltnH"]).stdout.split()
    return all(any(word.endswith(f":{port}") for word in said) for port in PLACES.values())


def ask(corpus: Corpus, **endpoint: object) -> dict[str, object]:
    """What one endpoint shows on the host itself, where the host program runs."""
    asked = {"address": "127.0.0.1", "name": "a.test", "timeout": 5, **endpoint}
    [answer] = send(corpus.host, {"op": "probe", "endpoints": [asked]})["endpoints"]
    found: dict[str, object] = answer
    return found


@pytest.mark.parametrize("protocol", PLACES)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_a_server_begins_tls(corpus: Corpus, protocol: str, address: str) -> None:
    answer = ask(corpus, address=address, port=PLACES[protocol], starttls=protocol)
    assert answer["fingerprint_sha256"] in corpus.fingerprints, answer["error"]


@pytest.mark.parametrize("protocol", PLACES)
def test_a_key_of_a_kind_can_be_asked_for(corpus: Corpus, protocol: str) -> None:
    answer = ask(corpus, port=PLACES[protocol], starttls=protocol, key_type="ec")
    assert answer["fingerprint_sha256"] in corpus.fingerprints, answer["error"]


@pytest.mark.parametrize("protocol", PLACES)
def test_a_server_of_another_protocol_ends_in_a_sentence(corpus: Corpus, protocol: str) -> None:
    """Each server hears the words of each other protocol."""
    kin = protocol.partition("-")[0]
    others = [port for other, port in PLACES.items() if not other.startswith(kin)]
    request = [
        {"address": "127.0.0.1", "port": port, "name": "a.test", "starttls": protocol, "timeout": 1.5}
        for port in others
    ]
    answers = send(corpus.host, {"op": "probe", "endpoints": request})["endpoints"]
    assert [answer["state"] for answer in answers] == ["failed"] * len(others)
    assert all(answer["error"] and "\n" not in answer["error"] for answer in answers)
    assert max(answer["seconds"] for answer in answers) < 2.5


@pytest.mark.parametrize(
    ("protocol", "unit", "path", "text"),
    [
        ("ftp", "vsftpd", "/etc/vsftpd.conf", VSFTPD.replace("ssl_enable=YES", "ssl_enable=NO")),
        ("imap", "dovecot", "/etc/dovecot/conf.d/10-ssl.conf", "ssl = no\n"),
        ("pop3", "dovecot", "/etc/dovecot/conf.d/10-ssl.conf", "ssl = no\n"),
        ("mysql", "mariadb", "/etc/mysql/mariadb.conf.d/90-tls.cnf", "[mysqld]\n"),
        ("postgres", "postgresql@15-main", "/etc/postgresql/15/main/conf.d/tls.conf", "ssl = off\n"),
    ],
)
def test_a_server_that_declines_is_quoted(
    corpus: Corpus, protocol: str, unit: str, path: str, text: str
) -> None:
    corpus.write(path, text)
    corpus.host.run(["systemctl", "restart", unit])
    try:
        answer = ask(corpus, port=PLACES[protocol], starttls=protocol)
    finally:
        configure(corpus)
        corpus.host.run(["systemctl", "restart", unit])
        corpus.host.wait_until(lambda: listening(corpus.host), "not all servers listen")
    assert answer["state"] == "failed"
    assert str(answer["error"]).startswith("the server does not begin TLS: it answers ")
    assert float(str(answer["seconds"])) < 4
