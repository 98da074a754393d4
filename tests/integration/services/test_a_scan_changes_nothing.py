"""A scan of every kind of server leaves all files of the host as they were, with rights and without."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import handshake

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, scan, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.lab import Lab

SNAPSHOT = """
import hashlib, json, os, stat
found = {}
for root in ("/etc", "/var", "/run", "/srv", "/opt", "/root", "/home", "/tmp", "/usr/local"):
    for folder, names, files in os.walk(root):
        for path in [folder] + [os.path.join(folder, name) for name in names + files]:
            try:
                about = os.lstat(path)
                content = None
                if stat.S_ISREG(about.st_mode):
                    with open(path, "rb") as handle:
                        content = hashlib.sha256(handle.read()).hexdigest()
                elif stat.S_ISLNK(about.st_mode):
                    content = os.readlink(path)
            except FileNotFoundError:
                continue
            found[path] = [about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns, content]
print(json.dumps(found))
"""
#: What changes while nobody scans, or because a client has come: its content and its time are not compared.
OWN_WORK = {
    "/var/log/journal/*/system.journal": "systemd writes down what anybody says",
    "/var/log/exim4/mainlog": "Exim writes down each client",
    "/var/log/postgresql/postgresql-15-main.log": "PostgreSQL writes down each client that only shakes hands",
    "/var/log/lighttpd/error.log": "lighttpd writes down a client that goes at once",
    "/run/proftpd.scoreboard": "ProFTPD counts its clients",
    "/var/lib/postfix/prng_exch": "Postfix keeps random numbers for its next start",
    "/var/lib/mysql/ib*": "MariaDB writes its pages in the background",
    "/var/lib/mysql/*.ibd": "so it does those of its tables",
    "/var/lib/mysql/aria_log*": "and those of its other engine",
    "/var/lib/postgresql/15/main/pg_wal/*": "PostgreSQL notes every 15 seconds which transactions are open",
    "/tmp/systemd-private-*-tomcat10.service-*/tmp/hsperfdata_tomcat/*": "Java's own counters",
}

LIGHTTPD = """
server.document-root = "/var/www/html"
server.errorlog = "/var/log/lighttpd/error.log"
server.pid-file = "/run/lighttpd.pid"
server.username = "www-data"
server.groupname = "www-data"
server.port = 8080
server.modules = ( "mod_openssl" )
$SERVER["socket"] == ":8443" { ssl.engine = "enable" ssl.pemfile = "%C/web.pem" }
"""
CADDY = """{
	auto_https disable_redirects
}
caddy.test:8444 {
	tls %C/caddy.crt %C/caddy.key
}
"""
POSTFIX = """
smtpd_tls_security_level = may
smtpd_tls_chain_files = %C/mail.key, %C/mail.crt
"""
DOVECOT = "ssl = yes\nssl_cert = <%C/mail.crt\nssl_key = <%C/mail.key\n"
VSFTPD = """listen=YES
listen_ipv6=NO
ssl_enable=YES
rsa_cert_file=%C/mail.pem
"""
TOMCAT = """<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1"><Service name="Catalina">
<Connector port="8445" SSLEnabled="true"><SSLHostConfig>
<Certificate certificateFile="%C/tomcat.crt" certificateKeyFile="%C/tomcat.key"/>
</SSLHostConfig></Connector>
<Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="nothing"/></Engine>
</Service></Server>
"""
POSTGRESQL = """autovacuum = off
checkpoint_timeout = 1d
wal_level = minimal
max_wal_senders = 0
ssl = on
ssl_cert_file = '%C/postgres.crt'
ssl_key_file = '%C/postgres.key'
"""
MARIADB = "[mysqld]\nssl-cert = %C/mysql.crt\nssl-key = %C/mysql.key\n"
EXIM = """
tls_certificate = %C/Debian-exim.crt
tls_privatekey = %C/Debian-exim.key
local_interfaces = 127.0.0.1
"""
PROFTPD = """
LoadModule mod_tls.c
TLSEngine on
TLSRSACertificateFile %C/mail.crt
TLSRSACertificateKeyFile %C/mail.key
"""


@dataclass(frozen=True)
class Server:
    """A kind of server: its file, what stands there, how it is broken, its unit, and where it listens."""

    config: str
    text: str
    broken: str
    unit: str
    listeners: tuple[str, ...]
    kept: bool = False  #: whether what the package has in the file stays there


SERVERS = {
    "lighttpd": Server(
        "/etc/lighttpd/lighttpd.conf", LIGHTTPD, "nonsense {", "lighttpd", ("127.0.0.1:8443",)
    ),
    "caddy": Server("/etc/caddy/Caddyfile", CADDY, "nonsense {", "caddy", ("127.0.0.1:8444",)),
    "postfix": Server(
        "/etc/postfix/main.cf", POSTFIX, "nonsense", "postfix", ("127.0.0.1:25/smtp",), kept=True
    ),
    "dovecot": Server(
        "/etc/dovecot/conf.d/10-ssl.conf",
        DOVECOT,
        "nonsense {",
        "dovecot",
        ("127.0.0.1:993", "127.0.0.1:995", "127.0.0.1:143/imap", "127.0.0.1:110/pop3"),
    ),
    "vsftpd": Server("/etc/vsftpd.conf", VSFTPD, "nonsense=1", "vsftpd", ("127.0.0.1:21/ftp",)),
    "tomcat": Server("/etc/tomcat10/server.xml", TOMCAT, "<nonsense", "tomcat10", ("127.0.0.1:8445",)),
    "postgresql": Server(
        "/etc/postgresql/15/main/conf.d/tls.conf",
        POSTGRESQL,
        "ssl = 'maybe",
        "postgresql@15-main",
        ("127.0.0.1:5432/postgres",),
    ),
    "mariadb": Server(
        "/etc/mysql/mariadb.conf.d/90-tls.cnf",
        MARIADB,
        "nonsense = 1\n[",
        "mariadb",
        ("127.0.0.1:3306/mysql",),
    ),
}
OTHERS = {
    "exim": Server("/etc/exim4/exim4.conf", EXIM, "begin nonsense", "exim4", ("127.0.0.1:25/smtp",)),
    "proftpd": Server(
        "/etc/proftpd/proftpd.conf", PROFTPD, "<Nonsense>", "proftpd", ("127.0.0.1:21/ftp",), kept=True
    ),
}
KINDS = {"servers": SERVERS, "others": OTHERS}
#: The accounts that must read a key themselves.
OWNERS = ("caddy", "tomcat", "postgres", "mysql", "Debian-exim")
LYING_ABOUT = "/etc/ssl/lying-about.crt"
CLEANER = "systemd-tmpfiles-clean.timer"
STATES = ("running", "broken", "stopped")
RIGHTS = ("root", "unprivileged")
Files = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Look:
    """One scan, and the files that are not as they were before it."""

    scanned: Scanned
    changes: dict[str, tuple[object, object]]


class Stage:
    """A host with all its kinds of server, which are stopped and put back afterwards."""

    def __init__(self, corpus: Corpus, kinds: dict[str, Server]) -> None:
        self.corpus = corpus
        self.host = corpus.host
        self.kinds = kinds
        self.units = [kind.unit for kind in kinds.values()]
        self.usual = {kind.config: "" for kind in kinds.values()}
        self.looks: dict[tuple[str, str], Look] = {}

    def set_up(self) -> None:
        """Every kind with a certificate that it may read."""
        self.corpus.certificates("web", "mail", *OWNERS)
        for owner in OWNERS:
            self.host.run(["chown", "-f", owner, f"{self.corpus.folder}/{owner}.key"], check=False)
        self.corpus.write(LYING_ABOUT, self.host.read(f"{self.corpus.folder}/web.crt"))
        for kind in self.kinds.values():
            self.usual[kind.config] = self.host.read(kind.config) if kind.kept else ""
        self.host.run(["systemctl", "stop", CLEANER])
        self.host.run(["rm", "-rf", "/root/.step"])  # what is there already nobody would see made

    def enter(self, state: str) -> None:
        """Running, running with a broken configuration on the disk, or stopped; in this order."""
        self._configure(broken=state == "broken")
        if state == "running":
            self.host.run(["systemctl", "reset-failed"])
            self.host.run(["systemctl", "start", *self.units], timeout=180)
            self.host.wait_until(self._all_serve, "not every server shows a certificate")
        elif state == "stopped":
            self.host.run(["systemctl", "stop", *self.units], timeout=120)
        self.host.wait_until(self._is_quiet, "its files change without us")

    def scanned(self, rights: str) -> Look:
        """What a scan says and what it changes."""
        before = self.files()
        scanned = scan(self.host, prefix=tuple(UNPRIVILEGED) if rights == "unprivileged" else ())
        return Look(scanned, _changes(before, self.files()))

    def _configure(self, *, broken: bool) -> None:
        for kind in self.kinds.values():
            text = self.usual[kind.config] + kind.text + (kind.broken + "\n" if broken else "")
            self.corpus.write(kind.config, text)

    def _all_serve(self) -> bool:
        listeners = [one for kind in self.kinds.values() for one in kind.listeners]
        asked = [{**handshake.listener(one)._asdict(), "name": "caddy.test"} for one in listeners]
        answers = send(self.host, {"op": "probe", "endpoints": asked})["endpoints"]
        return all(answer["fingerprint_sha256"] for answer in answers)

    def _is_quiet(self) -> bool:
        return self.files() == self.files()

    def put_back(self) -> None:
        """Nothing runs, and every file is as it was."""
        self.host.run(["systemctl", "stop", *self.units], timeout=120)
        self.corpus.put_back()
        self.host.run(["systemctl", "reset-failed"])
        self.host.run(["systemctl", "start", CLEANER])

    def files(self) -> Files:
        """Every file with its mode, owner, time of change and content."""
        told: dict[str, list[object]] = json.loads(self.host.run(["python3", "-"], input=SNAPSHOT).stdout)
        return {path: tuple(about[:3] if _is_own_work(path) else about) for path, about in told.items()}


def _is_own_work(path: str) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in OWN_WORK)


def _changes(before: Files, after: Files) -> dict[str, tuple[object, object]]:
    """What was and what is, of every file where that differs."""
    return {
        path: (before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }


@pytest.fixture(scope="module", params=sorted(KINDS))
def stage(services_lab: Lab, authority: Authority, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Each of the two hosts in turn, looked at in every state with all rights and with none."""
    name: str = request.param
    stage = Stage(Corpus(services_lab.hosts[name], authority, "/srv/stage"), KINDS[name])
    try:
        stage.set_up()
        for state in STATES:
            stage.enter(state)
            stage.looks.update({(state, rights): stage.scanned(rights) for rights in RIGHTS})
        yield stage
    finally:
        stage.put_back()


@pytest.mark.parametrize("rights", RIGHTS)
@pytest.mark.parametrize("state", STATES)
def test_a_scan_of_all_kinds_changes_nothing(stage: Stage, state: str, rights: str) -> None:
    look = stage.looks[state, rights]
    assert look.changes == {}
    services = look.scanned.result["server"]["services"]
    assert {one["name"]: one["running"] for one in services if one["name"] in stage.kinds} == dict.fromkeys(
        stage.kinds, state != "stopped"
    )
    assert not [one for one in services if "incomplete" in one]
    if rights == "root":
        assert stage.kinds.keys() | {"files"} <= {one["service"] for one in look.scanned.bindings}
