"""A certificate authority for tests that need certificates and no ACME: in memory, quick, and able to err."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = datetime.timedelta(days=1)


def _key(key_type: str) -> PrivateKey:
    if key_type.startswith("rsa"):
        return rsa.generate_private_key(65537, int(key_type.partition("-")[2]))
    return ec.generate_private_key(ec.SECP256R1() if key_type == "ec-256" else ec.SECP384R1())


def pem_of(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def pem_of_key(key: PrivateKey) -> str:
    """A private key as PEM (PKCS #8)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


@dataclass(frozen=True)
class Issued:
    """A certificate with its chain and key, as text."""

    certificate: str
    chain: str
    private_key: str
    key_type: str

    @property
    def fingerprint(self) -> str:
        """Lower-case hex SHA-256 over the DER."""
        return x509.load_pem_x509_certificate(self.certificate.encode()).fingerprint(hashes.SHA256()).hex()

    def bundle(self) -> dict[str, str]:
        """As the host program takes it."""
        return {
            "certificate": self.certificate,
            "chain": self.chain,
            "private_key": self.private_key,
            "fingerprint_sha256": self.fingerprint,
            "key_type": self.key_type.partition("-")[0],
        }


class Authority:
    """A root, an intermediate, and whatever a test wants signed."""

    def __init__(self) -> None:
        self._root_key, self._intermediate_key = _key("ec-256"), _key("ec-256")
        root_name, name = _name("Test Root"), _name("Test Intermediate")
        self.root = self._sign(root_name, self._root_key, root_name, self._root_key, is_ca=True)
        self.intermediate = self._sign(name, self._intermediate_key, root_name, self._root_key, is_ca=True)

    def issue(
        self,
        *names: str,
        key_type: str = "ec-256",
        start: datetime.timedelta = -_DAY,
        end: datetime.timedelta = 30 * _DAY,
    ) -> Issued:
        """A new certificate with a new key for these names, valid from `start` to `end` as seen from now."""
        key = _key(key_type)
        certificate = self._sign(
            x509.Name([]),
            key,
            self.intermediate.subject,
            self._intermediate_key,
            names=names,
            start=start,
            end=end,
        )
        return Issued(pem_of(certificate), pem_of(self.intermediate), pem_of_key(key), key_type)

    def answer(self, csr_pem: str) -> dict[str, str]:
        """A certificate for a signing request and what it asks for, as the module reports one."""
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        wanted = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate = self._sign(
            x509.Name([]),
            csr,
            self.intermediate.subject,
            self._intermediate_key,
            names=tuple(str(name.value) for name in wanted),
        )
        return {"pem": pem_of(certificate), "chain_pem": pem_of(self.intermediate)}

    def _sign(
        self,
        subject: x509.Name,
        key: PrivateKey | x509.CertificateSigningRequest,
        issuer: x509.Name,
        issuer_key: PrivateKey,
        *,
        is_ca: bool = False,
        names: tuple[str, ...] = (),
        start: datetime.timedelta = -_DAY,
        end: datetime.timedelta = 30 * _DAY,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if names:
            alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
            # RFC 5280 §4.2.1.6, and Java loads no other: critical where there is no subject
            builder = builder.add_extension(alternative, critical=not list(subject))
        return builder.sign(issuer_key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
