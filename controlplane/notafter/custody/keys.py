"""Makes private keys and signing requests; a key leaves this room only as bytes to be sealed."""

import base64
import hashlib
import ipaddress
import json
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from notafter.domain.certificate import KeyType
from notafter.domain.names import is_address

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_PUBLIC_EXPONENT = 65537
_COMMON_NAME_LIMIT = 64

_CURVES: Mapping[KeyType, type[ec.EllipticCurve]] = {
    KeyType.EC_256: ec.SECP256R1,
    KeyType.EC_384: ec.SECP384R1,
}
_RSA_BITS: Mapping[KeyType, int] = {
    KeyType.RSA_2048: 2048,
    KeyType.RSA_3072: 3072,
    KeyType.RSA_4096: 4096,
}


def make_key(key_type: KeyType) -> Key:
    """Make a new private key."""
    curve = _CURVES.get(key_type)
    if curve is not None:
        return ec.generate_private_key(curve())
    return rsa.generate_private_key(_PUBLIC_EXPONENT, _RSA_BITS[key_type])


def make_request(key: Key, names: tuple[str, ...]) -> str:
    """Return a signing request for the names (RFC 8555 §7.4): dNSNames, and addresses as such (RFC 8738 §3).

    The first one is the common name as well, where it fits (RFC 5280: 64 characters) and is a host's name.
    """
    subject = []
    if len(names[0]) <= _COMMON_NAME_LIMIT and not is_address(names[0]):
        subject.append(x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0]))
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode("ascii")


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)


def private_pem(key: Key) -> bytes:
    """Return the key as unencrypted PKCS #8, to be sealed at once."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_der(private: bytes) -> bytes:
    """Return the public half of a private key."""
    public = load_pem_private_key(private, None).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def account_pem() -> bytes:
    """Make an ACME account key: P-256 in the form that acme.sh and OpenSSL know best."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def thumbprint(account: bytes) -> str:
    """Return the JWK thumbprint of a P-256 account key (RFC 7638): what http-01 answers end with."""
    key = load_pem_private_key(account, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("an account key is P-256")
    numbers = key.public_key().public_numbers()
    jwk = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    text = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(text.encode("ascii")).digest())


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(32, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
