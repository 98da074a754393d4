"""Mutated certificates through the controller's parser and the host's reader of files.

Neither may raise: whatever loads badly is kept with its error.
"""

from __future__ import annotations

import json
import signal
import time
import traceback
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.module_utils.host.services import _keys
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _keystore_forms as forms
from ansible_collections.notafter.tls.plugins.plugin_utils import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.authority import Authority, pem_of_key
from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

#: CPU seconds that one damaged certificate may cost.
SECONDS = 2.0
_NOW = datetime(2026, 6, 1, tzinfo=UTC)


class TooSlowError(BaseException):
    """One input has used up its CPU time."""


def seeds() -> list[bytes]:
    """Certificates of many sorts, as DER, as PEM, with chains, keys and text around."""
    keys: list[Any] = [ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP521R1())]
    keys += [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()]
    keys.append(dsa.generate_private_key(2048))
    made = [_certificate(key, names) for key, names in zip(keys, _names(), strict=True)]
    issued = Authority().issue("shop.example", "*.shop.example")
    whole = issued.certificate + issued.chain
    texts = [one.public_bytes(Encoding.PEM) for one in made]
    texts += [whole.encode(), (whole + issued.private_key).encode(), pem_of_key(keys[0]).encode()]
    texts.append(b"\xef\xbb\xbfsubject=/CN=x\r\n" + whole.replace("\n", "\r\n").encode())
    texts.append(pkcs7.serialize_certificates(made[:2], Encoding.PEM))
    texts.append(pkcs7.serialize_certificates(made[:2], Encoding.DER))
    return texts + [one.public_bytes(Encoding.DER) for one in made] * 3


def _names() -> list[list[str]]:
    return [["a.example"], ["*.b.example", "x" * 60 + ".example"], [], ["c.example"] * 40, ["d.example"]]


def _certificate(key: Any, names: list[str]) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else 'Ünï, +"\\<>;'),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "{{ 7*7 }}"),
        ]
    )
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=subject, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=9))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(_signer(key), None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _signer(key: Any) -> CertificateIssuerPrivateKeyTypes:
    signer: CertificateIssuerPrivateKeyTypes = key
    return signer


def read(data: bytes) -> None:
    """All that is done with a file's bytes, on the host and then on the controller."""
    json.dumps(certificates.describe(data), ensure_ascii=False).encode()
    found = forms.contents(data)
    _keys.of_private(data)
    for der in found.certificates:
        _keys.of_certificate(der)
        forms.names(der)
    text = data.decode("utf-8", "backslashreplace")
    json.dumps(certificates.check_bundle(text, text, ["a.example", "*.b.example"], _NOW)).encode()


def fuzz(seed: str, numbers: range) -> int:
    """Reads damaged certificates; prints and counts those that go wrong."""
    signal.signal(signal.SIGPROF, _expire)
    whole = seeds()
    for one in whole:
        read(one)
    wrong, slowest, parsed = 0, 0.0, 0
    for number in numbers:
        random = Random(f"{seed}/certificate/{number}")  # noqa: S311 - damage must come back
        data = mutated(random.choice(whole), random, whole)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            read(data)
            parsed += certificates.describe(data)["fingerprint"] is not None
        except (Exception, TooSlowError):  # noqa: BLE001 - any of them is what is looked for
            signal.setitimer(signal.ITIMER_PROF, 0)
            wrong += 1
            print(f"certificate {number} of seed {seed}: {data.hex()[:4000]}\n{traceback.format_exc()}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, time.process_time() - began)
    print(
        f"certificates: {len(numbers)} damaged, {parsed} still with a fingerprint, {wrong} wrong; "
        f"slowest {slowest:.2f} s"
    )
    return wrong


def _expire(_signal: int, _frame: object) -> None:
    raise TooSlowError
