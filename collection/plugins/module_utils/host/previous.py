# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting back what a deployment had before its last change: a deploy of the files that were kept then.

The same tests, reload and look over the wire as for any other deploy. Asked for twice it changes
nothing the second time: it goes one step back and never forth again.
"""

import os
import time
from typing import Any, Dict, List, Optional, Tuple

from . import content, keystores, pem, transaction, validity
from .configured import Configured
from .errors import HostError, Refused
from .placement import Placement, require_pair
from .services import _keys


class Previous(Placement):
    """A deployment that is to have the files again that its last change replaced.

    `now` is the controller's time: a host's own clock does not decide what is valid. `force`
    takes a certificate back that is not valid any more, `refused` (fingerprints) never comes back.
    """

    noun = "previous"

    def __init__(self, deployment: Dict[str, Any], now: float, force: bool, refused: List[str]) -> None:
        self.now = now
        self.force = force
        self.refused = refused
        self.journal: Optional[Dict[str, Any]] = None
        super().__init__(deployment, None)

    def _require_bundle(self) -> None:
        """Finds the change that is to be undone; nothing else is asked for."""
        paths = {os.path.realpath(entry["path"]) for entry in self.deployment["files"]}
        found = [one for one in transaction.committed() if paths & {file["real"] for file in one["files"]}]
        if not found:
            message = "no change of these files is kept on this host: there is nothing to go back to"
            raise Refused("no_backup", message)
        self.journal = found[0]
        self._require_unshared(paths)
        if self.journal["about"].get("undoes"):
            told = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.journal["at"]))
            self.stop("unchanged", "already_previous", "the previous files were put back at %s UTC" % told)

    def _require_unshared(self, paths: Any) -> None:
        """A file that belongs to others of that change as well goes back with them or not at all."""
        asked = set(self.deployment.get("together") or []) | {self.deployment["certificate"]}
        for other in (self.journal or {})["about"].get("deployments", []):
            shared = sorted(paths & set(other["files"]))
            if shared and other["certificate"] not in asked:
                told = "%s belongs to %s as well: put both back in one run"
                raise Refused("shared_file", told % (shared[0], other["certificate"]))

    def _wanted(self, kind: str, path: str) -> bytes:
        return self._kept(path)

    def _kept(self, path: str) -> bytes:
        """What a file had before the change; where that did not touch it, what it has now."""
        real = os.path.realpath(path)
        entry = next((one for one in (self.journal or {})["files"] if one["real"] == real), None)
        if entry is None:
            return content.present(path)
        kept = None if entry["before"] is None else transaction.read(entry["backup"])
        if kept is None or transaction.digest(kept) != entry["before"]:
            raise Refused(
                "no_backup", "what %s had before is not kept: the file was new, or it is lost" % path
            )
        return kept

    def _with_entry(self, entry: Dict[str, Any], old: Optional[bytes], opening: keystores.Opening) -> bytes:
        return self._kept(entry["path"])

    def fill(self, configured: Configured, pending: Dict[str, bytes]) -> None:
        super().fill(configured, pending)
        if self.state is None and self.bundle is None:
            try:
                self.bundle = self._described()
            except HostError as error:
                self.settle(error)

    def _described(self) -> Dict[str, Any]:
        """What is to be served again, as a bundle without its key."""
        entry = next(one for one in self.deployment["files"] if one["kind"] in content.WITH_CERTIFICATE)
        found = self.shown(entry, self.contents[os.path.realpath(entry["path"])])
        if not found:
            raise Refused("no_backup", "no certificate is in what %s had before" % entry["path"])
        leaf = found[0]
        return {
            "certificate": pem.block(leaf),
            "fingerprint_sha256": transaction.digest(leaf),
            "key_type": _keys.kind_of_certificate(leaf),
        }

    def _require_matching_key(self) -> None:
        """The files that come back must fit each other, and be worth coming back."""
        self._require_unchanged()
        leaf = pem.der((self.bundle or {})["certificate"])
        self._require_wanted(leaf)
        parts = self._pair()
        if parts is not None:
            require_pair(b"\n".join(parts))

    def _require_unchanged(self) -> None:
        for entry in (self.journal or {})["files"]:
            if entry["real"] not in self.contents:
                continue
            now = transaction.read(entry["real"])
            if now is None or transaction.digest(now) != entry["after"]:
                told = (
                    "%s was changed since the last deploy: what was before that is not what you would expect"
                )
                raise HostError("file_changed", told % entry["path"])

    def _require_wanted(self, leaf: bytes) -> None:
        begin, end = validity.of(leaf)
        mark = transaction.digest(leaf)
        if mark in self.refused:
            raise Refused("revoked", "the previous certificate %s is revoked" % mark[:16])
        if self.now < begin:
            raise Refused("not_yet_valid", "the previous certificate is valid from %s" % validity.told(begin))
        if self.now >= end and not self.force:
            told = "the previous certificate ended at %s; `force` puts it back all the same"
            raise Refused("expired", told % validity.told(end))

    def _pair(self) -> Optional[Tuple[bytes, bytes]]:
        """Certificate and key as PEM, where the files have them so."""
        held = {
            entry["kind"]: self.contents[os.path.realpath(entry["path"])]
            for entry in self.deployment["files"]
        }
        certificate = next((held[kind] for kind in ("combined", "fullchain", "leaf") if kind in held), None)
        key = held.get("key", held.get("combined"))
        if certificate is None or key is None or b"PRIVATE KEY-----" not in key:
            return None
        if pem.encrypted(key):  # only its server has the password, and its own test tells
            return None
        return (certificate, b"" if key is certificate else key)


def placement(deployment: Dict[str, Any], request: Dict[str, Any]) -> Previous:
    """A deployment that is to go back, of a request that says so."""
    together = [one["certificate"] for one in request["deployments"]]
    wish = dict(deployment, together=together)
    return Previous(wish, float(request["now"]), bool(request.get("force")), request.get("refused") or [])
