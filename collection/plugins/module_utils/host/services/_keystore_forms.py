# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which files hold certificates, told by their content and never by their name.

PEM, DER and PKCS#7 are taken apart here; of keystores it is only said that they are keystores
(`_keystore` opens them). What comes out as a certificate has the outer shape of one, so that
no private key can be taken for it, whatever label it bears.
"""

import binascii
import functools
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

PEM, DER, PKCS7, PKCS12, JKS = "pem", "der", "pkcs7", "pkcs12", "jks"
KEYSTORES = (PKCS12, JKS)

_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_BUNDLES = (b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,60})-----")
_JAVA = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")  # JKS and JCEKS
# PFX ::= SEQUENCE { version INTEGER (3), authSafe … }; BER with lengths left open is allowed (RFC 7292)
_PFX = re.compile(rb"\x30(\x80|[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03\x30", re.DOTALL)
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
_IS_AUTHORITY = re.compile(rb"\x06\x03\x55\x1d\x13(\x01\x01\xff)?\x04.\x30.\x01\x01\xff", re.DOTALL)
_SEQUENCE, _SET, _INTEGER, _OCTETS, _FIRST = 0x30, 0x31, 0x02, 0x04, 0xA0
_BUNDLE_LIMIT = 1000
CHAIN_LIMIT = 100


class Contents(NamedTuple):
    """What a file is and holds: certificates as DER, whether a private key is in it, what is wrong."""

    form: str
    certificates: List[bytes]
    has_key: bool
    trouble: Optional[str]


class Element(NamedTuple):
    """A DER element: its tag, where its content begins, where it ends."""

    tag: int
    start: int
    end: int


def contents(data: bytes) -> Contents:
    """What a file's bytes are; never raises."""
    if _BEGIN.search(data) is None:
        if data[:4] in _JAVA:
            return Contents(JKS, [], False, None)
        if _PFX.match(data):
            return Contents(PKCS12, [], False, None)
        found = _binary(data)
        if found is not None:
            return found
    return _pem(data)


def _binary(data: bytes) -> Optional[Contents]:
    if data[:1] != b"\x30":
        return None
    der = certificate(data)
    if der is not None:
        return Contents(DER, [der], False, None)
    if _is_key(data):
        return Contents(DER, [], True, None)
    bundle = pkcs7(data)
    if bundle is None:
        return None
    return Contents(PKCS7, bundle, False, None if bundle else "no certificate in its PKCS#7")


def _pem(data: bytes) -> Contents:
    found: List[bytes] = []
    has_key = False
    form = PEM
    at = 0
    while True:
        begin = _BEGIN.search(data, at)
        if begin is None:
            break
        label = begin.group(1)
        end = data.find(b"-----END " + label + b"-----", begin.end())
        if end < 0:
            return Contents(form, found, has_key, "a block of PEM never ends")
        body = data[begin.end() : end]
        at = end
        if label.endswith(b"PRIVATE KEY"):
            has_key = True
        elif label in _CERTIFICATES:
            der = _decoded_certificate(body)
            if der is None:
                return Contents(form, found, has_key, "certificate %d is damaged" % (len(found) + 1))
            found.append(der)
        elif label in _BUNDLES:
            form = PKCS7
            found.extend(pkcs7(decoded(body)) or [])
    if found or has_key:
        return Contents(form, found, has_key, None)
    if form == PKCS7:
        return Contents(form, [], False, "no certificate in its PKCS#7")
    return Contents(form, [], False, "no PEM in it" if data.strip() else "empty")


@functools.lru_cache(maxsize=64)  # a host has an issuer's certificate in hundreds of files
def _decoded_certificate(body: bytes) -> Optional[bytes]:
    return certificate(decoded(body))


def decoded(body: bytes) -> bytes:
    """The bytes of a block of PEM; none where it is damaged."""
    try:
        text = b"".join(body.split())
        return binascii.a2b_base64(text) if _BASE64.fullmatch(text) else b""
    except (binascii.Error, ValueError):
        return b""


def element(der: bytes, at: int) -> Optional[Element]:
    """The DER element that begins at a place, None where none does (or with a length left open)."""
    if at + 2 > len(der):
        return None
    size = der[at + 1]
    start = at + 2
    if size >= 0x80:
        width = size & 0x7F
        size = int.from_bytes(der[start : start + width], "big")
        start += width
        if not 1 <= width <= 4:
            return None
    return Element(der[at], start, start + size) if start + size <= len(der) else None


