"""A user's own program that calls itself a server beside a real one: root believes no word of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import Corpus, Scanned, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

HOME = "/home/evil"
SECRET = "/etc/only-root-reads-this"
CONTENT = "what only root may know\n"
#: Writes another name, command line and environment over its own, as setproctitle does; then waits.
IMPOSTOR = r"""
import ctypes, sys, time
name, words, environment = sys.argv[1:4]
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
places = [int(field) for field in fields[45:49]]
for (start, end), text in zip((places[:2], places[2:]), (words, environment)):
    data = text.replace(" ", "\0").encode() if text[:1] == "-" else text.replace("|", "\0").encode()
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, data, min(len(data), end - start - 1))
ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
open("%s/ready", "w").close()
time.sleep(600)
""".replace("%s", HOME)


@dataclass(frozen=True)
class Claim:
    """A server that is claimed to be: its host, its process's name and words (`|` parts them), its file."""

    kind: str
    host: str
    name: str
    words: str
    file: str
    text: str


NGINX = """events {{}}
http {{ include {secret}; server {{ listen 8472 ssl; server_name evil.test;
  ssl_certificate {home}/cert.pem; ssl_certificate_key {secret}; }} }}
"""
#: With this one it starts; what it is told afterwards it has not read yet.
HARMLESS = """pid {home}/pid; error_log {home}/log; events {{}}
http {{ access_log off; client_body_temp_path {home}/t1; proxy_temp_path {home}/t2;
  fastcgi_temp_path {home}/t3; uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
  server {{ listen 8472; }} }}
"""
HAPROXY = """global
  lua-load {home}/run.lua
frontend evil
  bind :8472 ssl crt {home}/cert.pem crt {secret}
"""
APACHE = """LoadModule evil_module {home}/evil.so
Include {secret}
Listen 8472
<VirtualHost *:8472>
  ServerName evil.test
  SSLEngine on
  SSLCertificateFile {home}/cert.pem
  SSLCertificateKeyFile {secret}
</VirtualHost>
"""
POSTGRESQL = """ssl = on
include '{secret}'
ssl_cert_file = '{home}/cert.pem'
ssl_key_file = '{secret}'
"""
CLAIMS = {
    "nginx": Claim(
        "nginx",
        "web1",
        "nginx",
        f"nginx: master process /usr/sbin/nginx -c {HOME}/nginx.conf",
        "nginx.conf",
        NGINX,
    ),
    "haproxy": Claim(
        "haproxy",
        "haproxy1",
        "haproxy",
        f"/usr/sbin/haproxy|-Ws|-f|{HOME}/haproxy.cfg",
        "haproxy.cfg",
        HAPROXY,
    ),
    "apache": Claim(
        "apache",
        "apache1",
        "apache2",
        f"/usr/sbin/apache2|-f|{HOME}/apache.conf|-k|start",
        "apache.conf",
        APACHE,
    ),
    "postgresql": Claim(
        "postgresql",
        "servers",
        "postgres",
        f"/usr/lib/postgresql/15/bin/postgres|-D|{HOME}",
        "postgresql.conf",
        POSTGRESQL,
    ),
}


CLUSTER = "postgresql@15-main"
#: The real cluster beside the one that is claimed to be.
TLS = "ssl = on\nssl_cert_file = '%C/real.crt'\nssl_key_file = '%C/real.key'\n"


