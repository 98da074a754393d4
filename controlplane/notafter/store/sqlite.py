"""SQLite: WAL mode, and writers that take the write lock at once, so that they never find it locked later."""

import os
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolEmpty

from notafter.domain.errors import DatabaseBusy, DatabaseFull, StoreError

#: Writers that wait hold a connection each; readers are to find one all the same.
_POOL, _MORE = 10, 50
_PRIMARY = 0xFF  # of an extended result code (https://www.sqlite.org/rescode.html)


def engine(url: URL, busy_seconds: float) -> Engine:
    """Return an engine; nothing is opened yet. A writer waits so long for another one."""
    pool = {"pool_size": _POOL, "max_overflow": _MORE, "pool_timeout": busy_seconds} if _path(url) else {}
    made = create_engine(url, connect_args={"timeout": busy_seconds}, hide_parameters=True, **pool)
    event.listen(made, "connect", _prepare)
    return made


def begin(connection: Connection, *, writes: bool) -> None:
    """Take the write lock at once: a reader that turns writer finds the database locked."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def take_your_time(_connection: Connection) -> None:
    """Let the statements of this transaction take long: here they may anyway."""


def place(url: URL) -> str:
    """Return what messages call it."""
    return url.database or str(url)


def named(error: SQLAlchemyError, url: URL) -> StoreError | None:
    """Return what keeps the database from being used, by its name; None where the statement is wrong."""
    if isinstance(error, PoolEmpty):
        return DatabaseBusy(f"all connections to {place(url)} are in use: try again")
    if not isinstance(error, OperationalError):
        return None
    code = getattr(error.orig, "sqlite_errorcode", 0) & _PRIMARY
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return DatabaseBusy(f"{place(url)} was held by somebody else for too long: try again")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return DatabaseFull(f"{place(url)} cannot be written: {error.orig}")
    if code == sqlite3.SQLITE_ERROR:
        return None
    return StoreError(f"{place(url)} cannot be opened: {error.orig}")


def is_there(url: URL) -> bool:
    """Tell whether there is a file of it."""
    path = _path(url)
    return path is None or path.exists()


def require_room(url: URL, needed: int) -> None:
    """Refuse what could not be put on record later: so many bytes are written, and removed again."""
    path = _path(url)
    if path is None:
        return
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".room-") as probe:
            probe.write(bytes(needed))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        told = f"there is no room for {needed // 1024} KiB beside {path}: {error.strerror}"
        raise DatabaseFull(f"{told}; free some space, then it goes on by itself") from error


def make_room(url: URL) -> None:
    """Make the folder that the database is to be in."""
    path = _path(url)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}") from error


def _path(url: URL) -> Path | None:
    return Path(url.database) if url.database and url.database != ":memory:" else None


def _prepare(connection: DBAPIConnection, _record: object) -> None:
    """Set up a new connection; transactions are begun by us, not by the driver."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
