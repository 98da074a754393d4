# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host asks itself: which endpoints, how often, and who answers in a server's place."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import typing as t
from contextlib import contextmanager

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import handshake, listening, served
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Found = dict[str, t.Any]


def binding(made: Made, listeners: list[str], names: list[str] | None = None, **more: t.Any) -> Found:
    """A binding as the scan leaves it for the handshakes."""
    return {
        "service": "nginx",
        "names": names or [],
        "own_names": False,
        "listeners": listeners,
        "certificate": made.fingerprint,
        **more,
    }


def answer(*certificates_and_bindings: tuple[Made, Found], addresses: tuple[str, ...] = ()) -> Found:
    """A scan's answer with these bindings."""
    return {
        "server": {"addresses": list(addresses)},
        "bindings": [one for _made, one in certificates_and_bindings],
        "certificates": {made.fingerprint: {"pem": made.pem} for made, _binding in certificates_and_bindings},
        "warnings": [],
    }


class Door:
    """A TLS server on the loopback that shows one certificate, and counts who asked."""

    def __init__(self, made: Made, folder: Path) -> None:
        certificate, key = made.save(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = 0

    @contextmanager
    def open(self, silent: bool = False) -> Iterator[Door]:
        """Answers until the end; a silent one takes connections and says nothing."""
        thread = threading.Thread(target=self._serve, args=(silent,))
        thread.start()
        try:
            yield self
        finally:
            self.socket.shutdown(socket.SHUT_RDWR)
            thread.join()
            self.socket.close()

    def _serve(self, silent: bool) -> None:
        kept = []
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                break
            self.asked += 1
            if silent:
                kept.append(connection)
                continue
            with connection:
                connection.settimeout(5)
                try:
                    self.context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue
        for connection in kept:
            connection.close()


def test_each_endpoint_is_asked_once_whoever_names_it(issue: Issue, tmp_path: Path) -> None:
    made = issue("a.test", "b.test")
    with Door(made, tmp_path).open() as door:
        place = f"127.0.0.1:{door.port}"
        found = answer((made, binding(made, [place], ["a.test"])), (made, binding(made, [place], ["a.test"])))
        served.look(found, {"nginx": ("nginx",)}, 10)
    told = {"listener": place, "name": "a.test", "fingerprint": made.fingerprint, "error": None, "by": None}
    assert [one["served"] for one in found["bindings"]] == [[told], [told]]
    assert door.asked == 1


def test_a_few_endpoints_for_each_binding_and_the_first_of_all_before_the_second_of_any(issue: Issue) -> None:
    made = issue("a.test")
    many = binding(made, ["127.0.0.1:1", "127.0.0.1:2"], [f"n{number}.test" for number in range(9)])
    few = binding(made, ["127.0.0.1:3"], ["a.test"])
    claims = served._claims(answer((made, many), (made, few)))
    places = [(claim.binding, claim.endpoint.port, claim.endpoint.name) for claim in claims]
    assert places == [
        (0, 1, "n0.test"),
        (1, 3, "a.test"),
        (0, 2, "n0.test"),
        (0, 1, "n1.test"),
        (0, 2, "n1.test"),
    ]


def test_what_cannot_be_asked_is_not_asked_as_something_else(issue: Issue) -> None:
    made = issue("a.test")
    for listeners, names in (
        (["unix:/run/x.sock"], ["a.test"]),
        (["127.0.0.1:1"], ["~^www\\."]),
        (["127.0.0.1:1"], ["a b"]),
        ([], ["a.test"]),
    ):
        assert served._claims(answer((made, binding(made, listeners, names)))) == []


def test_an_address_that_is_another_machines_now_is_named_and_not_asked(issue: Issue) -> None:
    made = issue("a.test")
    found = answer((made, binding(made, ["192.0.2.7:443", "192.0.2.8:443"])), addresses=("192.0.2.8",))
    assert [claim.endpoint.address for claim in served._claims(found)] == ["192.0.2.8"]
    assert [one["message"] for one in found["warnings"]] == [
        "192.0.2.7 is no address of this host now: what it shows was not asked"
    ]


def test_a_server_that_chooses_by_the_certificates_own_names_is_asked_for_them(issue: Issue) -> None:
    made = issue("own.test", "*.own.test")
    (first, second) = served._claims(answer((made, binding(made, ["127.0.0.1:1"], own_names=True))))
    assert (first.endpoint.name, second.endpoint.name) == ("own.test", "notafter-probe.own.test")


def test_where_two_kinds_of_key_serve_each_is_asked_for_its_own(issue: Issue) -> None:
    ec, rsa = issue("a.test"), issue("a.test", key="rsa-2048")
    found = answer(
        (ec, binding(ec, ["127.0.0.1:1"], ["a.test"])),
        (rsa, binding(rsa, ["127.0.0.1:1"], ["a.test"])),
        (ec, binding(ec, ["127.0.0.1:2"], ["a.test"])),
    )
    questions = served._questions(served._claims(found), found)
    assert [(endpoint.port, kind) for endpoint, kind in questions] == [(1, "ec"), (1, "rsa"), (2, None)]


def test_what_lies_in_no_file_is_kept_and_its_server_is_named(issue: Issue, tmp_path: Path) -> None:
    shown, mine = issue("a.test"), issue("a.test")
    with Door(shown, tmp_path).open() as door:
        found = answer((mine, binding(mine, [f"127.0.0.1:{door.port}"])))
        served.look(found, {"nginx": ("nginx",)}, 10)
    (told,) = found["bindings"][0]["served"]
    assert told["fingerprint"] == shown.fingerprint
    assert told["by"] is not None
    assert found["certificates"][shown.fingerprint] == {"pem": shown.pem}


def test_a_listener_that_says_nothing_costs_its_share_and_no_more(issue: Issue, tmp_path: Path) -> None:
    made = issue("a.test")
    with Door(made, tmp_path).open(silent=True) as door:
        names = [f"n{number}.test" for number in range(4)]
        rows = [(made, binding(made, [f"127.0.0.1:{door.port}"], names)) for _turn in range(3)]
        rows += [(made, binding(made, [f"127.0.0.1:{door.port}"], [f"m{n}.test"])) for n in range(40)]
        found, start = answer(*rows), time.monotonic()
        served.look(found, {}, 1.0)
        assert time.monotonic() - start < 15
    assert found["bindings"][0]["served"][0]["error"] == "no answer in time"
    assert "too many for the time" in found["warnings"][0]["message"]


def test_more_than_the_most_endpoints_are_not_asked(issue: Issue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "FOR_ALL", 3)
    made = issue("a.test")
    found = answer(*[(made, binding(made, ["127.0.0.1:1"], [f"n{number}.test"])) for number in range(5)])
    served.look(found, {}, 10)
    assert [len(one["served"]) for one in found["bindings"]] == [1, 1, 1, 0, 0]
    assert found["warnings"][0]["message"].startswith("2 of 5 endpoints")


def test_the_names_and_the_kind_of_a_certificate_are_read_without_a_library(issue: Issue) -> None:
    many = issue(*[f"n{number}.test" for number in range(300)])
    der = ssl.PEM_cert_to_DER_cert(many.pem)
    assert served.dns_names(der) == ["n0.test", "n1.test", "n2.test", "n3.test"]
    for kind in ("ec-256", "rsa-2048"):
        assert served.key_type(ssl.PEM_cert_to_DER_cert(issue(key=kind).pem)) == kind.partition("-")[0]
    assert served.key_type(ssl.PEM_cert_to_DER_cert(issue(key="ed25519").pem)) is None
    assert served.dns_names(ssl.PEM_cert_to_DER_cert(issue(common_name="a.test").pem)) == []


GIVEN = bytes.fromhex("0603551d11") + b"\x04\x0c\x30\x0a\x82\x08own.test"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(GIVEN)))
def test_no_bytes_break_the_reading_of_names(noise: bytes, at: int) -> None:
    assert len(served.dns_names(GIVEN[:at] + noise + GIVEN[at:])) <= served.FOR_ONE
    assert served.dns_names(GIVEN) == ["own.test"]


