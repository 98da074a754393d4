"""What a client is shown by a server: one TLS handshake, nothing believed or remembered."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from typing import Literal

from tests.lab.errors import HandshakeError

KeyKind = Literal["rsa", "ecdsa"]

_CIPHERS = {"rsa": "ECDHE+aRSA", "ecdsa": "ECDHE+aECDSA"}


def leaf(
    address: str,
    port: int,
    name: str | None = None,
    key_kind: KeyKind | None = None,
    timeout: float = 5,
) -> bytes:
    """The certificate that a new handshake gets, as DER.

    A wildcard is asked for as a name below it. With a kind of key the client
    pretends to know no other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if key_kind is not None:
        # In TLS 1.3 the suite no longer says which kind of key signs.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS[key_kind])
    asked = None if name is None else re.sub(r"^\*\.", "notafter-probe.", name)
    try:
        with (
            socket.create_connection((address, port), timeout) as plain,
            context.wrap_socket(plain, server_hostname=asked) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
    except OSError as error:
        raise HandshakeError(f"{address}:{port} {asked or '(no name)'}: {error}") from error
    if certificate is None:
        raise HandshakeError(f"{address}:{port} {asked or '(no name)'}: no certificate was shown")
    return certificate


def connects(address: str, port: int, timeout: float = 2) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError:
        return False
    return True


def fingerprint(certificate: bytes | str) -> str:
    """SHA-256 over the DER of a certificate; of a PEM text the first one counts."""
    if isinstance(certificate, str):
        end = "-----END CERTIFICATE-----"
        certificate = ssl.PEM_cert_to_DER_cert(certificate.partition(end)[0].strip() + f"\n{end}\n")
    return hashlib.sha256(certificate).hexdigest()
