"""The labs of the lab's own tests: no other test has changed anything in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.lab import DEMO, SMALL, Lab
from tests.lab.fixtures import raise_lab
from tests.lab.image import install

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["raise_lab"]

DAY = 86400


@pytest.fixture(scope="package")
def small_lab() -> Iterator[Lab]:
    install(say=lambda _: None)
    with Lab.up(f"own-{os.getpid()}-small", SMALL, initial_validity=DAY) as lab:
        yield lab


@pytest.fixture(scope="package")
def demo_lab() -> Iterator[Lab]:
    install(say=lambda _: None)
    with Lab.up(f"own-{os.getpid()}-demo", DEMO, initial_validity=DAY) as lab:
        yield lab
