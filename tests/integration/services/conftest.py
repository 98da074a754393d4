"""Hosts with the servers that few fleets have all of: installed, and started by the tests that want them."""

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

FLEET = Fleet("services", (Host("servers", layer=Layer.SERVERS), Host("others", layer=Layer.OTHERS)))


@pytest.fixture(scope="session")
def services_lab() -> Iterator[Lab]:
    """One lab for all kinds of server; a test leaves its host as it found it."""
    install(say=lambda _: None)
    with Lab.up(f"s{os.getpid()}-services", FLEET) as lab:
        yield lab


@pytest.fixture
def servers(services_lab: Lab) -> LabHost:
    """The host with the servers of Layer.SERVERS."""
    return services_lab.hosts["servers"]


@pytest.fixture
def others(services_lab: Lab) -> LabHost:
    """The host with those of Layer.OTHERS."""
    return services_lab.hosts["others"]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the certificates of these tests."""
    return Authority()
