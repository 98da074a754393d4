"""Opens the database: a door for reading, a door for writing, migrations at start.

Both kinds keep the same rules: writers are one after the other, from the moment they begin, and a reader
sees one moment. What else is of one kind only is in sqlite.py and postgresql.py.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Protocol

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from notafter.domain.errors import DatabaseNotReady, DatabaseTooNew, StoreError
from notafter.store import outdated, postgresql, seals, sqlite

__all__ = ["Database", "Session", "Writer"]

_BUSY_SECONDS = 30
_WRITES = "notafter_writes"
_KINDS: Mapping[str, ModuleType] = {"sqlite": sqlite, "postgresql": postgresql}


class Writer(Protocol):
    """A way to write: the database itself, or one that puts on record who does it."""

    def write(self) -> AbstractContextManager[Session]:
        """Open a transaction that may write."""


class _Writing(Session):
    """A session that may write; whatever it puts under seal is looked at, and whose findings it outdates."""


event.listen(_Writing, "before_flush", seals.refuse_retired)
outdated.watch(_Writing)


class Database:
    """One database, with a door for reading and a door for writing."""

    def __init__(self, url: str, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Prepare the engine; nothing is opened yet. A writer waits so long for another one."""
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise StoreError(f"this is no address of a database: {_EXAMPLES}") from error
        kind = _KINDS.get(self.url.get_backend_name())
        if kind is None:
            raise StoreError(f"{self.url.get_backend_name()} cannot be used: {_EXAMPLES}")
        self._kind = kind
        self.engine = kind.engine(self.url, busy_seconds)
        event.listen(self.engine, "begin", self._begin)
        self._writer = self.engine.execution_options(**{_WRITES: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that sees one moment of the database and changes nothing."""
        with self._named(), Session(self.engine, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may write; it is committed unless something is raised."""
        with self._named(), _Writing(self._writer) as session, session.begin():
            yield session

    def is_there(self) -> bool:
        """Tell whether there may be a database; nothing is made by asking."""
        return bool(self._kind.is_there(self.url))

    def require_room(self, needed: int) -> None:
        """Refuse what could not be put on record later, for want of so many bytes."""
        self._kind.require_room(self.url, needed)

    def migrate(self) -> str:
        """Bring the schema up to this program's; return the revision."""
        self._kind.make_room(self.url)
        config = _config()
        with self._named(), self._writer.begin() as connection:
            _refuse_newer(connection, config)
            self._kind.take_your_time(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return str(ScriptDirectory.from_config(config).get_current_head())

    def check(self) -> None:
        """Refuse a database that this program does not understand."""
        config = _config()
        with self._named(), self.engine.connect() as connection:
            _refuse_newer(connection, config)
            head = ScriptDirectory.from_config(config).get_current_head()
            if MigrationContext.configure(connection).get_current_revision() != head:
                raise DatabaseNotReady(
                    f"{self._kind.place(self.url)} is not up to date: run `notafter migrate`"
                )

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _begin(self, connection: Connection) -> None:
        self._kind.begin(connection, writes=connection.get_execution_options().get(_WRITES, False))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Call what keeps the database from being used by its name."""
        try:
            yield
        except SQLAlchemyError as error:
            named = self._kind.named(error, self.url)
            if named is None:
                raise
            raise named from error


_EXAMPLES = "sqlite:////path/to/file.db or postgresql://user:password@host/database is"


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
