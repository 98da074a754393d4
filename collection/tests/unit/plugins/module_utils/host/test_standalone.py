# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where acme.sh listens itself: what is missing or taken is told, and one attempt at a time has the port."""

from __future__ import annotations

import socket
import typing as t
from contextlib import ExitStack

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import commands, standalone, state
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Busy
from ansible_collections.notafter.tls.plugins.module_utils.host.failure import Failed
from ansible_collections.notafter.tls.plugins.module_utils.host.order import Order, checked

if t.TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, dict[str, t.Any]] = {
    "socat or python3": {"type": "http-01", "mode": "standalone"},
    "openssl": {"type": "tls-alpn-01"},
}


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port, and a folder of our own."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def order(challenge: dict[str, t.Any], timeout: float = 600) -> Order:
    """What is asked for in these tests."""
    return checked(
        {
            "attempt": "req-1",
            "names": ["a.test"],
            "csr": "-----BEGIN CERTIFICATE REQUEST-----",
            "ca": {"directory": "https://ca.example.com/dir"},
            "challenge": challenge,
            "timeout": timeout,
        }
    )


@pytest.mark.parametrize("missing", KINDS)
def test_a_program_that_is_missing_is_named(
    missing: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SEARCH_PATH", str(tmp_path))
    with ExitStack() as held, pytest.raises(Failed, match=f"needs {missing} on the issuer: install it"):
        standalone.prepare(held, order({**KINDS[missing], "port": port}))


def test_a_port_that_somebody_has_is_told(port: int) -> None:
    wish = order({**KINDS["openssl"], "port": port})
    with ExitStack() as held:
        standalone.prepare(held, wish)
    with socket.socket() as other, ExitStack() as held:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(Failed, match=f"port {port} of the issuer: another program has it"):
            standalone.prepare(held, wish)


def test_two_attempts_do_not_have_a_port_at_once(port: int) -> None:
    wish = order({**KINDS["openssl"], "port": port}, timeout=0.2)
    with ExitStack() as first, ExitStack() as second:
        standalone.prepare(first, wish)
        with pytest.raises(Busy, match=f"port {port} for tls-alpn-01"):
            standalone.prepare(second, wish)
    with ExitStack() as third:
        standalone.prepare(third, wish)


@pytest.mark.usefixtures("port")
def test_who_does_not_listen_needs_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SEARCH_PATH", "")
    with ExitStack() as held:
        standalone.prepare(held, order({"type": "http-01", "mode": "stateless"}))
        standalone.prepare(held, order({"type": "dns-01", "provider": "dns_knot"}))
