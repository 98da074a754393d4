"""Every test gets a stage of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.integration.controlplane.stage import Stage


@pytest.fixture(scope="session", autouse=True)
def short_logs() -> None:
    """Log one plain line an event: drawn tracebacks take seconds."""
    structlog.configure(processors=[structlog.processors.JSONRenderer(default=str)])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A control plane with one server."""
    made = Stage(tmp_path)
    yield made
    made.database.close()
    shutil.rmtree(made.workshop.runtime, ignore_errors=True)


@pytest.fixture
def wide_stage(tmp_path: Path) -> Iterator[Stage]:
    """A control plane with four servers."""
    made = Stage(tmp_path, ("web1", "web2", "web3", "web4"))
    yield made
    made.database.close()
    shutil.rmtree(made.workshop.runtime, ignore_errors=True)
