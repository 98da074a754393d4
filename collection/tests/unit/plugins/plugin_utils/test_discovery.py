# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which places a network and its ports are."""

from __future__ import annotations

import time

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Refused
from ansible_collections.notafter.tls.plugins.plugin_utils import discovery


def addresses(*networks: str) -> list[str]:
    """The addresses of networks."""
    return [place["address"] for place in discovery.places(networks, ["443"])]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("192.0.2.0/30", ["192.0.2.1", "192.0.2.2"]),
        ("192.0.2.1/30", ["192.0.2.1", "192.0.2.2"]),
        ("192.0.2.0/31", ["192.0.2.0", "192.0.2.1"]),
        ("192.0.2.7", ["192.0.2.7"]),
        ("2001:db8::/127", ["2001:db8::", "2001:db8::1"]),
        ("[2001:db8::5]", ["2001:db8::5"]),
        ("shop.example.com", ["shop.example.com"]),
    ],
)
def test_a_network_is_its_hosts(network: str, expected: list[str]) -> None:
    assert addresses(network) == expected


def test_what_is_named_twice_is_one_place() -> None:
    assert addresses("192.0.2.0/30", "192.0.2.1") == ["192.0.2.1", "192.0.2.2"]
    assert len(discovery.places(["192.0.2.1"], ["25", "25/smtp", "025"])) == 1


@pytest.mark.parametrize(
    ("text", "number", "protocol"),
    [
        ("443", 443, None),
        ("25", 25, "smtp"),
        ("25/tls", 25, None),
        ("2525/smtp", 2525, "smtp"),
        (" 5432 ", 5432, "postgres"),
    ],
)
def test_a_port_is_what_is_usual_there_or_what_is_said(text: str, number: int, protocol: str | None) -> None:
    assert discovery.port(text) == (number, protocol)


@pytest.mark.parametrize("text", ["0", "65536", "443/http", "x", "", "443/", "1e3", "-1"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        discovery.port(text)


@pytest.mark.parametrize("network", ["10.0.0.0/8", "2001:db8::/32", "::/0", "0.0.0.0/0"])
def test_too_large_a_network_is_refused_at_once(network: str) -> None:
    start = time.process_time()
    with pytest.raises(Refused, match="too many for one call"):
        discovery.places([network], ["443"])
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "network", ["300.1.1.1", "10.0.0.0/33", "a b", "", "-x.test", "1.2.3", "x" * 300 + "!"]
)
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(Refused, match="is no network"):
        discovery.places([network], ["443"])


def test_a_usual_network_fits_with_all_usual_ports() -> None:
    assert len(discovery.places(["10.0.0.0/24"])) == 254 * len(discovery.DEFAULT_PORTS)
