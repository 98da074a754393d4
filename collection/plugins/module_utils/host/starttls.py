# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be said before TLS begins, where a protocol begins without it.

Each dialogue ends when the server has agreed and waits for the handshake. All of it has one
deadline: a server that says a byte a second is not waited for.
"""

import re
import socket
import struct
import time
from typing import Callable, Dict, Optional, Tuple

_LIMIT = 64 * 1024  # of what a dialogue holds, and of what a server may say in all
_MYSQL_SSL = 0x0800
_OURS = "notafter.invalid"  # a name that is nobody's (RFC 6761 §6.4)


class Declined(OSError):
    """The server does not begin TLS here; the text says what it answered."""


class Busy(Declined):
    """The server has too many sessions already (RFC 5321 §4.2.3, RFC 959 §4.2): ask again later."""


class _Dialogue:
    """A connection with a deadline; what was received and not yet used stays in it."""

    def __init__(self, connection: socket.socket, name: str, deadline: float) -> None:
        self.connection = connection
        self.name = name
        self.deadline = deadline
        self.rest = b""
        self.received = 0

    def say(self, data: bytes) -> None:
        self.connection.settimeout(self._left())
        self.connection.sendall(data)

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        return left

    def _more(self) -> None:
        self.connection.settimeout(self._left())
        received = self.connection.recv(4096)
        if not received:
            raise Declined("the server ended the connection before TLS")
        self.rest += received
        self.received += len(received)
        if self.received > _LIMIT:
            raise Declined("the server says too much before TLS")

    def exactly(self, count: int) -> bytes:
        while len(self.rest) < count:
            self._more()
        found, self.rest = self.rest[:count], self.rest[count:]
        return found

    def line(self) -> bytes:
        while b"\n" not in self.rest:
            self._more()
        found, _newline, self.rest = self.rest.partition(b"\n")
        return found.rstrip(b"\r")

    def until(self, *signs: bytes) -> bytes:
        """All that comes up to the first of the signs, which is returned."""
        while True:
            found = [sign for sign in signs if sign in self.rest]
            if found:
                sign = min(found, key=self.rest.index)
                self.rest = self.rest[self.rest.index(sign) + len(sign) :]
                return sign
            self._more()

    def reply(self, wanted: bytes, what: str) -> None:
        """A reply of SMTP's and FTP's kind: `250-more`, lines between, `250 last` (RFC 959 §4.2)."""
        line = self.line()
        code = line[:3]
        while line[:3] != code or line[3:4] == b"-":
            line = self.line()
        if not line.startswith(wanted):
            raise _declined(what, line)

    def tagged(self, good: bytes, bad: Tuple[bytes, ...], what: str) -> None:
        """Lines up to one that begins with `good`; one that begins with a `bad` ends the dialogue."""
        while True:
            line = self.line()
            if line.upper().startswith(good):
                return
            if line.upper().startswith(bad):
                raise _declined(what, line)


def _declined(what: str, answer: bytes) -> Declined:
    told = answer[:200].decode("utf-8", "backslashreplace")
    if answer.startswith(b"421"):
        return Busy("asked too often: the server answers %s with %r" % (what, told))
    return Declined("the server does not begin TLS: it answers %s with %r" % (what, told))


def _smtp(dialogue: _Dialogue, hello: bytes = b"EHLO") -> None:
    """RFC 3207 §4."""
    dialogue.reply(b"220", "a connection")
    dialogue.say(hello + b" " + _OURS.encode("ascii") + b"\r\n")
    dialogue.reply(b"250", hello.decode("ascii"))
    dialogue.say(b"STARTTLS\r\n")
    dialogue.reply(b"220", "STARTTLS")


def _lmtp(dialogue: _Dialogue) -> None:
    """RFC 2033 §4.1, RFC 3207."""
    _smtp(dialogue, b"LHLO")


def _imap(dialogue: _Dialogue) -> None:
    """RFC 9051 §6.2.1."""
    dialogue.tagged(b"* OK", (b"* ",), "a connection")  # after PREAUTH it is too late for STARTTLS
    dialogue.say(b"n1 STARTTLS\r\n")
    dialogue.tagged(b"N1 OK", (b"N1 ", b"* BYE"), "STARTTLS")


def _pop3(dialogue: _Dialogue) -> None:
    """RFC 2595 §4."""
    dialogue.tagged(b"+OK", (b"",), "a connection")
    dialogue.say(b"STLS\r\n")
    dialogue.tagged(b"+OK", (b"",), "STLS")


def _ftp(dialogue: _Dialogue) -> None:
    """RFC 4217 §4.1."""
    dialogue.reply(b"220", "a connection")
    dialogue.say(b"AUTH TLS\r\n")
    dialogue.reply(b"234", "AUTH TLS")


def _nntp(dialogue: _Dialogue) -> None:
    """RFC 4642 §2.2."""
    dialogue.reply(b"20", "a connection")
    dialogue.say(b"STARTTLS\r\n")
    dialogue.reply(b"382", "STARTTLS")


def _sieve(dialogue: _Dialogue) -> None:
    """RFC 5804 §2.2."""
    dialogue.tagged(b"OK", (b"NO", b"BYE"), "a connection")
    dialogue.say(b"STARTTLS\r\n")
    dialogue.tagged(b"OK", (b"NO", b"BYE"), "STARTTLS")


def _ldap(dialogue: _Dialogue) -> None:
    """RFC 4511 §4.14: an extended request, and an answer whose result code is success."""
    oid = b"1.3.6.1.4.1.1466.20037"
    operation = b"\x80" + bytes([len(oid)]) + oid
    message = b"\x02\x01\x01\x77" + bytes([len(operation)]) + operation
    dialogue.say(b"\x30" + bytes([len(message)]) + message)
    head = dialogue.exactly(2)
    size = head[1]
    if size & 0x80:
        size = int.from_bytes(dialogue.exactly(size & 0x7F), "big")
    if head[:1] != b"\x30" or not 0 < size < _LIMIT:
        raise _declined("StartTLS", head)
    answer = dialogue.exactly(size)
    at = answer.find(b"\x0a\x01")  # resultCode: the first ENUMERATED
    if answer[3:4] != b"\x78" or at < 0 or answer[at + 2 : at + 3] != b"\0":
        raise _declined("StartTLS", answer)


def _postgres(dialogue: _Dialogue) -> None:
    """PostgreSQL's SSLRequest message (Frontend/Backend Protocol, "SSL Session Encryption")."""
    dialogue.say(struct.pack("!II", 8, 80877103))
    answer = dialogue.exactly(1)
    if answer != b"S":
        raise _declined("SSLRequest", answer + dialogue.rest)


