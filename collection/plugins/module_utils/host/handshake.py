# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a socket serves: one TLS handshake, told as facts. Never trusts, never hangs."""

import contextlib
import errno
import functools
import hashlib
import re
import socket
import ssl
import threading
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import openssl, pem, starttls
from .errors import Refused

PROBE_LABEL = "notafter-probe"
_LISTENER = re.compile(
    r"^(?P<address>\*|\[[0-9A-Fa-f:.]+\]|[0-9.]+|[A-Za-z0-9._-]*?):?(?P<port>[0-9]{1,5})(/(?P<protocol>[a-z0-9-]+))?\Z"
)
HOST_NAME = re.compile(
    r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z"
)
_SIGNATURES = {
    "rsa": "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512",
    "ec": "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
}
#: The most handshakes at once with one listener where another protocol comes before TLS: a mail server
#: counts sessions, ours too, and takes no more than a few (Exim 20, Postfix 50 of one client).
AT_ONCE = 4
#: What says that this process or this machine can do no more, and nothing of the server.
_OWN_LIMITS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL)
_ONLY = {"rsa": "ECDHE+aRSA:DHE+aRSA:kRSA", "ec": "ECDHE+aECDSA"}


class Endpoint(NamedTuple):
    """One place to ask: an address and port, and the name to ask for (RFC 6066 §3).

    `starttls` is what is spoken before TLS begins (one of starttls.PROTOCOLS), None where TLS
    is first.
    """

    address: str
    port: int
    name: Optional[str]
    starttls: Optional[str] = None

    def listener(self) -> str:
        """The address, port and protocol as a listener is written."""
        place = "%s:%d" % ("[%s]" % self.address if ":" in self.address else self.address, self.port)
        return place if self.starttls is None else "%s/%s" % (place, self.starttls)


class Served(NamedTuple):
    """What one handshake showed; `error` says why it showed nothing, `reached` whether anybody listens.

    `turned_away`: too much is asked at once, here or there. That tells nothing of what is served.
    """

    fingerprint: Optional[str]
    protocol: Optional[str]
    cipher: Optional[str]
    chain: Tuple[bytes, ...]
    error: Optional[str]
    seconds: float
    reached: bool = True
    turned_away: bool = False


class Turns:
    """Lets a few at once through to each listener that counts its sessions."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self._gates: Dict[Tuple[str, int], threading.Semaphore] = {}

    @contextlib.contextmanager
    def turn(self, endpoint: Endpoint, seconds: float) -> Iterator[bool]:
        """Waits for a turn; whether it came within these seconds."""
        if endpoint.starttls is None:
            yield True
            return
        place = (endpoint.address, endpoint.port)
        gate = self._gates.setdefault(place, threading.Semaphore(self.at_once))
        came = gate.acquire(timeout=max(0.0, seconds))
        try:
            yield came
        finally:
            if came:
                gate.release()


def listener(text: str, wildcard: str = "127.0.0.1") -> Endpoint:
    """Where to ask for a listener such as `*:443`, `[::]:443`, `443` or `*:25/smtp`, for no name.

    A listener on every address is asked at `wildcard` (the same host: loopback).
    """
    match = _LISTENER.match(text.strip())
    if match is None or not 0 < int(match.group("port")) < 65536:
        raise Refused("bad_listener", "%r is no listener; write address:port or address:port/protocol" % text)
    protocol = match.group("protocol")
    if protocol is not None and protocol not in starttls.PROTOCOLS:
        known = ", ".join(starttls.PROTOCOLS)
        raise Refused("bad_listener", "%r: %r is none of %s" % (text, protocol, known))
    address = match.group("address").strip("[]")
    if address in ("", "*", "0.0.0.0"):  # noqa: S104 - read, not bound
        address = wildcard
    elif address == "::":
        address = "::1" if wildcard == "127.0.0.1" else wildcard
    return Endpoint(address, int(match.group("port")), None, protocol)


def probe_name(name: str) -> Optional[str]:
    """The name to send for a configured server name; None where no name can be sent."""
    concrete = PROBE_LABEL + name[1:] if name.startswith("*.") else name
    if name.startswith("."):  # nginx: `.example.com` is example.com and *.example.com
        concrete = name[1:]
    return concrete if HOST_NAME.match(concrete) and len(concrete) <= 253 else None


def endpoints(
    listeners: List[str], names: List[str], wildcard: str = "127.0.0.1", limit: int = 64
) -> List[Endpoint]:
    """Every listener with every name that can be asked for, at most `limit` of them."""
    asked: List[Optional[str]] = []
    for name in names:
        concrete = probe_name(name)
        if concrete is not None and concrete not in asked:
            asked.append(concrete)
    found: List[Endpoint] = []
    for asked_name in asked or [None]:
        for text in listeners:
            endpoint = listener(text, wildcard)._replace(name=asked_name)
            if endpoint not in found:
                found.append(endpoint)
    return found[:limit]


@functools.lru_cache(maxsize=None)
def _context(key_type: Optional[str]) -> ssl.SSLContext:
    """One context for all handshakes of a kind: making one costs more than a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # we look at what is served; whether it is right is judged later
    context.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)  # we send nothing to what is old
    if hasattr(ssl, "TLSVersion"):  # novm: Python 3.7 and later
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # novm
    if key_type is None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context
    # TLS 1.3 chooses the certificate by signature algorithm, which this library cannot name;
    # in TLS 1.2 the cipher suite names it.
    context.options |= getattr(ssl, "OP_NO_TLSv1_3", 0)
    context.set_ciphers(_ONLY[key_type] + ":@SECLEVEL=0")
    return context


