"""Every test gets a control plane of its own."""

from __future__ import annotations

import shutil
import uuid
from typing import TYPE_CHECKING

import pytest
import structlog
from argon2 import PasswordHasher
from notafter.custody import passwords
from notafter.store.database import Database

from tests import kept
from tests.integration.controlplane.people import People
from tests.integration.controlplane.stage import Stage
from tests.postgresql import Postgresql, postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def short_logs() -> None:
    """Log one plain line an event: drawn tracebacks take seconds."""
    structlog.configure(processors=[structlog.processors.JSONRenderer(default=str)])


@pytest.fixture(scope="session")
def server() -> Iterator[Postgresql]:
    """A PostgreSQL with a database `migrated` that is up to date and empty."""
    with postgresql() as started:
        database = Database(started.make("migrated"))
        database.migrate()
        database.close()
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A control plane whose inventory has one server, on each kind of database."""
    if request.param == "sqlite":
        yield from _stage(tmp_path, None)
        return
    started: Postgresql = request.getfixturevalue("server")
    name = f"stage_{uuid.uuid4().hex}"
    try:
        yield from _stage(tmp_path, started.make(name, template="migrated"))
    finally:
        started.drop(name)


def _stage(folder: Path, database_url: str | None) -> Iterator[Stage]:
    made = Stage(folder, database_url=database_url)
    own = made.database
    try:
        yield made
        kept.check(own, made.clock())
    finally:
        own.close()
        made.database.close()
        shutil.rmtree(made.workshop.runtime, ignore_errors=True)


@pytest.fixture
def people(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """The API of a control plane and whoever uses it; their passwords are hashed with little effort."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    with People(stage) as made:
        yield made
