"""Every test gets a control plane of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import structlog

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
