# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keystores and bundles for the tests of the scan, written byte by byte where no library writes them."""

from __future__ import annotations

import hashlib
import struct
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Made

JKS, JCEKS = 0xFEEDFEED, 0xCECECECE


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def above(made: Made) -> list[x509.Certificate]:
    """The chain above a certificate."""
    return x509.load_pem_x509_certificates(made.chain.encode()) if made.chain else []


def bundle(*made: Made, form: str = "DER") -> bytes:
    """A PKCS#7 bundle of certificates with their chains."""
    every = [one.certificate for one in made] + [issuer for one in made for issuer in above(one)]
    return pkcs7.serialize_certificates(every, getattr(serialization.Encoding, form))


def pfx(made: Made, password: str | None, alias: str = "it") -> bytes:
    """A PKCS#12 keystore with one entry."""
    how: t.Any = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(alias.encode(), made.key, made.certificate, above(made), how)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack(">H", len(data)) + data


def _certificate(one: x509.Certificate) -> bytes:
    data = der(one)
    return _text("X.509") + struct.pack(">I", len(data)) + data


def key_entry(alias: str, made: Made, secret: bytes = b"\x30\x03encrypted") -> bytes:
    """An entry with a private key, which nobody here can read."""
    chain = [made.certificate, *above(made)]
    head = (
        struct.pack(">I", 1) + _text(alias) + struct.pack(">Q", 0) + struct.pack(">I", len(secret)) + secret
    )
    return head + struct.pack(">I", len(chain)) + b"".join(map(_certificate, chain))


def trusted_entry(alias: str, made: Made) -> bytes:
    return struct.pack(">I", 2) + _text(alias) + struct.pack(">Q", 0) + _certificate(made.certificate)


def jks(*entries: bytes, password: str = "changeit", magic: int = JKS) -> bytes:  # noqa: S107 - no secret
    """A keystore in Java's own format (version 2)."""
    body = struct.pack(">III", magic, 2, len(entries)) + b"".join(entries)
    seal = hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body)  # noqa: S324 - the format's own
    return body + seal.digest()
