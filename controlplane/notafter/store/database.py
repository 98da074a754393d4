"""Opens the database: SQLite in WAL mode, writers that never find it locked, migrations at start."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from notafter.domain.errors import DatabaseBusy, DatabaseFull, DatabaseNotReady, DatabaseTooNew, StoreError

__all__ = ["Database", "Session", "Writer"]

_BUSY_SECONDS = 30
_PRIMARY = 0xFF  # of an extended result code (https://www.sqlite.org/rescode.html)
_WRITES = "notafter_writes"


class Writer(Protocol):
    """A way to write: the database itself, or one that puts on record who does it."""

    def write(self) -> AbstractContextManager[Session]:
        """Open a transaction that may write."""


class Database:
    """One database, with a door for reading and a door for writing."""

    def __init__(self, url: str, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Prepare the engine; nothing is opened yet. A writer waits so long for another one."""
        if make_url(url).get_backend_name() != "sqlite":
            raise StoreError("only SQLite databases can be used: sqlite:////path/to/file.db")
        self.url = url
        self.engine = create_engine(
            url,
            connect_args={"timeout": busy_seconds},
            hide_parameters=True,  # an error's text goes to logs
        )
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)
        self._writer = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one moment of the database and changes nothing."""
        with _named(self.url), Session(self.engine, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may write; it is committed unless something is raised."""
        with _named(self.url), Session(self._writer) as session, session.begin():
            yield session

    def require_room(self, needed: int) -> None:
        """Refuse what could not be put on record later: so many bytes are written, and removed again."""
        path = make_url(self.url).database
        if not path or path == ":memory:":
            return
        try:
            with tempfile.NamedTemporaryFile(dir=Path(path).parent, prefix=".room-") as probe:
                probe.write(bytes(needed))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            told = f"there is no room for {needed // 1024} KiB beside {path}: {error.strerror}"
            raise DatabaseFull(f"{told}; free some space, then it goes on by itself") from error

    def migrate(self) -> str:
        """Bring the schema up to this program's; return the revision."""
        _make_room(self.url)
        config = _config()
        with _named(self.url), self._writer.begin() as connection:
            _refuse_newer(connection, config)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return str(ScriptDirectory.from_config(config).get_current_head())

    def check(self) -> None:
        """Refuse a database that this program does not understand."""
        config = _config()
        with _named(self.url), self.engine.connect() as connection:
            _refuse_newer(connection, config)
            head = ScriptDirectory.from_config(config).get_current_head()
            if MigrationContext.configure(connection).get_current_revision() != head:
                raise DatabaseNotReady(f"{_place(self.url)} is not up to date: run `notafter migrate`")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare(connection: DBAPIConnection, _record: object) -> None:
    """Set up a new connection; transactions are begun by us, not by the driver."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at once: a reader that turns writer finds the database locked."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "notafter.store:migrations")
    return config


def _refuse_newer(connection: Connection, config: Config) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseTooNew(
            f"the database was written by a newer notafter (revision {current}):"
            " install that version, or restore a back-up",
        )


def _make_room(url: str) -> None:
    path = make_url(url).database
    if path and path != ":memory:":
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error.strerror}") from error


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Call what keeps the database from being used by its name."""
    try:
        yield
    except OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & _PRIMARY
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise DatabaseBusy(f"{_place(url)} was held by somebody else for too long: try again") from error
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise DatabaseFull(f"{_place(url)} cannot be written: {error.orig}") from error
        if code == sqlite3.SQLITE_ERROR:  # the statement is wrong, not the database
            raise
        raise StoreError(f"{_place(url)} cannot be opened: {error.orig}") from error


def _place(url: str) -> str:
    return make_url(url).database or url
