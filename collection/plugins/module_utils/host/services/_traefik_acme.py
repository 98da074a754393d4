# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""acme.json: the certificates that Traefik gets by itself, and keeps with their keys in one file.

Of the keys only whether they fit is told. Nothing of them leaves here, nor of the account's.
"""

import base64
import binascii
import json
import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import _keys, _reading
from . import _keystore_forms as forms

#: Thousands of certificates with their keys.
LIMIT = 32 * 1024 * 1024
#: Before version 2 there was one resolver, without a name.
_VERSION_1 = ""


class Stored(NamedTuple):
    """A certificate of a resolver: its place in the file, what it is for, and what it is (the leaf first)."""

    resolver: str
    line: int
    names: List[str]
    certificates: List[bytes]
    problems: List[Tuple[str, str]]


class Store(NamedTuple):
    """What lies in the file, or why that is not known."""

    path: str
    found: List[Stored]
    resolvers: List[str]
    trouble: Optional[Tuple[str, str]]


def read(path: str, reader: _reading.Reader) -> Store:
    """The certificates in a file; never raises for what is in it."""
    try:
        content = reader.read(path, LIMIT)
    except _reading.Unreadable as error:
        return Store(path, [], [], (error.kind, "%s: %s" % (path, error.message)))
    text = content.data.decode("utf-8", "replace")
    try:
        whole = json.loads(text, parse_int=str, parse_float=str) if text.strip() else {}
    except (ValueError, RecursionError):
        return Store(path, [], [], ("malformed", "%s is no JSON" % path))
    if not isinstance(whole, dict):
        return Store(path, [], [], ("malformed", "%s is no store of certificates" % path))
    shared = _exposure(path, content.status)
    resolvers = _resolvers(whole)
    found = [
        one for name, data in resolvers for one in _of_resolver(name, data, _Lines(text), shared, reader)
    ]
    return Store(path, found, [name for name, _data in resolvers], None)


def _resolvers(whole: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """The parts of the file: one for each resolver, and before version 2 one for all."""
    if isinstance(_field(whole, "Certificates"), list):
        return [(_VERSION_1, whole)]
    parts = [(name, data) for name, data in whole.items() if isinstance(data, dict)]
    return [(name.encode("utf-8", "replace").decode("utf-8"), data) for name, data in parts]


def _field(data: Any, name: str) -> Any:
    """A field by its name; to Go the case of letters is the same."""
    if not isinstance(data, dict):
        return None
    return data.get(name, next((one for key, one in data.items() if key.lower() == name.lower()), None))


class _Lines:
    """On which line a text stands, asked in the order of the file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    def of(self, wanted: str) -> int:
        found = self.text.find(wanted, self.at)
        if found < 0:
            return 0
        self.line += self.text.count("\n", self.at, found)
        self.at = found
        return self.line


def _of_resolver(
    name: str, data: Any, lines: _Lines, shared: List[Tuple[str, str]], reader: _reading.Reader
) -> List[Stored]:
    found = []
    entries = _field(data, "Certificates")
    for entry in entries if isinstance(entries, list) else []:
        reader.tick()
        body, key = _field(entry, "certificate"), _field(entry, "key")
        if not _is_text(body) or not _is_text(key):
            continue  # Traefik throws away what has no certificate or no key
        line = lines.of(body)
        certificates, problems = _certificates(body, key)
        found.append(Stored(name, line, _names(_field(entry, "domain")), certificates, problems + shared))
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _certificates(body: str, key: str) -> Tuple[List[bytes], List[Tuple[str, str]]]:
    """What the certificate is, and what speaks against it and its key."""
    contents = forms.contents(_decoded(body))
    if contents.trouble or not contents.certificates:
        return [], [("malformed", "Traefik's own certificate: %s" % (contents.trouble or "it is none"))]
    stated, public = _keys.of_private(_decoded(key)), _keys.of_certificate(contents.certificates[0])
    if stated is not None and public is not None and stated != public:
        return contents.certificates, [("key_mismatch", "the key beside it is that of another certificate")]
    return contents.certificates, []


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _names(domain: Any) -> List[str]:
    """The names that a certificate was asked for."""
    main, others = _field(domain, "main"), _field(domain, "sans")
    found = [main] + (others if isinstance(others, list) else [])
    return [name for name in found if _is_text(name) and "\0" not in name and _is_utf8(name)]


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _exposure(path: str, status: os.stat_result) -> List[Tuple[str, str]]:
    """That everybody may read keys; Traefik itself starts with no such file."""
    mode = stat.S_IMODE(status.st_mode)
    if not mode & 0o006:
        return []
    message = "everybody on this host may open %s, in which private keys are (mode %04o)"
    return [("key_readable_by_others", message % (path, mode))]
