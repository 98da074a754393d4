"""pytest fixtures that raise labs; a conftest asks for them with `pytest_plugins`.

pytest itself stays outside of every lab's network: `lab.run` starts programs inside,
`lab.served` and `lab.call` work in threads that are inside. So one session can have
several labs, and nothing depends on which thread a test runs in. A lab of a fixture
ends with the pytest process, however that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.lab.fleet import Fleet
from tests.lab.fleets import DEMO, SMALL
from tests.lab.image import install
from tests.lab.lab import Lab

#: `raise_lab(fleet, initial_validity=…, minutes_validity=…)`
RaiseLab = Callable[..., Lab]

_numbers = count(1)


def _new_name(what: str) -> str:
    """Unique on the machine while this process lives: sessions may run side by side."""
    return f"t{os.getpid()}-{next(_numbers)}-{what}"[:30].rstrip("-")


@pytest.fixture(scope="session")
def installed_lab() -> None:
    """What labs are made from; quick when it is there."""
    install(say=lambda _: None)


@pytest.fixture(scope="session")
def small_lab(installed_lab: None) -> Iterator[Lab]:
    """An issuer and one host for each kind of server; certificates that live a day."""
    with Lab.up(_new_name("small"), SMALL, initial_validity=86400) as lab:
        yield lab


@pytest.fixture(scope="session")
def demo_lab(installed_lab: None) -> Iterator[Lab]:
    """The whole demo fleet; certificates that live a day."""
    with Lab.up(_new_name("demo"), DEMO, initial_validity=86400) as lab:
        yield lab


@pytest.fixture
def raise_lab(installed_lab: None) -> Iterator[RaiseLab]:
    """Raises labs of any fleet for one test, and takes them all down after it."""
    with ExitStack() as labs:

        def up(fleet: Fleet = SMALL, *, initial_validity: int = 86400, **wishes: int) -> Lab:
            lab = Lab.up(_new_name(fleet.name), fleet, initial_validity=initial_validity, **wishes)
            return labs.enter_context(lab)

        yield up
