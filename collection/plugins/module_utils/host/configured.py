# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the configurations of this host say of a file: who else reads it, and how a keystore is opened."""

import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import handshake
from .errors import HostError

if TYPE_CHECKING:
    from .services._keystore import Opening
    from .services._report import Report

SECONDS = 30.0
#: The most places of others that are asked for one deployment: one certificate may serve thousands of names.
ASKED = 48


class Reader(NamedTuple):
    """A server that reads a file, and where a handshake shows what it has read."""

    service: str
    endpoints: List[handshake.Endpoint]


class Configured:
    """The configurations of all servers here, read once when somebody asks."""

    def __init__(self) -> None:
        self._report = None  # type: Optional[Report]

    def report(self) -> "Report":
        """What a scan without handshakes finds; a server whose scan breaks off hides no other."""
        if self._report is None:
            from . import scan  # noqa: PLC0415 - all kinds of server are loaded where something is to change

            self._report = scan.configured(SECONDS)
        return self._report

    def openings(self, service: str, path: str) -> "List[Opening]":
        """How a server opens a keystore; nothing where its configuration does not name it."""
        found = self.report().openings
        return found.get((service, os.path.realpath(path)), [])

    def readers(self, files: List[Tuple[str, Optional[str]]]) -> List[Reader]:
        """Every server that reads one of these certificates (a file, and of a keystore the alias)."""
        asked = {}  # type: Dict[str, List[handshake.Endpoint]]
        for binding in self.report().bindings:
            if any(_reads(binding, os.path.realpath(path), alias) for path, alias in files):
                places = asked.setdefault(binding["service"], [])
                places.extend(one for one in _endpoints(binding) if one not in places)
        return [Reader(service, places[:ASKED]) for service, places in sorted(asked.items())]

    def pairs(self, files: List[str]) -> List[Tuple[str, str]]:
        """The certificate and the key, by their paths, of each place that reads one of these files."""
        found = []
        for binding in self.report().bindings:
            if any(_reads(binding, path, None) for path in files):
                kinds = {file["kind"]: file["path"] for file in binding["files"]}
                certificate = kinds.get("fullchain") or kinds.get("leaf")
                if certificate and kinds.get("key") and (certificate, kinds["key"]) not in found:
                    found.append((certificate, kinds["key"]))
        return found


def _reads(binding: Dict[str, Any], real: str, alias: Optional[str]) -> bool:
    for file in binding["files"]:
        other = file.get("alias")
        same = alias is None or other is None or other.lower() == alias.lower()
        if same and (file["target"] or file["path"]) == real:
            return True
    return False


def _endpoints(binding: Dict[str, Any]) -> Iterator[handshake.Endpoint]:
    try:
        yield from handshake.endpoints(binding["listeners"], binding["names"], limit=ASKED)
    except HostError:  # a listener that nobody can ask
        return
