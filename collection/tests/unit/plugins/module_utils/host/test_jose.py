# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever key signs a request, another implementation finds the signature right."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import jose
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm, int]] = {
    "ES256": (ec.SECP256R1(), hashes.SHA256(), 32),
    "ES384": (ec.SECP384R1(), hashes.SHA384(), 48),
    "ES512": (ec.SECP521R1(), hashes.SHA512(), 66),
}
TRIES = 12


def pem(key: t.Any, form: str = "PKCS8") -> str:
    """A private key as text."""
    plain = serialization.NoEncryption()
    made: bytes = key.private_bytes(
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), plain
    )
    return made.decode()


def decoded(text: str) -> bytes:
    """The bytes of a part of a JWS."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("algorithm", CURVES)
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_signature_by_each_curve_is_valid(algorithm: str, form: str) -> None:
    curve, digest, size = CURVES[algorithm]
    private = ec.generate_private_key(curve)
    key = jose.Key(pem(private, form))
    numbers = private.public_key().public_numbers()
    assert decoded(key.jwk["x"]) == numbers.x.to_bytes(size, "big")
    assert decoded(key.jwk["y"]) == numbers.y.to_bytes(size, "big")
    for number in range(TRIES):
        made = key.signed({"url": "https://ca.example/x"}, {"number": number})
        assert json.loads(decoded(made["protected"]))["alg"] == algorithm
        raw = decoded(made["signature"])
        assert len(raw) == 2 * size
        signature = utils.encode_dss_signature(
            int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
        )
        said = f"{made['protected']}.{made['payload']}".encode()
        private.public_key().verify(signature, said, ec.ECDSA(digest))


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_signature_by_rsa_is_valid(bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    key = jose.Key(pem(private))
    assert int.from_bytes(decoded(key.jwk["n"]), "big") == private.public_key().public_numbers().n
    assert key.jwk["e"] == "AQAB"
    made = key.signed({}, None)
    assert made["payload"] == ""
    private.public_key().verify(
        decoded(made["signature"]), f"{made['protected']}.".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


@pytest.mark.parametrize("r", [1, 255, 2**255, 2**256 - 1, 2**248 - 1])
def test_short_and_long_numbers_of_a_signature_have_32_bytes(r: int) -> None:
    raw = jose._raw(utils.encode_dss_signature(r, 7), 32)
    assert raw == r.to_bytes(32, "big") + (7).to_bytes(32, "big")


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """Its section 3.1 has a key and the thumbprint of it."""
    key = jose.Key.__new__(jose.Key)
    key.jwk = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    assert key.thumbprint() == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("text", ["", "no key", pem(ed25519.Ed25519PrivateKey.generate())])
def test_a_key_that_acme_has_no_algorithm_for_is_told(text: str) -> None:
    with pytest.raises(jose.OtherKey):
        jose.Key(text)


def test_a_binding_is_signed_with_the_shared_key() -> None:
    made = jose.hmac_signed(b"secret", {"kid": "kid-1", "url": "https://ca.example/new"}, {"kty": "EC"})
    said = f"{made['protected']}.{made['payload']}".encode()
    assert decoded(made["signature"]) == hmac.new(b"secret", said, hashlib.sha256).digest()
    assert json.loads(decoded(made["protected"])) == {
        "alg": "HS256",
        "kid": "kid-1",
        "url": "https://ca.example/new",
    }


@pytest.mark.parametrize(
    ("text", "found"), [("_-8", b"\xff\xef"), ("/+8=", b"\xff\xef"), ("a'b", None), ("", None), ("a", None)]
)
def test_a_shared_key_is_read_as_cas_give_it(text: str, found: bytes | None) -> None:
    assert jose.from_base64url(text) == found
