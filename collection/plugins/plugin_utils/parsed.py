# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate, read as far as it can be read: the tolerant parser of the controller.

Nothing here raises because of what a certificate holds. Every text of a certificate was
chosen by whoever made it. Signs that steer a terminal or a reading direction are written out
here; everything else (markup, templates, formulas) is left as it is, and whoever shows or
uses it must treat it as what it is: text of a stranger.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import ipaddress
import re
import typing as t
import unicodedata
import warnings

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
    from cryptography.x509.oid import NameOID
except ImportError as error:
    _MISSING: ImportError | None = error
else:
    _MISSING = None

if t.TYPE_CHECKING:
    import datetime

_TEXT_LIMIT = 1000
_NAMED = 5
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_CURVES = {"secp256r1": "ec-256", "secp384r1": "ec-384", "secp521r1": "ec-521"}
_LEAST_BITS = {"rsa": 2048, "ec": 224}
_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"

Problem = dict[str, str]
_T = t.TypeVar("_T")
_E = t.TypeVar("_E", bound="x509.ExtensionType")


class Parsed:
    """One certificate, read as far as it can be read."""

    def __init__(self, pem: str | bytes) -> None:
        if _MISSING is not None:
            raise AnsibleError(missing_required_lib("cryptography", reason="on the controller")) from _MISSING
        self.error: str | None = None
        with _quiet():
            self._take_apart(pem)

    def _take_apart(self, pem: str | bytes) -> None:
        self.der = self._attempt("it is no PEM", lambda: _der(pem))
        self.fingerprint = None if self.der is None else hashlib.sha256(self.der).hexdigest()
        self.certificate = self._attempt(
            "it is no certificate", lambda: x509.load_der_x509_certificate(self.der or b"")
        )
        self.subject = self._read("its subject", lambda one: text_of(one.subject.rfc4514_string()))
        self.issuer = self._read("its issuer", lambda one: text_of(one.issuer.rfc4514_string()))
        self.serial = self._read("its serial number", lambda one: _hex(one.serial_number))
        self.not_before = self._read("its validity", lambda one: one.not_valid_before_utc)
        self.not_after = self._read("its validity", lambda one: one.not_valid_after_utc)
        key = self._read("its key", lambda one: one.public_key())
        self.key_type = None if key is None else _key_type(key)
        self.key_bits = None if key is None else _key_bits(key)
        self.public_key = (
            None if key is None else self._attempt("its key cannot be read", lambda: _public_bytes(key))
        )
        self.common_name = self._read("its subject", _common_name)
        stated = self._read("its names", _stated_names) or []
        fit = {name for name in stated if usable(name)}
        self.names = _unique(name.lower() for name in stated if name in fit)
        self.odd_names = [text_of(name) for name in stated if name not in fit]

    def _attempt(self, what: str, read: t.Callable[[], _T]) -> _T | None:
        value, error = _attempt(read)
        if error is not None:
            self.error = self.error or text_of(f"{what}: {error}")
        return value

    def _read(self, what: str, read: t.Callable[[x509.Certificate], _T]) -> _T | None:
        certificate = self.certificate
        if certificate is None:
            return None
        return self._attempt(f"{what} cannot be read", lambda: read(certificate))

    def facts(self) -> dict[str, t.Any]:
        """The fields of a certificate in contracts.md §2, apart from its text."""
        return {
            "names": self.names,
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": self.serial,
            "not_before": _iso(self.not_before),
            "not_after": _iso(self.not_after),
            "key_type": self.key_type,
            "fingerprint": self.fingerprint,
            "error": self.error,
        }

    def issued(self, other: Parsed) -> bool:
        """Whether this one has signed the other, by name and by signature."""
        issuer, certificate = self.certificate, other.certificate
        if issuer is None or certificate is None:
            return False
        with _quiet():
            return _attempt(lambda: certificate.verify_directly_issued_by(issuer))[1] is None

    def identified_by(self, other: Parsed) -> bool:
        """Whether the other names this one as its issuer, by name and key identifier (RFC 5280 §4.2.1.1).

        It is what clients find an issuer by, at a fraction of what its signature costs; it proves nothing.
        """
        issuer, certificate = self.certificate, other.certificate
        if issuer is None or certificate is None:
            return False
        with _quiet():
            kind = x509.AuthorityKeyIdentifier
            wanted = _attempt(lambda: _extension(certificate, kind).key_identifier)[0]
            own = wanted is not None and wanted in self._key_identifiers
            return own and bool(_attempt(lambda: certificate.issuer == issuer.subject)[0])

    @functools.cached_property
    def _key_identifiers(self) -> set[bytes | None]:
        """The identifier that it states for its key, and the one that is made of its key (§4.2.1.2)."""
        certificate, kind = self.certificate, x509.SubjectKeyIdentifier
        if certificate is None:
            return set()
        stated = _attempt(lambda: _extension(certificate, kind).digest)[0]
        made = _attempt(lambda: kind.from_public_key(certificate.public_key()).digest)[0]
        return {stated, made}

    def self_signed(self) -> bool:
        return self.certificate is not None and self.subject == self.issuer and self.issued(self)

    def validity_problems(self, now: datetime.datetime, what: str = "the certificate") -> list[Problem]:
        if self.not_after is not None and now >= self.not_after:
            return [problem("expired", f"{what} ended at {_iso(self.not_after)}")]
        if self.not_before is not None and now < self.not_before:
            return [problem("not_yet_valid", f"{what} is valid from {_iso(self.not_before)}")]
        return []

    def name_problems(self, names: t.Iterable[str]) -> list[Problem]:
        """One problem that names what the certificate does not cover; regular expressions are not judged."""
        stated = set(self.names)
        missing = [name for name in names if not name.startswith("~") and not covers(stated, name)]
        if not missing:
            return []
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        told = ", ".join(text_of(name, 300) for name in missing[:_NAMED])
        return [problem("names_not_covered", f"the certificate is not for {told}{more}")]

    def server_names(self) -> list[str]:
        """The names by which a server such as HAProxy chooses this certificate."""
        own = (self.common_name or "").lower()
        return [name for name in self.names or ([own] if usable(own) else []) if not is_address(name)]

    def algorithm(self) -> str:
        """rsa, ec, …: a server may hold one certificate of each for a name."""
        return (self.key_type or "").partition("-")[0]

    def weakness(self) -> list[Problem]:
        kind = self.algorithm()
        if kind == "dsa" or (self.key_bits is not None and self.key_bits < _LEAST_BITS.get(kind, 0)):
            return [problem("weak_key", f"the key is {self.key_type}")]
        return []


