# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chain files of Postfix and the maps that select them by the name in SNI.

A chain file holds keys, each followed by its certificate and that one's issuers; a chain may
go on in the next file. What can be replaced as one certificate is named with its files; what
cannot is told with its fingerprint alone.
"""

import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import _reach, _reading
from ._postfix_settings import Settings
from ._postfix_syntax import inline_pairs, listed, pairs

_COMPILED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag"}
_OBJECT = re.compile(rb"-----BEGIN ((?:X509 )?CERTIFICATE|(?:[A-Z]+ )?PRIVATE KEY)-----")
Place = Tuple[str, int]
Problems = Tuple[Tuple[str, str], ...]


class Served(NamedTuple):
    """A certificate that a service shows to who asks for one of the names."""

    file: str
    line: int
    certificate: Optional[str]
    key: Optional[str] = None
    chain: Optional[str] = None
    names: Tuple[str, ...] = ()
    problems: Problems = ()
    leaf: Optional[str] = None


class Chains:
    """Reads chain files and SNI maps of one instance."""

    def __init__(self, settings: Settings, report: Any) -> None:
        self.settings = settings
        self.report = report

    def of(self, files: List[str], place: Place, names: Tuple[str, ...]) -> List[Served]:
        """The certificates in a sequence of chain files."""
        file, line = place
        objects: List[Tuple[str, bool, int]] = []  # file, whether it is a key, which certificate of the file
        for path in files:
            try:
                data = self.report.reader.read(path, _reading.PEM_LIMIT).data
            except _reading.Unreadable:
                return self._untold(files, place, names)
            labels = [label.endswith(b"KEY") for label in _OBJECT.findall(data)]
            objects.extend((path, is_key, labels[:at].count(False)) for at, is_key in enumerate(labels))
        found: List[List[Tuple[str, bool, int]]] = []
        for one in objects:
            if one[1]:
                found.append([])
            elif not found:
                message = "Postfix wants a key before its certificate in %s" % one[0]
                return [Served(file, line, None, names=names, problems=(("malformed", message),))]
            found[-1].append(one)
        return [self._served(group, found, place, names) for group in found] or self._untold(
            files, place, names
        )

    @staticmethod
    def _untold(files: List[str], place: Place, names: Tuple[str, ...]) -> List[Served]:
        """Without the content: one file is all, of two the first is the key's."""
        file, line = place
        key, certificate, chain = (files + [None, None, None])[:3]
        return [Served(file, line, certificate or key, key, chain, names)]

    def _served(
        self,
        group: List[Tuple[str, bool, int]],
        groups: List[List[Tuple[str, bool, int]]],
        place: Place,
        names: Tuple[str, ...],
    ) -> Served:
        """One key with its certificates: with its files where they are its own."""
        key, certificates = group[0][0], list(dict.fromkeys(one[0] for one in group[1:]))
        others = {one[0] for other in groups if other is not group for one in other}
        mixed = len(certificates) > 2 or (key in certificates and len(certificates) > 1)
        if certificates and not mixed and not others & {key, *certificates}:
            return Served(
                place[0],
                place[1],
                certificates[0],
                key,
                certificates[1] if len(certificates) > 1 else None,
                names,
            )
        leaf = None
        if len(group) > 1:
            seen = self.report.materials.look(group[1][0]).certificates
            leaf = seen[group[1][2]] if group[1][2] < len(seen) else None
        message = "%s holds more than this certificate: it cannot be replaced as a file" % key
        return Served(place[0], place[1], None, names=names, problems=(("unresolved", message),), leaf=leaf)

    def by_name(self, value: str, place: Place) -> Iterator[Served]:
        """What the maps select; the first map that has a name wins."""
        claims = _reach.Claims(stars_take_names=False)
        for item in listed(value):
            kind, _colon, name = item.partition(":")
            for key, files, where in self._pairs(kind, name, place):
                pattern = _reach.plain("*" + key if key.startswith(".") else key)
                if pattern is not None and claims.claim((item, key), [pattern]):
                    yield from self.of(listed(files), where, (pattern,))

    def _pairs(self, kind: str, name: str, place: Place) -> List[Tuple[str, str, Place]]:
        if kind == "inline":
            return [(key, files, place) for key, files in inline_pairs(name)]
        if kind != "texthash" and kind not in _COMPILED:
            self.report.warning("the map %s:%s is not looked into" % (kind, name), *place)
            return []
        try:
            text = self.report.reader.config(name)
        except _reading.Unreadable as error:
            self.report.warning(
                "the names of %s:%s are not known, for its text is not there: %s"
                % (kind, name, error.message),
                *place,
            )
            return []
        found = [(key, files, (name, line)) for key, files, line in pairs(text)]
        if kind in _COMPILED:
            self._compare(kind, name, found, place)
        return found

    def _compare(self, kind: str, name: str, found: Sequence[Tuple[str, str, Place]], place: Place) -> None:
        """Says so where the files have changed since the map was made from them."""
        made = _reading.status(name + _COMPILED[kind])
        if made is None:
            self.report.warning("%s%s was never made with postmap -F" % (name, _COMPILED[kind]), *place)
            return
        for path in [name] + [path for _key, files, _where in found for path in listed(files)]:
            status = _reading.status(path)
            if status is not None and status.st_mtime > made.st_mtime:
                self.report.warning(
                    "%s is newer than %s%s, which holds a copy: Postfix shows the copy until postmap -F"
                    % (path, name, _COMPILED[kind]),
                    *place,
                )


def copied(settings: Settings, reader: _reading.Reader) -> List[str]:
    """The maps (`type:path`) that hold copies of files which are all there."""
    found: Dict[str, None] = {}
    for entry in [None, *settings.entries]:
        for item in listed(settings.values(["tls_server_sni_maps"], entry)["tls_server_sni_maps"]):
            kind, _colon, name = item.partition(":")
            if kind in _COMPILED and item not in found and _whole(reader, name):
                found[item] = None
    return list(found)


def _whole(reader: _reading.Reader, name: str) -> bool:
    try:
        text = reader.config(name)
    except _reading.Unreadable:
        return False
    return all(
        os.path.isfile(_reading.raw(path)) for _key, value, _line in pairs(text) for path in listed(value)
    )
