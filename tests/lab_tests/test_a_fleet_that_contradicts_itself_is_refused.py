"""A mistake in the description of a fleet is named before anything is started."""

from __future__ import annotations

import pytest

from tests.lab import DEMO, SMALL, Fleet, Host, Layout, Service, Site
from tests.lab.errors import FleetError
from tests.lab.fleets import named

WEB = (Host("web1", (Service.NGINX,)),)


def test_a_site_on_an_unknown_host() -> None:
    with pytest.raises(FleetError, match="no nginx on a host named web9"):
        Fleet("x", WEB, (Site("s", ("s.lab.test",), ("web9",)),))


def test_a_site_for_a_server_that_the_host_has_not() -> None:
    with pytest.raises(FleetError, match="no apache on a host named web1"):
        Fleet("x", WEB, (Site("s", ("s.lab.test",), ("web1",), Service.APACHE),))


def test_a_layout_that_the_server_does_not_know() -> None:
    with pytest.raises(FleetError, match="nginx has no layout directory"):
        Fleet("x", WEB, (Site("s", ("s.lab.test",), ("web1",), layout=Layout.DIRECTORY),))


def test_a_name_outside_of_the_zone() -> None:
    with pytest.raises(FleetError, match=r"s\.example\.org is not below lab\.test"):
        Fleet("x", WEB, (Site("s", ("s.example.org",), ("web1",)),))


@pytest.mark.parametrize("name", ["ca", "web1"])
def test_two_hosts_of_one_name(name: str) -> None:
    with pytest.raises(FleetError, match=f"two hosts are named {name}"):
        Fleet("x", (*WEB, Host(name)))


def test_an_unknown_fleet() -> None:
    with pytest.raises(FleetError, match="there are demo, small"):
        named("large")


@pytest.mark.parametrize("fleet", [DEMO, SMALL], ids=lambda fleet: fleet.name)
def test_a_fleet_survives_being_written_down(fleet: Fleet) -> None:
    assert Fleet.from_json(fleet.as_json()) == fleet
