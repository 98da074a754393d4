"""Reads certificates that came from anywhere: hostile bytes are refused, never a crash."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notafter.domain.errors import UnreadableCertificate

#: What `cryptography` raises for bytes that load as a certificate and break when looked at.
_BROKEN = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MAX_PEM = 1_000_000


@dataclass(frozen=True)
class Leaf:
    """What we keep of an end-entity certificate."""

    pem: str
    serial: str
    fingerprint: str
    issuer: str
    names: tuple[str, ...]
    key_type: str
    not_before: datetime
    not_after: datetime
    authority_key_id: str | None
    public_key: bytes


def read_leaf(pem: str) -> Leaf:
    """Return the first certificate of a PEM text, or say why it is none."""
    block = _BLOCK.search(pem) if len(pem) <= _MAX_PEM else None
    if block is None:
        raise UnreadableCertificate("there is no certificate in this text")
    try:
        return _leaf(x509.load_pem_x509_certificate(block[0].encode("ascii")))
    except _BROKEN as error:
        raise UnreadableCertificate(f"no readable certificate: {str(error)[:200]}") from error


def split(pem: str) -> list[str]:
    """Return the certificates of a PEM text, one text each, with a final line end."""
    return [block + "\n" for block in _BLOCK.findall(pem[:_MAX_PEM])]


def csr_public_key(csr_pem: str) -> bytes:
    """Return the public key of a signing request, to hold against the certificate's."""
    request = x509.load_pem_x509_csr(csr_pem.encode())
    return request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _leaf(certificate: x509.Certificate) -> Leaf:
    der = certificate.public_bytes(Encoding.DER)
    public = certificate.public_key()
    return Leaf(
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
        serial=f"{certificate.serial_number:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        key_type=_key_type(public),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        authority_key_id=_authority_key_id(certificate),
        public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the dNSNames and then the addresses; the common name only where there are none (RFC 9525 §2)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(attribute.value) for attribute in common[:1])
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return (*extension.value.get_values_for_type(x509.DNSName), *(str(one) for one in addresses))


def _authority_key_id(certificate: x509.Certificate) -> str | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    identifier = extension.value.key_identifier
    return identifier.hex() if identifier else None


def _key_type(public: object) -> str:
    """Name the kind of key as the settings do: `ec-256`, `rsa-2048`."""
    if isinstance(public, rsa.RSAPublicKey):
        return f"rsa-{public.key_size}"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"ec-{public.key_size}"
    return type(public).__name__.removeprefix("_").removesuffix("PublicKey").lower()