@contextlib.contextmanager
def _quiet() -> t.Iterator[None]:
    """What a certificate is warned for, such as a serial number that is too long, is kept and not judged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _attempt(read: t.Callable[[], _T]) -> tuple[_T | None, str | None]:
    """What reading gives, and why it gives nothing."""
    try:
        return read(), None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the parser is native code: even its panics are data
        return None, str(error) or type(error).__name__


def covers(stated: t.Collection[str], name: str) -> bool:
    """Whether one of a certificate's names is that of a server (RFC 9525 §6.3).

    A `*` stands for exactly one label, the leftmost. A name `*.x` is that of a server that
    answers for every name below x: only the same wildcard covers it.
    """
    wanted = _ascii(name.lower().rstrip("."))
    if wanted in stated:
        return True
    _label, dot, rest = wanted.partition(".")
    return bool(dot) and not wanted.startswith("*.") and not is_address(wanted) and f"*.{rest}" in stated


def split(pem: str) -> list[str]:
    """The certificates of a text, in the order they stand; linear in its length."""
    parts = pem.split(_BEGIN)[1:]
    return [_BEGIN + part.partition(_END)[0] + _END + "\n" for part in parts if _END in part]


def public_key_of(csr_pem: str) -> bytes:
    """The public key that a request is for, as DER; raises where there is none."""
    return _public_bytes(x509.load_pem_x509_csr(csr_pem.encode()).public_key())


def _public_bytes(key: t.Any) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return t.cast("bytes", key.public_bytes(encoding, form))


def problem(kind: str, message: str) -> Problem:
    return {"kind": kind, "message": message}


def _der(pem: str | bytes) -> bytes:
    """The bytes of the first certificate of a text, or those given when they are no text."""
    data = pem.encode("utf-8", "surrogateescape") if isinstance(pem, str) else pem
    _before, begin, rest = data.partition(_BEGIN.encode())
    body, end, _after = rest.partition(_END.encode())
    if not begin and data[:1] == b"\x30":
        return data
    if not end:
        raise ValueError("no certificate is in it")
    return base64.b64decode(b"".join(body.split()), validate=True)


def pem_of(der: bytes) -> str:
    body = base64.b64encode(der).decode("ascii")
    return "\n".join([_BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), _END, ""])


def _stated_names(certificate: x509.Certificate) -> list[str]:
    try:
        value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    names = list(value.get_values_for_type(x509.DNSName))
    return names + [str(address) for address in value.get_values_for_type(x509.IPAddress)]


def _extension(certificate: x509.Certificate, kind: type[_E]) -> _E:
    return certificate.extensions.get_extension_for_class(kind).value


def _common_name(certificate: x509.Certificate) -> str | None:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def _key_type(key: t.Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, f"ec-{key.curve.name}")
    if isinstance(key, dsa.DSAPublicKey):
        return f"dsa-{key.key_size}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return "ed448" if isinstance(key, ed448.Ed448PublicKey) else type(key).__name__.lower()


def _key_bits(key: t.Any) -> int | None:
    return t.cast("int | None", getattr(key, "key_size", None))


def usable(name: str) -> bool:
    """Whether a name of a certificate is a host name, a wildcard or an address."""
    lowered = name.lower()
    return is_address(lowered) or (len(lowered) < 254 and _NAME.fullmatch(lowered) is not None)


def is_address(text: str) -> bool:
    if ":" not in text and not text[-1:].isdigit():
        return False
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text)
        return True
    return False


def _ascii(name: str) -> str:
    """A name as it stands in certificates: international labels in their ASCII form."""
    if name.isascii():
        return name
    with contextlib.suppress(UnicodeError):
        return name.encode("idna").decode("ascii")
    return name


def _unique(names: t.Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _hex(number: int) -> str:
    digits = format(abs(number), "x")
    return ("-" if number < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def _iso(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def text_of(value: str, limit: int = _TEXT_LIMIT) -> str:
    """A stranger's text without signs that nobody can see: those are written as their codes."""
    if len(value) <= limit and value.isascii() and value.isprintable():
        return value
    return "".join(
        sign if sign.isascii() and sign.isprintable() else _spelled(sign) for sign in value[:limit]
    ) + ("…" if len(value) > limit else "")


def _spelled(sign: str) -> str:
    if unicodedata.category(sign)[0] in "LMNPSZ" and sign not in "\u2028\u2029":
        return sign
    return sign.encode("unicode_escape").decode("ascii")