def test_who_listens_is_told_by_the_nearest_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        me = listening.Holders()._lines("self/comm")[0]
        assert listening.Holders().of("127.0.0.1", port) == {me}
        assert listening.Holders().other_than((me,), "127.0.0.1", port) is None
        assert listening.Holders().other_than(("nginx",), "127.0.0.1", port) == me
        assert listening.Holders().other_than((), "127.0.0.1", port) is None
    assert listening.Holders().of("127.0.0.1", port) == set()
    assert listening.Holders("/no/such/folder").of("127.0.0.1", port) == set()


def test_an_address_of_the_sixth_version_is_found_too() -> None:
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as own:
        port = own.getsockname()[1]
        assert listening.Holders().of("::1", port)
        assert not listening.Holders().of("::2", port)


def test_a_certificate_with_a_critical_extension_is_read_too(issue: Issue) -> None:
    extension = x509.SubjectAlternativeName([x509.DNSName("a.test")]).public_bytes()
    critical = bytes.fromhex("0603551d11") + b"\x01\x01\xff\x04" + bytes([len(extension)]) + extension
    assert served.dns_names(critical) == ["a.test"]
    assert issue("a.test").pem


def test_a_name_with_an_end_of_line_is_asked_for_by_nobody() -> None:
    assert handshake.probe_name("a.test") == "a.test"
    assert handshake.probe_name("a.test\n") is None
