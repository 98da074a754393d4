"""Opens the rooms of one process: database, custody, where runs happen."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from notafter.custody.custodian import Custodian
from notafter.custody.kek import KekSource
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record import Desk
from notafter.lifecycle.unlock import require, unlock
from notafter.runner.run import Workshop, runtime_folder
from notafter.settings import Settings
from notafter.store.database import Database


def clock() -> datetime:
    """Read the clock; everything below takes `now` as an argument."""
    return datetime.now(UTC)  # noqa: TID251 -- this is the edge


@dataclass(frozen=True)
class Rooms:
    """The opened rooms of one process."""

    settings: Settings
    database: Database
    custodian: Custodian
    workshop: Workshop
    limits: Limits

    @property
    def desk(self) -> Desk:
        """Where results are written."""
        return Desk(self.database, self.custodian)


def database(settings: Settings) -> Database:
    """Return the database, unopened."""
    return Database(settings.database)


@contextlib.contextmanager
def rooms(settings: Settings) -> Iterator[Rooms]:
    """Open the rooms: the schema up to date, custody with the right key."""
    opened, kek = database(settings), kek_source(settings)
    try:
        require(opened, kek)
        opened.migrate()
        yield Rooms(
            settings=settings,
            database=opened,
            custodian=unlock(opened, kek),
            workshop=_workshop(settings),
            limits=Limits(
                certificates_per_job=settings.certificates_per_job,
                scan_interval=settings.scan_interval,
            ),
        )
    finally:
        opened.close()


def kek_source(settings: Settings) -> KekSource:
    """Return where the key-encryption key comes from, and the one that is to follow it."""
    return KekSource(
        settings.kek_path,
        text=_said(settings.kek),
        command=settings.kek_command,
        next_text=_said(settings.kek_next),
        next_command=settings.kek_next_command,
    )


def _said(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _workshop(settings: Settings) -> Workshop:
    return Workshop(
        project=settings.project.expanduser().resolve(),
        inventory=settings.inventory_path,
        runtime=runtime_folder(settings.home),
        api_url=settings.runs_reach,
        timeout=settings.job_timeout_seconds,
    )
