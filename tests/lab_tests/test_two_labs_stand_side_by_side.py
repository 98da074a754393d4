"""Two labs have the same addresses and nothing else in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import Fleet, Host, Lab, LabError, Service, Site

if TYPE_CHECKING:
    from tests.lab.fixtures import RaiseLab

ONE = Fleet("one", (Host("web1", (Service.NGINX,)),), (Site("www", ("www.lab.test",), ("web1",)),))


def test_two_labs_serve_different_certificates_at_one_address(raise_lab: RaiseLab) -> None:
    first, second = raise_lab(ONE), raise_lab(ONE)

    assert first.hosts["web1"].address == second.hosts["web1"].address
    assert first.served("web1") == first.first_fingerprints["www"]
    assert second.served("web1") == second.first_fingerprints["www"]
    assert first.served("web1") != second.served("web1")


def test_taking_one_down_leaves_the_other_alone(raise_lab: RaiseLab) -> None:
    first, second = raise_lab(ONE), raise_lab(ONE)

    first.down()

    assert second.served("web1") == second.first_fingerprints["www"]
    assert second.hosts["web1"].run(["hostname"]).stdout == "web1\n"


def test_a_name_that_is_taken_is_refused_and_its_lab_stays(raise_lab: RaiseLab) -> None:
    lab = raise_lab(ONE)

    with pytest.raises(LabError, match=f"{lab.name} is up already"):
        Lab.up(lab.name, ONE)

    assert lab.served("web1") == lab.first_fingerprints["www"]


def test_hosts_have_host_keys_and_machine_ids_of_their_own(small_lab: Lab) -> None:
    keys = {host.read("/etc/ssh/ssh_host_ed25519_key") for host in small_lab.hosts.values()}
    machines = {host.read("/etc/machine-id") for host in small_lab.hosts.values()}

    assert len(keys) == len(machines) == len(small_lab.hosts)
