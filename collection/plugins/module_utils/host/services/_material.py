# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the files that a server names: certificates, chains and keys.

Only public certificates leave this module as text, cut out and written anew; a private key
never does, whatever label it bears.
"""

import base64
import binascii
import grp
import hashlib
import os
import pwd
import re
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import _reading

_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----")


class Look(NamedTuple):
    """One file: its facts, its certificates by fingerprint, and what is wrong with it."""

    fact: Dict[str, Any]
    certificates: List[str]
    has_key: bool
    problems: List[Tuple[str, str]]


class Place(NamedTuple):
    """The files of one binding and what they hold together."""

    files: List[Dict[str, Any]]
    leaf: Optional[str]
    chain: Optional[str]
    problems: List[Tuple[str, str]]


class Materials:
    """Looks at each file once, however many servers name it."""

    def __init__(self, reader: _reading.Reader) -> None:
        self.reader = reader
        self.certificates: Dict[str, str] = {}
        self.chains: Dict[str, str] = {}
        self._looks: Dict[str, Look] = {}
        self._fits: Dict[Tuple[str, str], List[Tuple[str, str]]] = {}
        self._exposed: Dict[str, bool] = {}

    def place(self, certificate: str, key: str, chain: Optional[str], proven: bool = False) -> Place:
        """The files that a server reads for one certificate."""
        first = self.look(certificate)
        files = [dict(first.fact, kind=_kind(first, key == certificate, chain is not None))]
        problems = list(first.problems)
        issuers = first.certificates[1:]
        if not first.certificates and not first.problems:
            problems.append(("malformed", "%s has no certificate in it" % certificate))
        if chain is not None and chain != certificate:
            second = self.look(chain)
            repeated = bool(first.certificates) and second.certificates[:1] == first.certificates[:1]
            files.append(dict(second.fact, kind="fullchain" if repeated else "chain"))
            problems.extend(second.problems)
            issuers = second.certificates[1:] if repeated else second.certificates
        if key != certificate:
            third = self.look(key)
            files.append(dict(third.fact, kind="combined" if third.certificates else "key"))
            problems.extend(third.problems)
        problems.extend(self._key_problems(certificate, key, proven))
        leaf = first.certificates[0] if first.certificates else None
        return Place(files, leaf, self._chain(issuers), problems)

    def look(self, path: str) -> Look:
        """What one file is and holds."""
        if path not in self._looks:
            self._looks[path] = self._look(path)
        return self._looks[path]

    def _chain(self, fingerprints: List[str]) -> Optional[str]:
        """The name under which a chain is sent; a fleet of certificates shares a handful."""
        if not fingerprints:
            return None
        name = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()
        if name not in self.chains:
            self.chains[name] = "".join(self.certificates[one] for one in fingerprints)
        return name

    def _look(self, path: str) -> Look:
        found = {"path": _reading.shown(path), "sha256": None, "owner": None, "group": None, "mode": None}
        found["target"] = _target(path)
        problems: List[Tuple[str, str]] = []
        if _reading.shown(path) != path:
            problems.append(("unresolved", "the path %s is no UTF-8 text" % _reading.shown(path)))
        status = _reading.status(path)
        if status is not None:
            found.update(_ownership(status))
        try:
            data = self.reader.read(path, _reading.PEM_LIMIT).data
        except _reading.Unreadable as error:
            problems.append((error.kind, "%s: %s" % (path, error.message)))
            return Look(found, [], False, problems)
        found["sha256"] = hashlib.sha256(data).hexdigest()
        certificates, has_key, trouble = _split(data)
        if trouble:
            problems.append(("malformed", "%s: %s" % (path, trouble)))
        fingerprints = []
        for der in certificates:
            fingerprint = hashlib.sha256(der).hexdigest()
            fingerprints.append(fingerprint)
            if fingerprint not in self.certificates:
                self.certificates[fingerprint] = _pem(der)
        if has_key and status is not None and status.st_mode & 0o006 and self._reachable(path):
            problems.append(("key_readable_by_others", _exposure(path, status.st_mode)))
        return Look(found, fingerprints, has_key, problems)

    def _reachable(self, path: str) -> bool:
        """Whether everybody may walk down to a file."""
        folder = os.path.dirname(_reading.real(path))
        if folder not in self._exposed:
            found = _reading.status(folder)
            walkable = found is not None and bool(found.st_mode & 0o001)
            self._exposed[folder] = walkable and (folder == "/" or self._reachable(folder))
        return self._exposed[folder]

    def _key_problems(self, certificate: str, key: str, proven: bool) -> List[Tuple[str, str]]:
        """Whether the private key fits the certificate, as the TLS library of this host judges it."""
        looks = self.look(certificate), self.look(key)
        if any(look.fact["sha256"] is None for look in looks) or not looks[0].certificates:
            return []
        if not looks[1].has_key:
            if any(kind == "malformed" for kind, _message in looks[1].problems):
                return []
            return [("malformed", "%s has no private key in it" % key)]
        if proven:
            return []
        if (certificate, key) not in self._fits:
            self._fits[certificate, key] = _misfit(certificate, key)
        return self._fits[certificate, key]


def _kind(look: Look, with_key: bool, with_chain: bool) -> str:
    """What a certificate's own file has to hold, given what else the server reads."""
    if look.has_key or with_key:
        return "combined"
    return "leaf" if with_chain and len(look.certificates) < 2 else "fullchain"


