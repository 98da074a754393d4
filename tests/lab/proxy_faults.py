"""The ways in which the fault proxy errs, by name: `KINDS` is all of them.

Each is data (a `Kind`); which step of ACME it hits, and how often, says the `Fault` that it is put in.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING

from tests.authority import Authority, Issued
from tests.lab import proxy_certificates as wrong
from tests.lab.plan import GATEWAY
from tests.lab.proxy import Answer, Exchange, Kind, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

_GIB = 1 << 30
_PROBLEM = ("Content-Type", "application/problem+json")
_HTML = ("Content-Type", "text/html")
_PAGE = b"<html><head><title>%d</title></head><body><h1>Too much, or too little</h1></body></html>\n"
_NONCE = ("Replay-Nonce", "bm90LWEtbm9uY2Utb2YtdGhpcy1DQQ")
#: How long the CA wants to be left alone: longer than any attempt of these tests.
LONG = 3600
SHORT = 3


def _problem(status: int, kind: str, detail: str, *headers: tuple[str, str]) -> Callable[[Exchange], None]:
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}
    return _instead(Answer(status, (_PROBLEM, *headers), json.dumps(body).encode()))


def _page(status: int, *headers: tuple[str, str]) -> Callable[[Exchange], None]:
    return _instead(Answer(status, (_HTML, *headers), _PAGE % status))


def _instead(answer: Answer) -> Callable[[Exchange], None]:
    """The CA is not asked at all."""
    return lambda exchange: exchange.reply(answer)


def _after(seconds: int) -> tuple[str, str]:
    return ("Retry-After", str(seconds))


def _date(exchange: Exchange, status: int, seconds: int) -> None:
    """A Retry-After in the form that is a date, of now."""
    when = ("Retry-After", formatdate(time.time() + seconds, usegmt=True))
    kind = "rateLimited" if status == 429 else "serverInternal"
    _problem(status, kind, f"come again at {when[1]}", when)(exchange)


def _bad_nonce(exchange: Exchange, good: int, of: int) -> None:
    """`good` of `of` requests go through; the others are told that their nonce is none."""
    exchange.proxy.nonces += 1
    if exchange.method != "POST" or exchange.proxy.nonces % of < good:
        exchange.reply(exchange.forward())
    else:
        detail = "JWS has an invalid anti-replay nonce"
        _problem(400, "badNonce", detail, _NONCE)(exchange)


def _reset(exchange: Exchange) -> None:
    _abort(exchange.socket)


def _abort(connection: socket.socket) -> None:
    """Ends a connection so that the other side sees a reset, not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _head(answer: Answer, length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} as it is"]
    lines += [
        f"{name}: {value}"
        for name, value in answer.headers
        if name.lower() not in {"content-length", "connection"}
    ]
    lines += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _reset_in_body(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.socket.sendall(_head(answer, len(answer.body)) + answer.body[: len(answer.body) // 2])
    time.sleep(0.1)  # what was sent is to arrive before the reset does
    _abort(exchange.socket)


def _lost(exchange: Exchange) -> None:
    """The CA does what was asked, and the client never hears of it."""
    exchange.forward()
    _abort(exchange.socket)


def _silent(exchange: Exchange) -> None:
    exchange.proxy.stopping.wait(300)


def _slow(exchange: Exchange) -> None:
    answer = exchange.forward()
    for byte in _head(answer, len(answer.body)) + answer.body:
        exchange.socket.sendall(bytes([byte]))
        if exchange.proxy.stopping.wait(0.5):
            return


def _huge(exchange: Exchange, announced: bool) -> None:
    """A body of 1 GiB, of which as much is sent as the client reads."""
    exchange.socket.sendall(_head(Answer(200, (_PROBLEM,), b""), _GIB if announced else None))
    block, sent = b'{"type": "' + b"a" * 65526, 0
    while sent < _GIB and not exchange.proxy.stopping.is_set():
        exchange.socket.sendall(block)
        sent += len(block)
        exchange.proxy.sent = sent


def _rewritten(exchange: Exchange, change: Callable[[bytes], bytes]) -> None:
    answer = exchange.forward()
    exchange.reply(Answer(answer.status, answer.headers, change(answer.body)))


def _processing(exchange: Exchange, retry_after: int) -> None:
    """The order is worked on, and stays so."""
    answer = exchange.forward()
    body = re.sub(rb'"status": "(valid|ready)"', b'"status": "processing"', answer.body)
    body = re.sub(rb',?\s*"certificate": "[^"]*"', b"", body)
    headers = [pair for pair in answer.headers if pair[0].lower() != "retry-after"]
    exchange.reply(Answer(answer.status, (*headers, _after(retry_after)), body))


def _moved(exchange: Exchange) -> None:
    """The CA has gone, and says where to; nothing is there."""
    exchange.reply(Answer(301, (_HTML, ("Location", f"https://{GATEWAY}:9/elsewhere")), _PAGE % 301))


def _tls_garbage(_proxy: Proxy, connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x15\x03\xff\xff\xffthis is no TLS" * 20)
    connection.close()


def _tls_plain(_proxy: Proxy, connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    connection.close()


def _tls_silent(proxy: Proxy, connection: socket.socket) -> None:
    proxy.stopping.wait(300)
    connection.close()


def _tls_with(issue: Callable[[Proxy], Issued]) -> Callable[[Proxy, socket.socket], None]:
    def connect(proxy: Proxy, connection: socket.socket) -> None:
        context = proxy.server_context(issue(proxy))
        context.wrap_socket(connection, server_side=True).close()

    return connect


def _window(start: str, end: str, *headers: tuple[str, str]) -> Callable[[Exchange], None]:
    body = json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode()
    return _instead(Answer(200, (("Content-Type", "application/json"), *headers), body))


def _iso(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def _signed(make: Callable[[wrong.Forger], str]) -> Callable[[Exchange], None]:
    """Another certificate than the one that the CA has made."""

    def act(exchange: Exchange) -> None:
        _rewritten(exchange, lambda _body: make(wrong.Forger(exchange)).encode())

    return act


def _self_signed(_proxy: Proxy) -> Issued:
    return Authority().issue(GATEWAY)


_HTML_RATE_LIMIT = _page(429, _after(LONG))

# Too much is asked
RATE_LIMITED = Kind("429", _problem(429, "rateLimited", "too many certificates already issued", _after(LONG)))
RATE_LIMITED_DATE = Kind("429-date", partial(_date, status=429, seconds=LONG))
RATE_LIMITED_SILENT = Kind("429-silent", _problem(429, "rateLimited", "too many new orders recently"))
RATE_LIMITED_HTML = Kind("429-html", _HTML_RATE_LIMIT)
# The CA is not well
OVERLOADED = Kind("503", _page(503))
OVERLOADED_SHORT = Kind("503-short", _page(503, _after(SHORT)))
OVERLOADED_LONG = Kind("503-long", _page(503, _after(LONG)))
OVERLOADED_DATE = Kind("503-date", partial(_date, status=503, seconds=LONG))
OVERLOADED_FOR_EVER = Kind("503-for-ever", _page(503, _after(86400)))
BAD_GATEWAY = Kind("502", _page(502))
INTERNAL = Kind("500", _problem(500, "serverInternal", "the database is away"))
MAINTENANCE = Kind("maintenance", _page(200))
EMPTY = Kind("empty", _instead(Answer(200, (_PROBLEM,), b"")))
BAD_NONCE_OFTEN = Kind("badNonce-50", partial(_bad_nonce, good=1, of=2))
BAD_NONCE_MOSTLY = Kind("badNonce-90", partial(_bad_nonce, good=1, of=10))
# It says no
ACCOUNT_GONE = Kind("account-gone", _problem(400, "accountDoesNotExist", "unknown account"))
TERMS = Kind("new-terms", _problem(403, "userActionRequired", "the terms of service have changed"))
REJECTED = Kind("rejected", _problem(400, "rejectedIdentifier", "policy forbids issuing for this name"))
CAA = Kind("caa", _problem(403, "caa", "CAA record for the name prevents issuance"))
REPLACED = Kind("already-replaced", _problem(409, "alreadyReplaced", "it has been replaced already"))
# The way to it is not well
REFUSED = Kind("refused", refuses=True)
RESET = Kind("reset", _reset)
RESET_IN_BODY = Kind("reset-in-body", _reset_in_body)
LOST = Kind("lost", _lost)
SILENT = Kind("silent", _silent)
SLOW = Kind("slow", _slow)
HUGE_ANNOUNCED = Kind("huge-announced", partial(_huge, announced=True))
HUGE = Kind("huge", partial(_huge, announced=False))
TLS_WRONG_NAME = Kind("tls-wrong-name", connect=_tls_with(lambda proxy: proxy.authority.issue("other.test")))
TLS_UNTRUSTED = Kind("tls-untrusted", connect=_tls_with(_self_signed))
TLS_ENDED = Kind(
    "tls-ended",
    connect=_tls_with(lambda proxy: proxy.authority.issue(GATEWAY, end=timedelta(hours=-1))),
)
TLS_GARBAGE = Kind("tls-garbage", connect=_tls_garbage)
TLS_PLAIN = Kind("tls-plain", connect=_tls_plain)
TLS_SILENT = Kind("tls-silent", connect=_tls_silent)
MOVED = Kind("moved", _moved)
# The order does not get on
PROCESSING = Kind("processing", partial(_processing, retry_after=1))
PROCESSING_LONG = Kind("processing-86400", partial(_processing, retry_after=86400))
# What it signs is not what was asked for
OTHER_NAME = Kind("other-name", _signed(wrong.other_name))
NAME_LEFT_OUT = Kind("name-left-out", _signed(wrong.name_left_out))
OTHER_KEY = Kind("other-key", _signed(wrong.other_key))
SHORT_LIFE = Kind("short-life", _signed(wrong.short_life))
ENDED = Kind("ended", _signed(wrong.ended))
NOT_YET_VALID = Kind("not-yet-valid", _signed(wrong.not_yet_valid))
ISSUER_ENDED = Kind("issuer-ended", _signed(wrong.issuer_ended))
CHAIN_MISSING = Kind("chain-missing", lambda exchange: _rewritten(exchange, wrong.without_chain))
CHAIN_MISORDERED = Kind("chain-misordered", _signed(wrong.chain_misordered))
CHAIN_OF_ANOTHER = Kind("chain-of-another", _signed(wrong.chain_of_another))
OTHER_ROOT = Kind("other-root", _signed(wrong.other_root))
NO_CERTIFICATE = Kind("no-certificate", _signed(wrong.no_certificate))
# Its renewal information is none (RFC 9773)
ARI_BACKWARDS = Kind("ari-backwards", _window(_iso(9), _iso(3), _after(21600)))
ARI_FAR = Kind("ari-9999", _window("9999-12-30T00:00:00Z", "9999-12-31T00:00:00Z", _after(0)))
ARI_NOT_FOUND = Kind("ari-404", _problem(404, "malformed", "no such certificate"))
ARI_INTERNAL = Kind("ari-500", _problem(500, "serverInternal", "the database is away"))
ARI_NO_JSON = Kind("ari-no-json", _instead(Answer(200, (_HTML, _after(10**12)), b"{'suggestedWindow': soon")))

KINDS = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}