def _inside(der: bytes, outer: Optional[Element], tag: int, place: int = 0) -> Optional[Element]:
    """The element at a place (0 is the first) inside of another, if it has that tag."""
    if outer is None:
        return None
    at = outer.start
    inner = None
    for _turn in range(place + 1):
        inner = element(der, at)
        if inner is None or inner.end > outer.end:
            return None
        at = inner.end
    return inner if inner is not None and inner.tag == tag else None


def certificate(der: bytes) -> Optional[bytes]:
    """The certificate that bytes begin with, by its outer shape; None where it is something else.

    TBSCertificate begins with its version [0] or, in version 1, with the serial number; an
    encrypted key begins with an object identifier there, a plain one with no sequence at all.
    """
    whole = element(der, 0)
    inner = _inside(der, whole, _SEQUENCE)
    first = None if inner is None else der[inner.start : inner.start + 1]
    if whole is None or whole.tag != _SEQUENCE or first not in (b"\xa0", b"\x02"):
        return None
    # PKCS#7 inside PKCS#12 looks alike from outside; a signature is what only a certificate has
    if _inside(der, whole, _SEQUENCE, 1) is None or _inside(der, whole, 0x03, 2) is None:
        return None
    return der[: whole.end]


def _is_key(der: bytes) -> bool:
    """Whether bytes are a private key: PKCS#8 plain or encrypted, PKCS#1 or SEC 1."""
    whole = element(der, 0)
    if _inside(der, whole, _INTEGER) is not None:
        return any(_inside(der, whole, tag, 1) for tag in (_SEQUENCE, _INTEGER, _OCTETS))
    return _inside(der, whole, _SEQUENCE) is not None and _inside(der, whole, _OCTETS, 1) is not None


def pkcs7(der: bytes) -> Optional[List[bytes]]:
    """The certificates of a PKCS#7 bundle (SignedData, RFC 2315 §9.1), None where it is none."""
    whole = element(der, 0)
    if whole is None or not der.startswith(_SIGNED_DATA, whole.start):
        return None
    signed = _inside(der, _inside(der, whole, _FIRST, 1), _SEQUENCE)
    found: List[bytes] = []
    some = _inside(der, signed, _FIRST, 3)
    at = some.start if some is not None else 0
    while some is not None and at < some.end and len(found) < _BUNDLE_LIMIT:
        one = element(der, at)
        if one is None or one.end > some.end:
            break
        inner = certificate(der[at : one.end])
        if inner is not None:
            found.append(inner)
        at = one.end
    return leaf_first(found)


def leaf_first(found: List[bytes]) -> List[bytes]:
    """Certificates of a heap without order: one that has signed none of the others comes first."""
    pairs = [names(one) for one in found]
    signers = {issuer for issuer, subject in pairs if issuer != subject}
    leaf = next((one for one, (_issuer, subject) in zip(found, pairs) if subject not in signers), None)
    if leaf is None:
        return found
    above = chain(leaf, by_subject(found))
    return above + [one for one in found if one not in above]


def names(der: bytes) -> Tuple[bytes, bytes]:
    """The issuer and the subject of a certificate as they stand in it; empty where they cannot be found."""
    inner = _inside(der, element(der, 0), _SEQUENCE)
    versioned = 0 if _inside(der, inner, _FIRST) is None else 1
    issuer = _inside(der, inner, _SEQUENCE, versioned + 2)
    subject = _inside(der, inner, _SEQUENCE, versioned + 4)
    if issuer is None or subject is None:
        return b"", b""
    return der[issuer.start : issuer.end], der[subject.start : subject.end]


def by_subject(heap: List[bytes]) -> Dict[bytes, bytes]:
    """The first certificate of each subject."""
    return {names(one)[1]: one for one in reversed(heap)}


def chain(leaf: bytes, issuers: Dict[bytes, bytes]) -> List[bytes]:
    """A certificate and its issuers (`by_subject`), found by their names, as Java builds a chain."""
    found = [leaf]
    while len(found) < CHAIN_LIMIT:
        issuer, subject = names(found[-1])
        above = issuers.get(issuer)
        if not issuer or issuer == subject or above is None or above in found:
            break
        found.append(above)
    return found


def is_authority(der: bytes) -> bool:
    """Whether a certificate says that it may sign others (basicConstraints)."""
    return _IS_AUTHORITY.search(der) is not None