class Impostor:
    """The user's home with a program that tells when it runs, and who runs it."""

    def __init__(self, host: LabHost, corpus: Corpus, claim: Claim) -> None:
        self.host = host
        self.claim = claim
        self.user = ""
        self.corpus = corpus

    def set_up(self) -> None:
        """A Python of the user's own, which runs a line of his whenever it begins."""
        host = self.host
        host.run(["useradd", "--create-home", "--home-dir", HOME, "evil"])
        self.user = host.run(["id", "-u", "evil"]).stdout.strip()
        python = host.run(["readlink", "-f", "/usr/bin/python3"]).stdout.strip()
        site = f"{HOME}/lib/{python.rpartition('/')[2]}/site-packages"
        host.run(["install", "-D", python, f"{HOME}/bin/{self.claim.name}"])
        host.write(f"{HOME}/pyvenv.cfg", "home = /usr/bin\n")
        told = f"import os; open('{HOME}/ran-as-%d' % os.getuid(), 'w').close()\n"
        host.write(f"{site}/evil.pth", told)
        host.write(f"{HOME}/impostor.py", IMPOSTOR)
        self.corpus.write(SECRET, CONTENT)
        host.run(["chmod", "600", SECRET])
        issued = self.corpus.authority.issue("evil.test")
        host.write(f"{HOME}/cert.pem", issued.certificate)
        text = self.claim.text.format(home=HOME, secret=SECRET)
        host.write(f"{HOME}/{self.claim.file}", text)
        if self.claim.host == "servers":
            self.corpus.certificates("real")
            host.run(["chown", "postgres:", f"{self.corpus.folder}/real.key"])
            self.corpus.write("/etc/postgresql/15/main/conf.d/tls.conf", TLS)
            host.run(["systemctl", "start", CLUSTER])
        host.run(["chown", "-R", "evil:", HOME])
        host.run(["chmod", "755", HOME])

    def start(self, program: str) -> None:
        """Runs the impostor as the user, by a program."""
        self.host.run(["rm", "-f", f"{HOME}/ready"])
        words = [program, f"{HOME}/impostor.py", self.claim.name, self.claim.words, f"PGDATA={HOME}"]
        self.run(*words, "x" * 400)
        self.host.wait_until(lambda: self.host.exists(f"{HOME}/ready"), "nobody pretends to be a server", 60)

    def run(self, *words: str) -> None:
        """Runs a program of the user's in the background."""
        command = ["setpriv", "--reuid", "evil", "--regid", "evil", "--clear-groups", "--", *words]
        background = 'setsid "$@" </dev/null >/dev/null 2>&1 &'
        self.host.run(["sh", "-c", background, "sh", *command], env={"SPACE": "x" * 400})

    def stop(self) -> None:
        self.host.run(["pkill", "-KILL", "-u", "evil"], check=False)

    def put_back(self) -> None:
        self.stop()
        if self.claim.host == "servers":
            self.host.run(["systemctl", "stop", CLUSTER])
        self.corpus.put_back()
        self.host.wait_until(
            lambda: self.host.run(["userdel", "--remove", "evil"], check=False).returncode in {0, 6, 12},
            "the user stays",
            60,
        )
        self.host.run(["rm", "-rf", HOME])


@pytest.fixture(params=sorted(CLAIMS))
def impostor(
    small_lab: Lab, corpus_authority: Authority, request: pytest.FixtureRequest
) -> Iterator[Impostor]:
    """A user who is ready to pretend, on a host with a real server."""
    claim = CLAIMS[request.param]
    host = request.getfixturevalue("servers") if claim.host == "servers" else small_lab.hosts[claim.host]
    found = Impostor(host, Corpus(host, corpus_authority, "/srv/impostor"), claim)
    try:
        found.set_up()
        yield found
    finally:
        found.put_back()


def told(scanned: Scanned) -> list[list[object]]:
    """What does not depend on who else runs here."""
    fields = ("service", "config_file", "line", "names", "listeners", "certificate")
    return [[one[field] for field in fields] for one in scanned.bindings]


def believed(scanned: Scanned) -> list[str]:
    """What of the user's own, or of what he may not read, is in what a scan says."""
    text = json.dumps(scanned.raw)
    digest = hashlib.sha256(CONTENT.encode()).hexdigest()
    return [word for word in (HOME, SECRET, CONTENT.strip(), digest, "evil.test") if word in text]


def test_nothing_that_it_says_is_read_or_run_by_root(impostor: Impostor) -> None:
    host, claim = impostor.host, impostor.claim
    before = scan(host, claim.kind, "files")
    assert claim.kind in {one["service"] for one in before.bindings}
    for program in (f"{HOME}/bin/{claim.name}", "/usr/bin/python3"):
        impostor.start(program)
        assert HOME in host.run(["pgrep", "-u", "evil", "-a", "-x", claim.name]).stdout
        scanned = scan(host, claim.kind, "files")
        impostor.stop()
        assert believed(scanned) == []
        assert told(scanned) == told(before)
        assert any("is not root's" in message for message in scanned.warned())
    assert host.exists(f"{HOME}/ran-as-{impostor.user}")
    assert not host.exists(f"{HOME}/ran-as-0")


@pytest.mark.parametrize("impostor", ["nginx"], indirect=True)
def test_root_s_own_program_under_a_user_s_orders_is_not_believed(impostor: Impostor) -> None:
    host = impostor.host
    before = scan(host, "nginx", "files")
    config = f"{HOME}/nginx.conf"
    evil = host.read(config)
    host.write(config, HARMLESS.format(home=HOME))
    impostor.run("/usr/sbin/nginx", "-c", config)
    host.wait_until(lambda: ":8472 " in host.run(["ss", "-Hltn"]).stdout, "the user's nginx does not listen")
    host.write(config, evil)
    scanned = scan(host, "nginx", "files")
    assert believed(scanned) == []
    assert told(scanned) == told(before)
    assert any("is not root's" in message for message in scanned.warned())
