"""One issuer and two CAs for all tests of issuing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.issue.issuer import Issuer
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.torture.faults import FLEET

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """acme.sh on a host of its own, a CA for everybody and one that wants a binding."""
    install(say=lambda _: None)
    with Lab.up(f"i{os.getpid()}-issue", FLEET) as lab:
        yield Issuer(lab)
