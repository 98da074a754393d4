# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else renews the certificates of this host, told by the places and traces each one leaves."""

import os
import re
from typing import Dict, Iterable, List, Optional

from . import _reading

# The folder that a client keeps its certificates in, wherever it was put. First match wins.
_PLACES = (
    ("certbot", r"/letsencrypt/(live|archive)/"),
    ("acme.sh", r"/\.?acme\.sh/"),
    ("dehydrated", r"/\.?dehydrated/"),
    ("lego", r"/\.?lego/"),
    ("getssl", r"/\.getssl/"),
    ("uacme", r"/uacme/"),
    ("caddy", r"/caddy/(.*/)?certificates/"),
    ("mod_md", r"/md/domains/"),
)
_ANY_PLACE = re.compile("|".join(pattern for _name, pattern in _PLACES))
STAMPED = re.compile(r"(cert|chain|fullchain|privkey)-\d{10}\.pem$")
_ACME_SH_FILES = re.compile(r"^Le_Real\w*Path='?([^'\n]+)", re.MULTILINE)
_CERTBOT_FILES = re.compile(r"^(?:cert|privkey|chain|fullchain)\s*=\s*(\S.*?)\s*$", re.MULTILINE)
_TRACE_LIMIT = 64 * 1024
_TRACES_LIMIT = 2000


class Managers:
    """Knows, for a path, which ACME client of this host renews the file."""

    def __init__(
        self,
        reader: _reading.Reader,
        certbot: Iterable[str] = ("/etc/letsencrypt",),
        acme_sh: Optional[Iterable[str]] = None,
    ) -> None:
        self.reader = reader
        self.certbot = certbot
        self.acme_sh = acme_sh
        self._installed: Optional[Dict[str, str]] = None
        self._known: Dict[str, Optional[str]] = {}

    def of(self, paths: Iterable[str]) -> Optional[str]:
        """The client that manages one of these files, None when no trace leads to any."""
        for path in paths:
            if path not in self._known:
                self._known[path] = self._of(path)
            if self._known[path] is not None:
                return self._known[path]
        return None

    def _of(self, path: str) -> Optional[str]:
        end = self.reader.real(path)
        for place in (path, end):
            name = self._installed_by().get(place) or _by_place(place)
            if name is not None:
                return name
        if end != path and STAMPED.search(end):
            return "dehydrated"
        return self._by_neighbours(path)

    def _by_neighbours(self, path: str) -> Optional[str]:
        folder, name = os.path.split(path)
        stem = os.path.splitext(name)[0]
        lineage = os.path.dirname(os.path.dirname(folder))
        if os.path.basename(os.path.dirname(folder)) == "live" and self._exists(
            os.path.join(lineage, "renewal", os.path.basename(folder) + ".conf")
        ):
            return "certbot"
        if self._exists(os.path.join(folder, stem + ".json")) and self._exists(
            os.path.join(folder, stem + ".issuer.crt")
        ):
            return "lego"
        return None

    @staticmethod
    def _exists(path: str) -> bool:
        return _reading.status(path) is not None

    def _installed_by(self) -> Dict[str, str]:
        """Files that a client has copied out of its own folder and copies again at each renewal."""
        if self._installed is None:
            self._installed = {}
            left = _TRACES_LIMIT
            for name, pattern, files in (
                ("acme.sh", _ACME_SH_FILES, self._acme_sh_traces()),
                ("certbot", _CERTBOT_FILES, self._certbot_traces()),
            ):
                for file in files[:left]:
                    left -= 1
                    for path in pattern.findall(self._trace(file)):
                        self._installed[path] = name
        return self._installed

    def _trace(self, file: str) -> str:
        try:
            return _reading.text(self.reader.read(file, _TRACE_LIMIT).data)
        except _reading.Unreadable:
            return ""

    def _certbot_traces(self) -> List[str]:
        return [file for home in self.certbot for file in self.reader.glob(home + "/renewal/*.conf")]

    def _acme_sh_traces(self) -> List[str]:
        homes = self.acme_sh
        if homes is None:
            homes = ["/root/.acme.sh", "/etc/acme.sh", "/var/lib/acme.sh"] + self.reader.glob(
                "/home/*/.acme.sh"
            )
        return [file for home in homes for file in self.reader.glob(home + "/*/*.conf")]


def _by_place(path: str) -> Optional[str]:
    if _ANY_PLACE.search(path) is None:
        return None
    return next((name for name, pattern in _PLACES if re.search(pattern, path)), None)