def _chain(connection: ssl.SSLSocket) -> Tuple[bytes, ...]:
    getter = getattr(connection, "get_unverified_chain", None)
    if getter is not None:  # Python 3.13 and later
        return tuple(getter() or ())
    inner = getattr(connection, "_sslobj", None)
    getter = getattr(inner, "get_unverified_chain", None)
    if getter is not None:  # Python 3.10 to 3.12 have it one level deeper
        encoding_der = 2
        return tuple(item.public_bytes(encoding_der) for item in getter() or ())
    leaf = connection.getpeercert(True)
    return (leaf,) if leaf else ()


def ask(
    endpoint: Endpoint,
    timeout: float = 5.0,
    key_type: Optional[str] = None,
    connect_timeout: Optional[float] = None,
) -> Served:
    """Makes one handshake; with `key_type` (`rsa` or `ec`) only a certificate of that kind will do.

    All of it (the name's addresses, the connection, the dialogue, the handshake) has `timeout` seconds.
    """
    start = time.monotonic()
    deadline = start + timeout
    reached = False
    try:
        context = _context(key_type)
        early = deadline if connect_timeout is None else min(deadline, start + connect_timeout)
        with _connected(endpoint, early) as plain:
            reached = True
            if endpoint.starttls is not None:
                starttls.begin(plain, endpoint.starttls, endpoint.name, deadline)
            plain.settimeout(max(0.05, deadline - time.monotonic()))
            with context.wrap_socket(plain, server_hostname=endpoint.name) as connection:
                leaf = connection.getpeercert(True)
                cipher = connection.cipher()
                return Served(
                    hashlib.sha256(leaf).hexdigest() if leaf else None,
                    connection.version(),
                    cipher[0] if cipher else None,
                    _chain(connection),
                    None if leaf else "the server sent no certificate",
                    time.monotonic() - start,
                )
    except (OSError, ValueError, OverflowError) as error:  # ssl.SSLError and socket.timeout are OSErrors
        seconds = time.monotonic() - start
        return Served(None, None, None, (), _sentence(error), seconds, reached, _is_of_limits(error))


def _connected(endpoint: Endpoint, deadline: float) -> socket.socket:
    """A connection to the first of an endpoint's addresses that takes one."""
    problem: OSError = OSError("the name has no address")
    for family, kind, protocol, _name, address in _addresses(endpoint.address, endpoint.port, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        plain = None
        try:
            plain = socket.socket(family, kind, protocol)
            plain.settimeout(left)
            plain.connect(address)
        except OSError as error:
            problem = error
            if plain is not None:
                plain.close()
        else:
            return plain
    raise problem


def _addresses(host: str, port: int, deadline: float) -> List[Any]:
    """What a name stands for. The system's resolver knows no deadline, so a thread waits for it."""
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # no address but a name
    found: List[Any] = []

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if not found:
        raise OSError("the name's addresses did not come in time")
    if isinstance(found[0], Exception):
        raise found[0]
    return list(found[0])


def _is_of_limits(error: Exception) -> bool:
    """Whether too much was asked at once."""
    if isinstance(error, ssl.SSLError):  # its numbers are OpenSSL's own
        return False
    return isinstance(error, starttls.Busy) or getattr(error, "errno", None) in _OWN_LIMITS


def _sentence(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return "TLS: %s" % (error.reason or error)
    return getattr(error, "strerror", None) or str(error)


def ask_for(
    endpoint: Endpoint,
    key_type: Optional[str],
    timeout: float = 5.0,
    connect_timeout: Optional[float] = None,
) -> Served:
    """What is served to a client that wants this kind of key; to any client where there is none."""
    deadline = time.monotonic() + timeout
    if key_type in _ONLY:
        served = ask(endpoint, timeout, key_type, connect_timeout)
        if served.fingerprint is None and served.error is not None and served.error.startswith("TLS"):
            served = _ask_openssl(endpoint, max(0.1, deadline - time.monotonic()), key_type)
        if served.fingerprint is not None or not served.reached or served.turned_away:
            return served
    return ask(endpoint, max(0.1, deadline - time.monotonic()), None, connect_timeout)


def _ask_openssl(endpoint: Endpoint, timeout: float, key_type: str) -> Served:
    """The same for a server that speaks TLS 1.3 alone: openssl can name signature algorithms."""
    start = time.monotonic()
    place = endpoint._replace(starttls=None).listener()
    options = ["-tls1_3", "-sigalgs", _SIGNATURES[key_type]]
    said = openssl.s_client(place, endpoint.starttls, endpoint.name, timeout, options)
    found = pem.certificates(said) if said else []
    if not found:
        error = "TLS: no certificate of this kind" if said else "openssl cannot be run here"
        return Served(None, None, None, (), error, time.monotonic() - start)
    der = pem.der(found[0])
    return Served(hashlib.sha256(der).hexdigest(), "TLSv1.3", None, (der,), None, time.monotonic() - start)


def as_result(endpoint: Endpoint, served: Served, chain: bool = True) -> Dict[str, Any]:
    """The documented form of what an endpoint serves (docs/developer/contracts.md)."""
    return {
        "address": endpoint.address,
        "port": endpoint.port,
        "starttls": endpoint.starttls,
        "name": endpoint.name,
        "state": "served" if served.fingerprint else "failed",
        "error": served.error,
        "fingerprint_sha256": served.fingerprint,
        "chain_pem": [ssl.DER_cert_to_PEM_cert(item) for item in served.chain] if chain else [],
        "protocol": served.protocol,
        "cipher": served.cipher,
        "stapling": None,
        "seconds": round(served.seconds, 3),
    }
