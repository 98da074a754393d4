"""pytest fixtures that raise labs; a conftest asks for them with `pytest_plugins`.

pytest itself stays outside of every lab's network: `lab.run` starts programs inside,
`lab.served` and `lab.call` work in threads that are inside. So one session can have
several labs, and nothing depends on which thread a test runs in. A lab of a fixture
ends with the pytest process, however that ends.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.lab.fleets import DEMO, SMALL
from tests.lab.image import install
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.fleet import Fleet

_DAY = 86400
_numbers = count(1)


class RaiseLab(Protocol):
    """Raises a lab that ends with the test."""

    def __call__(
        self, fleet: Fleet = SMALL, *, initial_validity: int = _DAY, minutes_validity: int = 240
    ) -> Lab: ...


def _up(fleet: Fleet, initial_validity: int = _DAY, minutes_validity: int = 240) -> Lab:
    """A lab whose name is unique on the machine: sessions may run side by side."""
    install(say=lambda _: None)
    name = f"t{os.getpid()}-{next(_numbers)}-{fleet.name}"[:30].rstrip("-")
    return Lab.up(name, fleet, initial_validity=initial_validity, minutes_validity=minutes_validity)


@pytest.fixture(scope="session")
def small_lab() -> Iterator[Lab]:
    """An issuer and one host for each kind of server; certificates that live a day."""
    with _up(SMALL) as lab:
        yield lab


@pytest.fixture(scope="session")
def demo_lab() -> Iterator[Lab]:
    """The whole demo fleet; certificates that live a day."""
    with _up(DEMO) as lab:
        yield lab


@pytest.fixture
def raise_lab() -> Iterator[RaiseLab]:
    """Raises labs of any fleet for one test, and takes them all down after it."""
    with ExitStack() as labs:

        def up(fleet: Fleet = SMALL, *, initial_validity: int = _DAY, minutes_validity: int = 240) -> Lab:
            return labs.enter_context(_up(fleet, initial_validity, minutes_validity))

        yield up
