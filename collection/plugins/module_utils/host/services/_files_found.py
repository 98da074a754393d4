# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are certificates that nobody has named yet, and which key lies beside each.

Left out are the authorities that a system trusts: links of c_rehash and of ca-certificates,
bundles, keystores without a key, and whatever is an authority's certificate without its key.
"""

import functools
import os
import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import _keystore_forms as forms
from . import _reading
from ._managers import STAMPED
from ._material import Look
from ._report import Report

SERVICE = "files"
_FILES_LIMIT = 20000
_ENTRIES_LIMIT = 100
_PLAIN = (".pem", ".crt", ".cer", ".cert", ".der", ".p7b", ".p7c")
_STORES = (".p12", ".pfx", ".jks", ".jceks", ".ks", ".keystore")
#: Where the authorities lie that a system trusts; links lead there from the usual places.
_TRUSTED = ("/usr/share/", "/usr/local/share/ca-certificates/", "/etc/pki/ca-trust/", "/etc/ca-certificates/")
_LINKS_ONLY = "/etc/ssl/certs"  # on Debian: what is no link here was put here by somebody
#: Debian makes the one for nobody (a server that shows it names it), the other of all that it trusts.
_SYSTEMS_OWN = ("/ssl-cert-snakeoil.pem", "/etc/ssl/certs/ca-certificates.crt")
_WORDS = re.compile(r"[._-]?(fullchain|cert|certificate|chain(ed)?|bundle|combined|crt)$")
_USUAL = (
    "privkey.pem",
    "key.pem",
    "private.key",
    "private.pem",
    "server.key",
    "tls.key",
    "ssl.key",
    "cert.key",
)
_BESIDE = (".", "private", "../private", "keys", "../keys", "../key")
# The more a file has of what a server needs, the sooner it stands for the others with its certificate.
_RANKS = ("fullchain", "combined", "leaf", forms.PKCS7, forms.DER)


class Candidate(NamedTuple):
    """A file with certificates, and the key that belongs to it."""

    path: str
    key: Optional[str]
    look: Look


class Found:
    """Looks at folders and globs after all kinds of server have had their say."""

    def __init__(self, report: Report, folders: Sequence[str], paths: Sequence[str]) -> None:
        self.report = report
        self.reader = report.reader
        self.folders = folders
        self.paths = paths
        files = [(binding, file) for binding in report.bindings for file in binding["files"]]
        ends = [(binding, file["target"] or file["path"]) for binding, file in files]
        self._named = {end for _binding, end in ends}
        self._leaves = {(os.path.dirname(end), binding["certificate"]) for binding, end in ends}
        self._seen: Set[str] = set()
        self._left = _FILES_LIMIT

    def report_bindings(self) -> None:
        """Every certificate that is left over, folder by folder."""
        visited: Set[str] = set()
        for folder in self._folders():
            end = self.reader.real(folder)
            if end not in visited:
                visited.add(end)
                self._report([path for path in self._in_folder(folder) if self._is_new(path)])
        asked: List[str] = []
        further = (path for pattern in self.paths for path in self._asked(pattern))
        self.report.partly(functools.partial(asked.extend, further))
        self._report([path for path in asked if self._is_new(path)])
        if self._left < 0:
            self.report.warning("there are more than %d files to look at: some are not" % _FILES_LIMIT)

    def _folders(self) -> Iterable[str]:
        for pattern in self.folders:
            self._say_what_is_closed(pattern)
            for folder in self.reader.glob(pattern):
                if os.path.isdir(_reading.raw(folder)):
                    yield folder

    def _say_what_is_closed(self, pattern: str) -> None:
        """An unprivileged scan sees no folder of root's, and says so."""
        folder = pattern.split("*", 1)[0].rstrip("/")
        try:
            os.listdir(_reading.raw(folder))
        except PermissionError:
            self.report.warning("%s cannot be listed: certificates in it are not found" % folder, folder)
        except OSError:
            pass

    def _in_folder(self, folder: str) -> List[str]:
        self._say_what_is_closed(folder)
        found = []
        for name in self.reader.names(folder):
            path = folder + "/" + name
            if name.lower().endswith(_PLAIN + _STORES) and not (
                folder == _LINKS_ONLY and os.path.islink(path)
            ):
                found.append(path)
        return found

    def _asked(self, pattern: str) -> List[str]:
        """The files of a path, folder or glob that the one who asked for the scan knows of."""
        found: List[str] = []
        for path in self.reader.glob(pattern):
            if os.path.isdir(_reading.raw(path)):
                found.extend(self._in_folder(path.rstrip("/") or "/"))
            else:
                found.append(path)
        if not found or (found == [pattern] and _reading.status(pattern) is None):
            self.report.warning("nothing is found at %s" % pattern, pattern)
        return [path for path in found if _reading.status(path) is not None]

    def _is_new(self, path: str) -> bool:
        """Whether no other kind has named a file, and it is none that comes with the system."""
        end = self.reader.real(path)
        if end in self._named or end in self._seen or end.startswith(_TRUSTED):
            return False
        if end.endswith(_SYSTEMS_OWN) or STAMPED.search(path):
            return False
        self._seen.add(end)
        self._left -= 1
        return self._left >= 0

    def _report(self, paths: List[str]) -> None:
        """The certificates of one folder: of several files with one certificate, the fullest."""
        best: Dict[Tuple[str, str], Candidate] = {}
        self.report.partly(functools.partial(self._look_at, paths, best))
        for place, one in best.items():
            if place not in self._leaves:
                keyless = one.key is None
                self.report.binding(SERVICE, one.path, 1, one.path, one.key, keyless=keyless)

    def _look_at(self, paths: List[str], best: Dict[Tuple[str, str], Candidate]) -> None:
        for path in paths:
            self.reader.tick()
            look = self.report.materials.look(path)
            if look.form in forms.KEYSTORES:
                self._keystore(path)
                continue
            candidate = self._candidate(path, look)
            if candidate is None:
                continue
            leaf = look.certificates[0] if look.certificates else path
            place = (os.path.dirname(self.reader.real(path)), leaf)
            if place not in best or _rank(candidate) < _rank(best[place]):
                best[place] = candidate

    def _candidate(self, path: str, look: Look) -> Optional[Candidate]:
        if not look.certificates:
            return self._without(path, look)
        key = path if look.has_key else self._key_of(path, look)
        if key is None and all(self._is_authority(one) for one in look.certificates):
            return None
        return Candidate(path, key, look)

    def _without(self, path: str, look: Look) -> Optional[Candidate]:
        """A file without certificates: a key, a request, parameters; or one that is damaged or closed."""
        if look.has_key:
            return None
        for kind, message in look.problems:
            if kind == "malformed" and ("damaged" in message or "never ends" in message):
                return Candidate(path, None, look)
            if kind == "unreadable" or (kind == "malformed" and not path.lower().endswith(".pem")):
                self.report.warning("no certificate can be read in %s" % message, path)
        return None

    def _is_authority(self, fingerprint: str) -> bool:
        text = self.report.materials.certificates[fingerprint].encode("ascii")
        return all(forms.is_authority(der) for der in forms.contents(text).certificates)

    def _key_of(self, path: str, look: Look) -> Optional[str]:
        """The private key beside a certificate: the first that fits, else the one of the same name."""
        own, usual = _key_names(path)
        namesake: Optional[str] = None
        for name in own + usual:
            for beside in _BESIDE:
                folder = os.path.normpath(os.path.join(os.path.dirname(path), beside))
                key = folder + "/" + name
                if key == path or name not in self.reader.names(folder):
                    continue
                found = self.report.materials.look(key)
                if not found.has_key and not any(kind == "unreadable" for kind, _message in found.problems):
                    continue
                misfits = self.report.materials.fit(path, key)
                if not misfits:
                    return key
                if name in own and namesake is None:
                    namesake = key
        return namesake

    def _keystore(self, path: str) -> None:
        """Every entry with a key; a keystore that cannot be opened is told as such."""
        from ._keystore import Opening  # noqa: PLC0415 - compiled only where there is a keystore

        try:
            _form, store = self.report.materials.keystore(path, Opening())
        except _reading.Unreadable as error:
            self.report.warning("%s is not read: %s" % (path, error.message), path)
            return
        keyed = [entry for entry in store.entries if entry.has_key]
        if not keyed and store.trouble:
            self.report.binding(SERVICE, path, 1, path, keystore=Opening())
        for entry in keyed[:_ENTRIES_LIMIT]:
            self.report.binding(SERVICE, path, 1, path, keystore=Opening(alias=entry.alias))
        if len(keyed) > _ENTRIES_LIMIT:
            told = "%s has %d entries with a key: %d of them are told"
            self.report.warning(told % (path, len(keyed), _ENTRIES_LIMIT), path)


def _rank(candidate: Candidate) -> Tuple[bool, int, str]:
    """What stands for a certificate: with a key before without, whole before in part."""
    look = candidate.look
    kind = look.form
    if kind == forms.PEM:
        kind = "combined" if look.has_key else "fullchain" if len(look.certificates) > 1 else "leaf"
    return candidate.key is None, _RANKS.index(kind), candidate.path


def _key_names(path: str) -> Tuple[List[str], List[str]]:
    """How the key of a certificate may be called: by its own name, and by names that many use."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    stems = [
        name,
        stem,
        _WORDS.sub("", stem),
        os.path.basename(folder),
        re.sub("_ecc$", "", os.path.basename(folder)),
    ]
    own: List[str] = []
    for one in stems:
        if one:
            own += [one + end for end in (".key", ".key.pem", "-key.pem", "_key.pem", ".pem")]
    if "cert" in name:
        own.append(name.replace("cert", "key"))
        own.append(name.replace("cert", "privkey"))
    return [one for one in own if one != name], list(_USUAL)
