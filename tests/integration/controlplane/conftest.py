"""Every test gets a control plane of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import structlog
from argon2 import PasswordHasher
from notafter.custody import passwords

from tests.integration.controlplane.people import People
from tests.integration.controlplane.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def short_logs() -> None:
    """Log one plain line an event: drawn tracebacks take seconds."""
    structlog.configure(processors=[structlog.processors.JSONRenderer(default=str)])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A control plane whose inventory has one server."""
    made = Stage(tmp_path)
    yield made
    made.database.close()
    shutil.rmtree(made.workshop.runtime, ignore_errors=True)


@pytest.fixture
def people(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """The API of a control plane and whoever uses it; their passwords are hashed with little effort."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    with People(stage) as made:
        yield made
