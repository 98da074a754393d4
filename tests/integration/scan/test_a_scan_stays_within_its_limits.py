"""Whatever a configuration leads to, a scan ends in time, keeps what it has found, and changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

FOLDER = "/srv/limits"
#: A scan that has its 15 to 20 seconds ends well before this on any machine; without limits none would.
AMPLE = 60
#: What a hostile or broken host has beside its configuration; FOLDER is where.
ODD_FILES = """
set -e
mkdir -p FOLDER/many FOLDER/folder FOLDER/deep
cd FOLDER
mkfifo pipe
mknod zero c 1 5
mknod tty c 5 0
ln -s loop loop
ln -s /proc/self/mem memory
python3 - <<'END'
import socket
socket.socket(socket.AF_UNIX).bind("socket")
for number in range(100000):
    open("many/%06d.conf" % number, "wb").close()
open("line", "wb").write(b"# " + b"x" * (1 << 20) + b"\\n")
open("long", "wb").write(b"a" * (1 << 20))
open("large", "wb").truncate(1 << 34)
open("zeros", "wb").write(b"# \\0\\0 zero\\n")
open("latin", "wb").write(b"# caf\\xe9 \\xff\\n")
END
"""
KINDS = {
    "nginx": (
        "web1",
        "/etc/nginx/conf.d/zz-limits.conf",
        """server {{ listen 8460 ssl; server_name caf\udce9.test ok.test;
        ssl_certificate {0}/ok.pem; ssl_certificate_key {0}/ok.pem; }}
        """,
        "include {};\n",
    ),
    "apache": (
        "apache1",
        "/etc/apache2/sites-enabled/zz-limits.conf",
        """Listen 8460
        <VirtualHost *:8460>
          ServerName ok.test
          ServerAlias caf\udce9.test
          SSLEngine on
          SSLCertificateFile {0}/ok.pem
        </VirtualHost>
        """,
        "IncludeOptional {}\n",
    ),
    "haproxy": (
        "haproxy1",
        "/etc/haproxy/haproxy.cfg",
        """
frontend limits
  mode http
  timeout client 5s
  bind :8460 ssl crt {0}/ok.pem # caf\udce9
""",
        "  bind :8461 ssl crt-list {}\n",
    ),
}
TOLD = ("pipe", "zero", "tty", "loop", "memory", "socket", "large")
NAMES = (*TOLD, "folder", "line", "long", "zeros", "latin")


@pytest.fixture(params=sorted(KINDS), scope="module")
def odd(small_lab: Lab, corpus_authority: Authority, request: pytest.FixtureRequest) -> Iterator[Odd]:
    """A host whose server's configuration leads to all of it, though the server was never told."""
    kind: str = request.param
    name, config, good, include = KINDS[kind]
    corpus = Corpus(small_lab.hosts[name], corpus_authority, FOLDER)
    corpus.certificates("ok")
    corpus.host.run(["sh", "-c", ODD_FILES.replace("FOLDER", FOLDER)])
    before = corpus.host.read(config) if corpus.host.exists(config) else ""
    found = Odd(corpus, kind, config, before + good.format(FOLDER), include)
    corpus.write(config, "")
    yield found
    corpus.put_back()


class Odd:
    """A host, and its configuration with something odd in it."""

    def __init__(self, corpus: Corpus, kind: str, config: str, good: str, include: str) -> None:
        self.corpus = corpus
        self.kind = kind
        self.config = config
        self.good = good
        self.include = include

    def scan(self, *paths: str, seconds: float = 20, prefix: tuple[str, ...] = ()) -> tuple[Scanned, float]:
        """What a scan finds while the configuration includes these paths, and how long it takes."""
        text = self.good + "".join(self.include.format(path) for path in paths)
        self.corpus.host.write(self.config, text.encode("utf-8", "surrogateescape"))
        began = time.monotonic()
        scanned = scan(self.corpus.host, self.kind, timeout=seconds, handshakes=False, prefix=prefix)
        return scanned, time.monotonic() - began

    def is_found(self, scanned: Scanned) -> bool:
        """Whether what stands before the odd things is in the scan."""
        return set(self.corpus.fingerprints) <= {one["certificate"] for one in scanned.bindings}


def test_what_is_no_file_stops_nothing(odd: Odd) -> None:
    scanned, seconds = odd.scan(*(f"{FOLDER}/{name}" for name in NAMES))
    assert odd.is_found(scanned)
    assert seconds < AMPLE
    told = "\n".join(f"{one['file']} {one['message']}" for one in scanned.result["warnings"])
    for name in TOLD:
        assert f"{FOLDER}/{name}" in told, name


