# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the files that a server names: certificates, chains and keys.

Only public certificates leave this module as text, cut out and written anew; a private key
never does, whatever label it bears.
"""

import binascii
import functools
import grp
import os
import pwd
import stat
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..digest import sha256_of
from . import _keys, _reading
from . import _keystore_forms as forms

if TYPE_CHECKING:
    from ._keystore import Opening, Store


class Look(NamedTuple):
    """One file: its facts, its certificates by fingerprint, and what is wrong with it."""

    fact: Dict[str, Any]
    certificates: List[str]
    has_key: bool
    problems: List[Tuple[str, str]]
    form: str
    stated: Optional[bytes] = None  # the public half of its private key, where that states one


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
        self._public: Dict[str, Optional[bytes]] = {}  # the key of each certificate
        self._looks: Dict[str, Look] = {}
        self._fits: Dict[Tuple[str, str], List[Tuple[str, str]]] = {}
        self._exposed: Dict[str, bool] = {}
        self._stores: Dict[Tuple[str, Optional[str]], Tuple[str, str, "Store"]] = {}

    def place(
        self, certificate: str, key: Optional[str], chain: Optional[str], proven: bool = False
    ) -> Place:
        """The files that a server reads for one certificate; without a `key` there is none to be found."""
        first = self.look(certificate)
        files = [dict(first.fact, kind=_kind(first, key == certificate, chain is not None))]
        problems = list(first.problems)
        issuers = first.certificates[1:]
        if not first.certificates and not first.problems:
            problems.append(("malformed", "%s has no certificate in it" % certificate))
        if chain is not None and chain != certificate:
            second = self.look(chain)
            repeated = bool(first.certificates) and second.certificates[:1] == first.certificates[:1]
            files.append(dict(second.fact, kind=_chain_kind(second, repeated)))
            problems.extend(second.problems)
            issuers = second.certificates[1:] if repeated else second.certificates
        if key is not None and key != certificate:
            third = self.look(key)
            files.append(dict(third.fact, kind="combined" if third.certificates else "key"))
            problems.extend(third.problems)
        if key is not None:
            problems.extend(self._key_problems(certificate, key, proven))
        leaf = first.certificates[0] if first.certificates else None
        return Place(files, leaf, self._chain(issuers), problems)

    def held(self, certificates: Sequence[bytes]) -> Place:
        """What a server keeps in a store of its own (the leaf first): certificates without files."""
        fingerprints = self._kept(list(certificates))
        return Place([], fingerprints[0] if fingerprints else None, self._chain(fingerprints[1:]), [])

    def look(self, path: str) -> Look:
        """What one file is and holds."""
        if path not in self._looks:
            self._looks[path] = self._look(path)
        return self._looks[path]

    def _chain(self, fingerprints: List[str]) -> Optional[str]:
        """The name under which a chain is sent; a fleet of certificates shares a handful."""
        if not fingerprints:
            return None
        name = sha256_of(" ".join(fingerprints).encode())
        if name not in self.chains:
            self.chains[name] = "".join(self.certificates[one] for one in fingerprints)
        return name

    def _look(self, path: str) -> Look:
        found, problems, status = self._facts(path)
        try:
            data = self.reader.read(path, _reading.PEM_LIMIT).data
        except _reading.Unreadable as error:
            problems.append((error.kind, "%s: %s" % (path, error.message)))
            return Look(found, [], False, problems, forms.PEM)
        found["sha256"] = sha256_of(data)
        form, certificates, has_key, trouble = forms.contents(data)
        if form in forms.KEYSTORES:
            trouble = "it is a keystore, not PEM"
        if trouble:
            problems.append(("malformed", "%s: %s" % (path, trouble)))
        if has_key and status is not None and status.st_mode & 0o006 and self._reachable(path):
            problems.append(("key_readable_by_others", _exposure(path, status.st_mode)))
        stated = _keys.of_private(data) if has_key and form == forms.PEM else None
        return Look(found, self._kept(certificates), has_key, problems, form, stated)

    def _facts(self, path: str) -> Tuple[Dict[str, Any], List[Tuple[str, str]], Optional[os.stat_result]]:
        """What the file system says of a path."""
        found = {"path": _reading.shown(path), "sha256": None, "owner": None, "group": None, "mode": None}
        found["target"] = _target(path, self.reader.real(path))
        problems = []
        if _reading.shown(path) != path:
            problems.append(("unresolved", "the path %s is no UTF-8 text" % _reading.shown(path)))
        status = _reading.status(path)
        if status is not None:
            found.update(ownership(status))
        return found, problems, status

    def _kept(self, certificates: List[bytes]) -> List[str]:
        """The fingerprints of certificates, whose text is kept once."""
        fingerprints = []
        for der in certificates:
            fingerprint = sha256_of(der)
            fingerprints.append(fingerprint)
            if fingerprint not in self.certificates:
                self.certificates[fingerprint] = _pem(der)
                self._public[fingerprint] = _keys.of_certificate(der)
        return fingerprints

    def keystore_place(self, path: str, opening: "Opening") -> Place:
        """The keystore that a server opens, and the entry that it shows."""
        found, problems, status = self._facts(path)
        try:
            form, store = self.keystore(path, opening, found)
        except _reading.Unreadable as error:
            problems.append((error.kind, "%s: %s" % (path, error.message)))
            kind = forms.JKS if path.endswith((".jks", ".keystore")) else forms.PKCS12
            return Place([dict(found, kind=kind)], None, None, problems)
        place = Place([dict(found, kind=form)], None, None, problems)
        if store.trouble:
            problems.append(("unresolved", "%s: %s" % (path, store.trouble)))
        entry = store.chosen(opening.alias)
        if entry is None or not entry.chain:
            if not store.trouble:
                problems.append(("malformed", _lacking(path, opening.alias)))
            return place
        alias = entry.alias.encode("utf-8", "backslashreplace").decode("utf-8")
        place.files[0]["alias"] = alias[:_ALIAS_LIMIT]
        if not entry.has_key:
            problems.append(("malformed", "%s has no private key for %r" % (path, opening.alias)))
        elif status is not None and status.st_mode & 0o006 and self._reachable(path):
            problems.append(("key_readable_by_others", _exposure(path, status.st_mode)))
        fingerprints = self._kept(entry.chain)
        return place._replace(leaf=fingerprints[0], chain=self._chain(fingerprints[1:]))

    def keystore(
        self, path: str, opening: "Opening", found: Optional[Dict[str, Any]] = None
    ) -> Tuple[str, "Store"]:
        """The form and the entries of a keystore, opened once for each password; or raises Unreadable."""
        from . import _keystore  # noqa: PLC0415 - compiled only where there is a keystore

        key = (path, opening.password)
        if key not in self._stores:
            data = self.reader.read(path, _keystore.LIMIT).data
            form = forms.contents(data).form
            if form not in forms.KEYSTORES:
                raise _reading.Unreadable("malformed", "no keystore that is known here")
            seconds = self.reader.seconds_left()
            store = _keystore.read(data, form, opening, seconds)
            self._stores[key] = (form, sha256_of(data), store)
        form, digest, store = self._stores[key]
        if found is not None:
            found["sha256"] = digest
        return form, store

    def _reachable(self, path: str) -> bool:
        """Whether everybody may walk down to a file."""
        folder = os.path.dirname(self.reader.real(path))
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
        return [] if proven else self.fit(certificate, key)

    def fit(self, certificate: str, key: str) -> List[Tuple[str, str]]:
        """What speaks against a key for a certificate; only of PEM can the TLS library be asked."""
        looks = self.look(certificate), self.look(key)
        if any(look.form != forms.PEM for look in looks) or not looks[0].certificates:
            return []
        if looks[1].stated is not None and looks[1].stated == self._public.get(looks[0].certificates[0]):
            return []
        if (certificate, key) not in self._fits:
            self._fits[certificate, key] = self._misfit(certificate, key)
        return self._fits[certificate, key]

    def _misfit(self, certificate: str, key: str) -> List[Tuple[str, str]]:
        """Loads both, read anew: a path that is opened by others may have become a pipe since."""
        try:
            with _Kept(self.reader, certificate) as first, _Kept(self.reader, key) as second:
                return _misfit(certificate, key, first, second)
        except _reading.Unreadable as error:
            return [(error.kind, "%s and %s cannot be loaded: %s" % (certificate, key, error.message))]
        except OSError as error:
            return [("unreadable", "%s and %s cannot be loaded: %s" % (certificate, key, error))]


def _lacking(path: str, alias: Optional[str]) -> str:
    return "%s has no entry with a private key" % path if alias is None else "%s has no %r" % (path, alias)


def _kind(look: Look, with_key: bool, with_chain: bool) -> str:
    """What a certificate's own file has to hold, given what else the server reads."""
    if look.form != forms.PEM:
        return look.form
    if look.has_key or with_key:
        return "combined"
    return "leaf" if with_chain and len(look.certificates) < 2 else "fullchain"


