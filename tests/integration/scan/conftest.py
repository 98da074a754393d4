"""What the tests of the scan share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.authority import Authority
from tests.lab.fleet import Fleet, Host
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.host import LabHost


@pytest.fixture(scope="session")
def corpus_authority() -> Authority:
    """Signs the certificates of the corpus."""
    return Authority()


@pytest.fixture(scope="session")
def servers() -> Iterator[LabHost]:
    """A host with nginx's modules for streams and mail beside all servers, none of them started."""
    install(say=lambda _: None)
    fleet = Fleet("scan", (Host("servers", layer=Layer.SERVERS),))
    with Lab.up(f"s{os.getpid()}-scan", fleet) as lab:
        yield lab.hosts["servers"]
