"""A PostgreSQL of our own: Debian's, from the image of the lab, on a socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.lab import image, layers

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "notafter"
#: PostgreSQL does not run as root.
_AS = "nobody"
_PATIENCE = 60.0
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200")


class Postgresql:
    """A server that runs."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder

    def url(self, database: str) -> str:
        """The address of a database, as an operator would set it."""
        return f"postgresql://{_USER}@/{database}?host={self.folder}"

    def make(self, database: str, template: str = "template0") -> str:
        """Make a database, as a copy of another one; return its address."""
        self._do(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        """Drop a database and whoever is in it."""
        self._do(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def initialise(self) -> None:
        """Make the folder that its databases are in."""
        words = ["--username", _USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8"]
        assert self._start("initdb", *words).wait() == 0, self.said

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = [word for one in _FAST for word in ("-c", one)]
        self._server = self._start("postgres", "-k", str(self.folder), "-c", "listen_addresses=", *options)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._server.poll() is None, self.said
                assert time.monotonic() < deadline, self.said
                time.sleep(0.02)
            else:
                return

    def stop(self, *, crash: bool = False) -> None:
        """Stop it, and whoever is connected; a crash leaves its files as they are just then."""
        self._server.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        self._server.wait(_PATIENCE)

    @property
    def said(self) -> str:
        """What it had to say."""
        return (self.folder / "said").read_text()

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of its programs as a user that is not root."""
        user = pwd.getpwnam(_AS)
        libraries = self.programs.parents[2] / f"{os.uname().machine}-linux-gnu"
        root = os.geteuid() == 0
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(
                [self.programs / program, "-D", self.folder / "data", *arguments],
                user=user.pw_uid if root else None,
                group=user.pw_gid if root else None,
                extra_groups=[] if root else None,
                cwd=self.folder,
                env={"LD_LIBRARY_PATH": str(libraries), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def _do(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """Start a server; it is gone afterwards with all that was in it."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path must be short
    server = Postgresql(_programs(), folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _AS)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop(crash=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of its programs, as Debian's package has it."""
    layer = layers.ready(image.ready_image(), layers.Layer.SERVERS)
    (found,) = layer.glob("usr/lib/postgresql/*/bin")
    return found
