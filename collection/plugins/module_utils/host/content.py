# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes that one file is to have: certificate, issuers and key in the form that the file has."""

from typing import Any, Dict, List

from . import der, openssl, pem, transaction
from .errors import HostError, Refused
from .services import _keystore_forms as forms

#: What holds the end-entity certificate, and what holds its key.
WITH_CERTIFICATE = ("leaf", "fullchain", "combined", "der", "pkcs7", "pkcs12", "jks")
WITH_KEY = ("key", "combined", "pkcs12", "jks")
_PEM_KINDS = ("leaf", "chain", "fullchain", "key", "combined")
KINDS = (*_PEM_KINDS, "der", "pkcs7", "pkcs12", "jks")
_SIGNED_DATA, _DATA = "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.1"


def wanted(kind: str, bundle: Dict[str, Any], path: str) -> bytes:
    """What a file that is no keystore is to hold; its order and its encoding are those that it has now."""
    old = present(path)
    if kind == "der":
        return pem.der(bundle["certificate"])
    if kind == "pkcs7":
        bundled = _pkcs7(pem.certificates(bundle["certificate"] + "\n" + bundle["chain"]))
        return _armoured(bundled, b"PKCS7") if b"-----BEGIN " in old else bundled
    if kind == "key" and forms.contents(old).form == forms.DER:
        return openssl.key_der(bundle["private_key"].encode("ascii"))
    return as_pem(kind, bundle, _key_is_first(old))


def as_pem(kind: str, bundle: Dict[str, Any], key_first: bool = False) -> bytes:
    """The parts of a bundle as one text, in the order that the kind has."""
    certificate, chain, key = (_lines(bundle[part]) for part in ("certificate", "chain", "private_key"))
    return {
        "leaf": certificate,
        "chain": chain,
        "fullchain": certificate + chain,
        "key": key,
        "combined": key + certificate + chain if key_first else certificate + chain + key,
    }[kind].encode("ascii")


def require_ours(path: str, kind: str, content: bytes) -> None:
    """Refuses to write over what is neither certificate nor key.

    A configuration may belong to less than root; whoever writes there must not be able to have
    root overwrite whatever he names.
    """
    if not content.strip():
        return
    form = forms.contents(content).form
    if kind in forms.KEYSTORES:
        known = form in forms.KEYSTORES
    elif kind in _PEM_KINDS and not (kind == "key" and form == forms.DER):
        known = b"-----BEGIN " in content
    else:
        known = form in (forms.DER, forms.PKCS7)
    if not known:
        raise Refused("not_ours_to_write", "%s holds neither certificate nor key" % path)


def certificates(data: bytes) -> List[bytes]:
    """The certificates (DER) in a file that is no keystore, in the order they stand."""
    return forms.contents(data).certificates


def present(path: str) -> bytes:
    """What lies there; nothing where it cannot be read (that is said when the file is examined)."""
    try:
        return transaction.read(path) or b""
    except HostError:
        return b""


def _key_is_first(old: bytes) -> bool:
    """Whether a file begins with its key: a server may insist on that order (Postfix's chain files)."""
    key, certificate = old.find(b"PRIVATE KEY-----"), old.find(b"-----BEGIN CERTIFICATE-----")
    return 0 <= key < certificate


def _pkcs7(certificates: List[str]) -> bytes:
    """A bundle of certificates: SignedData that nobody has signed (RFC 2315 §9.1)."""
    held = der.encoded(der.FIRST, *sorted(pem.der(one) for one in certificates))
    nothing = der.encoded(der.SET)
    data = der.encoded(der.SEQUENCE, der.identifier(_DATA))
    signed = der.encoded(der.SEQUENCE, der.integer(1), nothing, data, held, nothing)
    return der.encoded(der.SEQUENCE, der.identifier(_SIGNED_DATA), der.encoded(der.FIRST, signed))


def _armoured(body: bytes, label: bytes) -> bytes:
    lines = pem.wrapped(body).encode("ascii")
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, lines, label)


def _lines(text: str) -> str:
    return text.strip() + "\n" if text.strip() else ""