def test_a_hundred_thousand_files_end_in_time(odd: Odd) -> None:
    scanned, seconds = odd.scan(f"{FOLDER}/many/*.conf", f"{FOLDER}/many", seconds=15)
    assert odd.is_found(scanned)
    assert seconds < AMPLE
    (about,) = scanned.result["server"]["services"]
    assert about["name"] == odd.kind


def test_a_configuration_that_includes_itself_ends(odd: Odd) -> None:
    odd.corpus.host.write(f"{FOLDER}/a.inc", odd.include.format(f"{FOLDER}/b.inc") * 9)
    odd.corpus.host.write(f"{FOLDER}/b.inc", odd.include.format(f"{FOLDER}/[ab].inc") * 9)
    scanned, seconds = odd.scan(f"{FOLDER}/a.inc", odd.config)
    assert odd.is_found(scanned)
    assert seconds < AMPLE


def test_a_file_that_grows_while_it_is_read_ends(odd: Odd) -> None:
    host = odd.corpus.host
    script = f'while :; do head -c 1000000 /dev/zero | tr "\\0" "#"; done > {FOLDER}/growing'
    host.run(["systemd-run", "--unit=grower", "sh", "-c", script])
    try:
        host.wait_until(lambda: host.exists(f"{FOLDER}/growing"), "nothing grows", 60)
        scanned, seconds = odd.scan(f"{FOLDER}/growing")
    finally:
        host.run(["systemctl", "stop", "grower"])
    assert odd.is_found(scanned)
    assert seconds < AMPLE


def test_the_whole_disk_for_a_configuration_is_left_soon(odd: Odd) -> None:
    scanned, seconds = odd.scan("/", "/usr/lib", "/*/*/*", seconds=15)
    assert odd.is_found(scanned)
    assert seconds < AMPLE


def test_an_odd_scan_changes_nothing_with_and_without_rights(odd: Odd) -> None:
    host = odd.corpus.host
    find = ["find", "/etc", "/srv", "/var", "/usr/local", "/root", "-not", "-path", "/var/log/journal/*"]
    command = [*find, "-not", "-path", f"{FOLDER}/many/*", "-printf", "%p %y %m %u %g %s %T@ %C@ %l\\n"]
    odd.scan()
    for prefix in ((), tuple(UNPRIVILEGED)):
        before = host.run(command).stdout
        scanned = scan(host, prefix=prefix)
        assert scanned.bindings
        assert host.run(command).stdout == before


def test_without_rights_everything_that_was_not_read_is_listed(odd: Odd) -> None:
    host = odd.corpus.host
    odd.corpus.host.write(f"{FOLDER}/closed.inc", "# nothing\n", 0o600)
    scanned, _seconds = odd.scan(f"{FOLDER}/closed.inc", prefix=tuple(UNPRIVILEGED))
    unread = {
        file["path"]
        for one in scanned.bindings
        for file in one["files"]
        if file["sha256"] is None and "unreadable" in {problem["kind"] for problem in one["problems"]}
    }
    assert f"{FOLDER}/ok.pem" in unread
    told = [f"{one['file']} {one['message']}" for one in scanned.result["warnings"]]
    assert any("closed.inc" in line and "Permission denied" in line for line in told), told
    assert host.exists(f"{FOLDER}/closed.inc")


@pytest.fixture
def replaced(small_lab: Lab) -> Iterator[LabHost]:
    """A host whose HAProxy may be replaced by another program."""
    host = small_lab.hosts["web1"]  # it is not running there
    host.run(["cp", "-a", "/usr/sbin/haproxy", "/usr/sbin/haproxy.kept"])
    yield host
    host.run(["mv", "/usr/sbin/haproxy.kept", "/usr/sbin/haproxy"])


@pytest.mark.parametrize("does", ["exec cat /dev/zero", "exec sleep 1000", "sleep 1000 & exec >&- 2>&-"])
def test_a_program_that_hangs_or_talks_for_ever_is_ended(replaced: LabHost, does: str) -> None:
    replaced.run(["rm", "/usr/sbin/haproxy"])
    replaced.write("/usr/sbin/haproxy", f"#!/bin/sh\n{does}\n", 0o755)
    began = time.monotonic()
    scanned = scan(replaced, "nginx", "haproxy")
    assert time.monotonic() - began < AMPLE
    assert {one["name"] for one in scanned.result["server"]["services"]} == {"nginx", "haproxy"}
    assert any(one["service"] == "nginx" for one in scanned.bindings)
    assert replaced.pids("sleep") == []
    assert replaced.pids("cat") == []