def _chain_kind(look: Look, repeated: bool) -> str:
    if look.form != forms.PEM:
        return look.form
    return "fullchain" if repeated else "chain"


def _target(path: str, end: str) -> Optional[str]:
    return None if end == os.path.normpath(path) else _reading.shown(end)


def ownership(status: os.stat_result) -> Dict[str, str]:
    """Owner, group and mode as they are written."""
    owner, group = _user_name(status.st_uid), _group_name(status.st_gid)
    return {"owner": owner, "group": group, "mode": "%04o" % stat.S_IMODE(status.st_mode)}


@functools.lru_cache(maxsize=None)
def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@functools.lru_cache(maxsize=None)
def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _exposure(path: str, mode: int) -> str:
    what = "read" if mode & 0o004 else "write"
    return "everybody on this host can %s the private key in %s (mode %04o)" % (
        what,
        path,
        stat.S_IMODE(mode),
    )


def _pem(der: bytes) -> str:
    body = binascii.b2a_base64(der, newline=False).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n" % lines


# OpenSSL keeps a certificate for each kind of key: a key of another kind has "no certificate".
_ALIAS_LIMIT = 200
_MISFITS = ("MISMATCH", "NO_CERTIFICATE_ASSIGNED", "NO_PRIVATE_KEY_ASSIGNED")


class _Encrypted(Exception):
    """The private key asks for a pass phrase."""


def _no_pass_phrase() -> str:
    raise _Encrypted


class _Kept:
    """A file as it is now, at a path that nobody else can swap while the TLS library opens it."""

    def __init__(self, reader: _reading.Reader, path: str) -> None:
        data = reader.read(path, _reading.PEM_LIMIT).data
        if hasattr(os, "memfd_create"):  # novm: Python 3.8 and later
            self.handle = os.memfd_create("notafter")  # novm
            os.write(self.handle, data)
        else:
            self.handle = _reading.opened(path)

    def __enter__(self) -> str:
        return "/proc/self/fd/%d" % self.handle

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


def _misfit(certificate: str, key: str, first: str, second: str) -> List[Tuple[str, str]]:
    """Whether the TLS library takes a certificate and a key, from where they can be opened."""
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
        context.load_cert_chain(first, second, _no_pass_phrase)
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