def _mysql(dialogue: _Dialogue) -> None:
    """MySQL's protocol 10: its greeting, then an SSLRequest packet."""
    greeting = dialogue.exactly(int.from_bytes(dialogue.exactly(4)[:3], "little"))
    at = greeting.find(b"\0") + 1  # after the version's text: thread 4, salt 8, filler 1, capabilities 2
    capabilities = int.from_bytes(greeting[at + 13 : at + 15], "little")
    if greeting[:1] != b"\x0a" or not capabilities & _MYSQL_SSL:
        raise _declined("a connection", greeting)
    wanted = 0x8200 | _MYSQL_SSL  # protocol 4.1, secure connection
    dialogue.say(b"\x20\0\0\x01" + struct.pack("<IIB23x", wanted, 1 << 24, 33))


def _xmpp(dialogue: _Dialogue, namespace: str = "jabber:client") -> None:
    """RFC 6120 §5.4."""
    head = "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='http://etherx.jabber.org/streams' "
    head = (head + "to='%s' version='1.0'>") % (
        namespace,
        re.sub("[^A-Za-z0-9._-]", "", dialogue.name) or "localhost",
    )
    dialogue.say(head.encode("ascii"))
    if (
        dialogue.until(b"</stream:features>", b"</stream:error>", b"</stream:stream>")
        != b"</stream:features>"
    ):
        raise Declined("the server does not begin TLS: it answers a stream with an error")
    dialogue.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    if dialogue.until(b"<proceed", b"<failure", b"</stream:error>", b"</stream:stream>") != b"<proceed":
        raise Declined("the server does not begin TLS: it answers starttls with a failure")
    dialogue.until(b">")


def _xmpp_server(dialogue: _Dialogue) -> None:
    """The same between servers, at port 5269."""
    _xmpp(dialogue, "jabber:server")


_DIALOGUES: Dict[str, Callable[[_Dialogue], None]] = {
    "ftp": _ftp,
    "imap": _imap,
    "ldap": _ldap,
    "lmtp": _lmtp,
    "mysql": _mysql,
    "nntp": _nntp,
    "pop3": _pop3,
    "postgres": _postgres,
    "sieve": _sieve,
    "smtp": _smtp,
    "xmpp": _xmpp,
    "xmpp-server": _xmpp_server,
}
PROTOCOLS = tuple(sorted(_DIALOGUES))


def begin(connection: socket.socket, protocol: str, name: Optional[str], deadline: float) -> None:
    """Brings a connection to the point where TLS begins, or raises an OSError that says why not.

    `deadline` is a moment of time.monotonic(). `name` is the host that is asked for.
    """
    dialogue = _Dialogue(connection, name or "", deadline)
    _DIALOGUES[protocol](dialogue)
    if dialogue.rest:
        raise Declined("the server sent more than its answer before TLS")