def _target(path: str) -> Optional[str]:
    end = _reading.real(path)
    return None if end == os.path.normpath(path) else _reading.shown(end)


def _ownership(status: os.stat_result) -> Dict[str, str]:
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return {"owner": owner, "group": group, "mode": "%04o" % stat.S_IMODE(status.st_mode)}


def _exposure(path: str, mode: int) -> str:
    what = "read" if mode & 0o004 else "write"
    return "everybody on this host can %s the private key in %s (mode %04o)" % (
        what,
        path,
        stat.S_IMODE(mode),
    )


def _split(data: bytes) -> Tuple[List[bytes], bool, Optional[str]]:
    """The certificates of a PEM file as DER, whether a private key is in it, and what is wrong."""
    certificates: List[bytes] = []
    has_key = False
    at = 0
    while True:
        begin = _BEGIN.search(data, at)
        if begin is None:
            break
        label = begin.group(1)
        end = data.find(b"-----END " + label + b"-----", begin.end())
        if end < 0:
            return certificates, has_key, "a block of PEM never ends"
        body = data[begin.end() : end]
        at = end
        if label.endswith(b"PRIVATE KEY"):
            has_key = True
        elif label in _CERTIFICATES:
            der = _certificate(body)
            if der is None:
                return certificates, has_key, "certificate %d is damaged" % (len(certificates) + 1)
            certificates.append(der)
    if certificates or has_key:
        return certificates, has_key, None
    return certificates, has_key, "empty" if not data.strip() else "no PEM in it"


def _certificate(body: bytes) -> Optional[bytes]:
    """The DER of a block that has the outer shape of a certificate, so that it is no key."""
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    whole = _element(der, 0)
    inner = None if whole is None else _element(der, whole[0])
    first = None if inner is None else der[inner[0] : inner[0] + 1]
    if whole is None or inner is None or der[:1] != b"\x30" or der[whole[0] : whole[0] + 1] != b"\x30":
        return None
    # TBSCertificate begins with its version [0] or, in version 1, with the serial number;
    # an encrypted key begins with an object identifier here, a plain one with no sequence at all.
    return der[: whole[1]] if first in (b"\xa0", b"\x02") else None


def _element(der: bytes, at: int) -> Optional[Tuple[int, int]]:
    """Where the content of a DER element begins and where it ends."""
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
    return (start, start + size) if start + size <= len(der) else None


def _pem(der: bytes) -> str:
    body = base64.b64encode(der).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % lines


# OpenSSL keeps a certificate for each kind of key: a key of another kind has "no certificate".
_MISFITS = ("MISMATCH", "NO_CERTIFICATE_ASSIGNED", "NO_PRIVATE_KEY_ASSIGNED")


class _Encrypted(Exception):
    """The private key asks for a pass phrase."""


def _no_pass_phrase() -> str:
    raise _Encrypted


def _misfit(certificate: str, key: str) -> List[Tuple[str, str]]:
    try:
        import ssl  # noqa: PLC0415 - a Python may be built without it; then this one judgement is left out
    except ImportError:
        return []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")  # a weak key is judged elsewhere, here only whether it fits
    except ssl.SSLError:
        pass
    try:
        context.load_cert_chain(_reading.raw(certificate), _reading.raw(key), _no_pass_phrase)
    except _Encrypted:
        return [("unresolved", "the private key in %s is encrypted: whether it fits is not known" % key)]
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        if any(sign in reason for sign in _MISFITS):
            return [("key_mismatch", "the private key in %s is not that of %s" % (key, certificate))]
        return [("malformed", "%s and %s cannot be loaded: %s" % (certificate, key, reason))]
    except (OSError, ValueError) as error:
        return [("unreadable", "%s and %s cannot be loaded: %s" % (certificate, key, error))]
    return []
