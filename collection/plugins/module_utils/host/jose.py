# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs requests as ACME wants them (RFC 7515, RFC 7518); openssl gets the key through a pipe."""

import base64
import hashlib
import hmac
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import commands
from .errors import HostError

_TEXT = re.compile(r"^[A-Za-z0-9_-]+\Z")
_EC = bytes.fromhex("06072a8648ce3d0201")
_RSA = bytes.fromhex("06092a864886f70d0101010500")


class OtherKey(HostError):
    """The key is of a kind that ACME has no algorithm for, or is no key at all."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_request", message)


class _Curve(NamedTuple):
    oid: bytes
    name: str
    algorithm: str
    digest: str
    size: int


_CURVES = (
    _Curve(bytes.fromhex("06082a8648ce3d030107"), "P-256", "ES256", "sha256", 32),
    _Curve(bytes.fromhex("06052b81040022"), "P-384", "ES384", "sha384", 48),
    _Curve(bytes.fromhex("06052b81040023"), "P-521", "ES512", "sha512", 66),
)


class Key:
    """A private key (PEM): what the CA knows it by, and what it signs."""

    def __init__(self, private_key: str) -> None:
        self._pem = private_key.encode("ascii")
        told = commands.run(["openssl", "pkey", "-pubout", "-outform", "DER"], 20.0, input=self._pem)
        if told.returncode != 0:
            raise OtherKey("this is no private key that openssl can read")
        self._curve, self.jwk = _public(told.stdout)
        self.algorithm = self._curve.algorithm if self._curve else "RS256"

    def thumbprint(self) -> str:
        """The JWK thumbprint (RFC 7638), which answers to http-01 end with (RFC 8555 §8.1)."""
        text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":"))
        return base64url(hashlib.sha256(text.encode("ascii")).digest())

    def signed(self, protected: Dict[str, Any], payload: Optional[Any]) -> Dict[str, str]:
        """A flattened JWS; without a payload it is a POST-as-GET (RFC 8555 §6.3)."""
        head = base64url(json.dumps(dict(protected, alg=self.algorithm)).encode("ascii"))
        body = "" if payload is None else base64url(json.dumps(payload).encode("ascii"))
        signature = self._sign(("%s.%s" % (head, body)).encode("ascii"))
        return {"protected": head, "payload": body, "signature": base64url(signature)}

    def _sign(self, data: bytes) -> bytes:
        digest = self._curve.digest if self._curve else "sha256"
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "wb") as stream:
                stream.write(self._pem)  # a pipe holds 64 KiB, and a key is far less
            argv = ["openssl", "dgst", "-" + digest, "-sign", "/dev/fd/%d" % reading]
            made = commands.run(argv, 20.0, input=data, pass_fds=(reading,))
        finally:
            os.close(reading)
        if made.returncode != 0:
            raise OtherKey("openssl cannot sign with the key: %s" % made.said())
        return _raw(made.stdout, self._curve.size) if self._curve else made.stdout


def hmac_signed(key: bytes, protected: Dict[str, Any], payload: Any) -> Dict[str, str]:
    """A flattened JWS by a shared key: what binds an account to one outside of ACME (RFC 8555 §7.3.4)."""
    head = base64url(json.dumps(dict(protected, alg="HS256")).encode("ascii"))
    body = base64url(json.dumps(payload).encode("ascii"))
    made = hmac.new(key, ("%s.%s" % (head, body)).encode("ascii"), hashlib.sha256).digest()
    return {"protected": head, "payload": body, "signature": base64url(made)}


def base64url(data: bytes) -> str:
    """Base64 as JOSE has it: the alphabet of URLs, no padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> Optional[bytes]:
    """The bytes of such a text, with or without padding; None where it is none."""
    bare = text.rstrip("=").replace("+", "-").replace("/", "_")
    if not _TEXT.match(bare) or len(bare) % 4 == 1:
        return None
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


def _public(spki: bytes) -> Tuple[Optional[_Curve], Dict[str, str]]:
    """The curve, if there is one, and the JWK (RFC 7517) of a SubjectPublicKeyInfo."""
    algorithm, bits = _parts(_parts(spki)[0])
    if algorithm == _RSA:
        modulus, exponent = _parts(_parts(bits[1:])[0])
        return None, {"e": _number(exponent), "kty": "RSA", "n": _number(modulus)}
    for curve in _CURVES:
        if algorithm == _EC + curve.oid and bits[1:2] == b"\x04":
            x, y = bits[2 : 2 + curve.size], bits[2 + curve.size :]
            return curve, {"crv": curve.name, "kty": "EC", "x": base64url(x), "y": base64url(y)}
    raise OtherKey("the key is neither RSA nor of the curves P-256, P-384 and P-521")


def _number(content: bytes) -> str:
    return base64url(content.lstrip(b"\0"))


def _raw(der: bytes, size: int) -> bytes:
    """An ECDSA signature as JOSE has it, r and s of a fixed size (RFC 7518 §3.4), from its DER."""
    r, s = _parts(_parts(der)[0])
    return r.lstrip(b"\0").rjust(size, b"\0") + s.lstrip(b"\0").rjust(size, b"\0")


def _parts(der: bytes) -> List[bytes]:
    """What the values that stand one after another hold (X.690 §8.1); openssl wrote them."""
    found = []
    while len(der) >= 2:
        length, start = der[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(der[2:start], "big")
        found.append(der[start : start + length])
        der = der[start + length :]
    return found
