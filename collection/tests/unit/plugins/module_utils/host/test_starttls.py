# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words before TLS with peers that no package of a distribution offers: rare, broken and hostile ones."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import handshake, starttls

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made

Talk = t.Callable[[socket.socket], None]
TIMEOUT = 0.3
#: What a loaded machine may take for it; those who would keep us would do so for ever.
AMPLE = 15


@contextlib.contextmanager
def peer(talk: Talk, family: int = socket.AF_INET) -> Iterator[handshake.Endpoint]:
    """Somebody who listens and talks as he likes, to one caller after the other."""
    loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
    server = socket.create_server((loopback, 0), family=family)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = server.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield handshake.Endpoint(loopback, server.getsockname()[1], "a.test")
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def told(connection: socket.socket, *pairs: tuple[bytes, bytes]) -> None:
    """Waits for what a client has to say, and answers; the first thing waited for may be nothing."""
    for expected, answer in pairs:
        heard = b""
        while expected not in heard or not expected:
            if not expected:
                break
            piece = connection.recv(4096)
            if not piece:
                return
            heard += piece
        connection.sendall(answer)


@pytest.fixture(scope="module")
def made(issue: Issue) -> Made:
    """The certificate that the peers show."""
    return issue("a.test")


@pytest.fixture(scope="module")
def secure(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Callable[[socket.socket], None]:
    """Ends a dialogue with a handshake."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    certificate, key = made.save(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def shake(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    return shake


DIALOGUES: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "nntp": ((b"", b"201 no posting\r\n"), (b"STARTTLS\r\n", b"382 go on\r\n")),
    "lmtp": (
        (b"", b"220 x LMTP\r\n"),
        (b"LHLO notafter.invalid\r\n", b"250-x\r\n250 STARTTLS\r\n"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
    ),
    "sieve": (
        (b"", b'"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK "ready"\r\n'),
        (b"STARTTLS\r\n", b'OK "begin"\r\n'),
    ),
    # RFC 959 §4.2: the lines of a reply need no code between its first and its last
    "ftp": (
        (b"", b"220-Welcome\r\n  to\r\n123 files\r\n220-here\r\n220 now\r\n"),
        (b"AUTH TLS\r\n", b"234 AUTH TLS\r\n"),
    ),
    "imap": (
        (b"", b"* OK [CAPABILITY IMAP4rev1] hi\r\n"),
        (b"STARTTLS\r\n", b"* NOTE an aside\r\nn1 ok go\r\n"),
    ),
}


@pytest.mark.parametrize("protocol", DIALOGUES)
def test_a_dialogue_ends_in_a_handshake(protocol: str, made: Made, secure: Talk) -> None:
    def talk(connection: socket.socket) -> None:
        told(connection, *DIALOGUES[protocol])
        secure(connection)

    with peer(talk) as endpoint:
        served = handshake.ask(endpoint._replace(starttls=protocol), 20)
    assert served.fingerprint == made.fingerprint, served.error


def test_a_peer_may_speak_slowly_and_in_pieces(made: Made, secure: Talk) -> None:
    def talk(connection: socket.socket) -> None:
        for sign in b"220 x\r\n":
            connection.sendall(bytes([sign]))
            time.sleep(0.01)
        told(connection, (b"EHLO", b"250-"), (b"", b"x\r\n250 STARTTLS\r\n"), (b"STARTTLS", b"220 go\r\n"))
        secure(connection)

    with peer(talk) as endpoint:
        served = handshake.ask(endpoint._replace(starttls="smtp"), 20)
    assert served.fingerprint == made.fingerprint, served.error


def test_ipv6_is_asked_like_ipv4(made: Made, secure: Talk) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with peer(secure, socket.AF_INET6) as endpoint:
        served = handshake.ask(endpoint, 20)
    assert served.fingerprint == made.fingerprint, served.error


def drips(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"2")
        time.sleep(0.05)


def floods(connection: socket.socket) -> None:
    connection.sendall(b"x" * 1_000_000)
    connection.recv(1)


def chatters(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"220-more\r\n* more\r\n" * 1000)


def is_silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def ends(connection: socket.socket) -> None:
    connection.close()


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def says_garbage(connection: socket.socket) -> None:
    connection.sendall(bytes(range(256)) * 16 + b"\r\n")
    connection.recv(4096)


def says_zeros(connection: socket.socket) -> None:
    connection.sendall(bytes(512))
    connection.recv(4096)


def says_ones(connection: socket.socket) -> None:
    connection.sendall(b"\xff" * 512)
    connection.recv(4096)


HOSTILE = (drips, floods, chatters, is_silent, ends, resets, says_garbage, says_zeros, says_ones)


@pytest.mark.parametrize("protocol", [None, *starttls.PROTOCOLS])
@pytest.mark.parametrize("talk", HOSTILE)
def test_whatever_a_peer_does_there_is_a_sentence_in_time(talk: Talk, protocol: str | None) -> None:
    with peer(talk) as endpoint:
        served = handshake.ask(endpoint._replace(starttls=protocol), TIMEOUT)
    assert served.fingerprint is None
    assert served.error
    assert "\n" not in served.error
    assert served.seconds < AMPLE


INJECTIONS: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "smtp": ((b"", b"220 x\r\n"), (b"EHLO", b"250 x\r\n"), (b"STARTTLS", b"220 go\r\n250 injected\r\n")),
    "postgres": ((b"\x04\xd2\x16\x2f", b"S\0\0\0"),),
    "pop3": ((b"", b"+OK\r\n"), (b"STLS", b"+OK\r\n+OK injected\r\n")),
    "xmpp": (
        (b"version='1.0'>", b"<stream:features><starttls/></stream:features>"),
        (b"<starttls", b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message/>"),
    ),
}


@pytest.mark.parametrize("protocol", INJECTIONS)
def test_what_comes_with_the_answer_is_not_taken_for_tls(protocol: str) -> None:
    with peer(lambda connection: told(connection, *INJECTIONS[protocol])) as endpoint:
        served = handshake.ask(endpoint._replace(starttls=protocol), 2)
    assert served.error == "the server sent more than its answer before TLS"


DECLINING: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "smtp": ((b"", b"220 x\r\n"), (b"EHLO", b"250 x\r\n"), (b"STARTTLS", b"454 not now\r\n")),
    "imap": ((b"", b"* PREAUTH you are in\r\n"),),
    "sieve": ((b"", b'BYE "not now"\r\n'),),
    "nntp": ((b"", b"200 x\r\n"), (b"STARTTLS", b"580 not now\r\n")),
    "postgres": ((b"\x04\xd2\x16\x2f", b"N"),),
    "mysql": ((b"", b"\x16\0\0\0\xff\x6a\x04Host is not allowed"),),
    "ldap": ((b"20037", b"0\x0c\x02\x01\x01x\x07\x0a\x01\x02\x04\0\x04\0"),),
    "xmpp": ((b"version='1.0'>", b"<stream:error><host-unknown/></stream:error>"),),
    "xmpp-server": (
        (b"jabber:server", b"<stream:features/></stream:features>"),
        (b"<starttls", b"<failure/>"),
    ),
}


@pytest.mark.parametrize("protocol", DECLINING)
def test_a_peer_that_declines_is_quoted(protocol: str) -> None:
    with peer(lambda connection: told(connection, *DECLINING[protocol])) as endpoint:
        served = handshake.ask(endpoint._replace(starttls=protocol), 2)
    assert served.error is not None
    assert served.error.startswith("the server does not begin TLS: it answers ")
    assert served.reached


def test_a_handshake_that_drips_has_the_same_deadline() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        for sign in b"\x16\x03\x03\x10\0\x02\0\x0f\xfc\x03\x03" + bytes(5000):
            connection.sendall(bytes([sign]))
            time.sleep(0.05)

    with peer(talk) as endpoint:
        served = handshake.ask(endpoint, TIMEOUT)
    assert (served.error, served.fingerprint) == ("no answer in time", None)
    assert served.seconds < AMPLE


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asleep = socket.getaddrinfo, threading.Event()

    def slow(host: str, *more: t.Any) -> t.Any:
        if len(more) > 4:
            return real(host, *more)
        asleep.wait(2 * AMPLE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    served = handshake.ask(handshake.Endpoint("slow.invalid", 443, None), TIMEOUT)
    asleep.set()
    assert served.error == "the name's addresses did not come in time"
    assert served.seconds < AMPLE
    assert not served.reached


@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("127.0.0.1", 70000, None),
        ("127.0.0.1", -1, None),
        ("bad..name", 443, None),
        ("\0", 443, None),
        ("x" * 300, 443, None),
        ("", 1, ""),
        ("127.0.0.1", 1, "a.test"),
    ],
)
def test_an_endpoint_that_cannot_be_is_told_of(address: str, port: int, name: str | None) -> None:
    served = handshake.ask(handshake.Endpoint(address, port, name), 2)
    assert served.error
    assert served.fingerprint is None


def test_a_name_that_is_none_cannot_speak_in_the_dialogue() -> None:
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))

    with peer(talk) as endpoint:
        handshake.ask(endpoint._replace(starttls="xmpp", name="x'/><evil\r\n"), 2)
    assert b"to='xevil'" in heard[0]


@pytest.mark.parametrize("protocol", starttls.PROTOCOLS)
def test_a_listener_can_name_each_protocol(protocol: str) -> None:
    endpoint = handshake.listener(f"[::1]:25/{protocol}")
    assert endpoint == handshake.Endpoint("::1", 25, None, protocol)
    assert handshake.listener(endpoint.listener()) == endpoint


def test_an_old_server_is_seen_as_well(made: Made, tmp_path: Path) -> None:
    certificate, key = made.save(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1

    def talk(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    with peer(talk) as endpoint:
        served = handshake.ask(endpoint, 20)
    assert (served.protocol, served.fingerprint) == ("TLSv1", made.fingerprint), served.error
