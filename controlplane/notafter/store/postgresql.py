"""PostgreSQL, with the rules of SQLite: one writer at a time, and readers that see one moment.

Writers take a lock of the whole database at once, so that what a transaction has looked at is still so
when it writes (docs/decisions/0015). A writer that stands still loses its connection, and with it the lock.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolEmpty

from notafter.domain.errors import DatabaseAway, DatabaseBusy, DatabaseFull, StoreError

#: Of all advisory locks of this database ours is this one ("notafter", as a number).
_WRITERS = 0x6E6F746166746572
_CONNECT_SECONDS = 10
#: After this an open transaction that does nothing ends, and after that a statement.
_IDLE_SECONDS = 60
_STATEMENT_SECONDS = 120
_POOL, _MORE = 10, 30

# https://www.postgresql.org/docs/15/errcodes-appendix.html
_MEANS: Mapping[str, type[StoreError]] = {
    "55P03": DatabaseBusy,  # lock_not_available
    "57014": DatabaseBusy,  # query_canceled: it took too long
    "40001": DatabaseBusy,  # serialization_failure
    "40P01": DatabaseBusy,  # deadlock_detected
    "53100": DatabaseFull,  # disk_full
    "53300": DatabaseAway,  # too_many_connections
    "57P01": DatabaseAway,  # admin_shutdown
    "57P02": DatabaseAway,  # crash_shutdown
    "57P03": DatabaseAway,  # cannot_connect_now
    "25P03": DatabaseAway,  # idle_in_transaction_session_timeout
    "25006": DatabaseAway,  # read_only_sql_transaction: a standby
    "28000": StoreError,  # invalid_authorization_specification
    "28P01": StoreError,  # invalid_password
    "3D000": StoreError,  # invalid_catalog_name
    "42501": StoreError,  # insufficient_privilege
}
_CONNECTION = "08"
_SENTENCES: Mapping[type[StoreError], str] = {
    DatabaseBusy: "{place} was held by somebody else for too long: try again",
    DatabaseFull: "{place} cannot be written: {told}",
    DatabaseAway: "{place} does not answer: {told}",
    StoreError: "{place} cannot be opened: {told}",
}


def engine(url: URL, busy_seconds: float) -> Engine:
    """Return an engine; nothing is opened yet. A writer waits so long for another one."""
    limits = {
        "lock_timeout": busy_seconds,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS,
        "statement_timeout": _STATEMENT_SECONDS,
    }
    options = " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items())
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "notafter",
            "options": options,
        },
        pool_size=_POOL,
        max_overflow=_MORE,
        pool_timeout=busy_seconds,
        pool_pre_ping=True,  # a connection that a restart has ended is replaced before it is used
        hide_parameters=True,
    )


def begin(connection: Connection, *, writes: bool) -> None:
    """Be the only writer, or see one moment and change nothing."""
    if writes:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%(key)s)", {"key": _WRITERS})
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def take_your_time(connection: Connection) -> None:
    """Let the statements of this transaction take long: an index of a large table does."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def place(url: URL) -> str:
    """Return what messages call it."""
    return f"the database {url.database} at {url.host or 'this machine'}"


def named(error: SQLAlchemyError, url: URL) -> StoreError | None:
    """Return what keeps the database from being used, by its name; None where the statement is wrong."""
    if isinstance(error, PoolEmpty):
        return DatabaseBusy(f"all connections to {place(url)} are in use: try again")
    if not isinstance(error, OperationalError | InternalError | ProgrammingError):
        return None
    kind = _means(error)
    if kind is None:
        return None
    return kind(_SENTENCES[kind].format(place=place(url), told=_first_line(error)))


def _means(error: DBAPIError) -> type[StoreError] | None:
    code = getattr(error.orig, "sqlstate", None) or ""
    if code in _MEANS:
        return _MEANS[code]
    lost = error.connection_invalidated or code.startswith(_CONNECTION)
    return DatabaseAway if lost or (isinstance(error, OperationalError) and not code) else None


def is_there(_url: URL) -> bool:
    """It must be there."""
    return True


def require_room(_url: URL, _needed: int) -> None:
    """Its disk is elsewhere: that it is full is seen when something is written."""


def make_room(_url: URL) -> None:
    """The database must be there; its tables are made by the migrations."""


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).strip().splitlines() or ["it does not say why"])[0]
