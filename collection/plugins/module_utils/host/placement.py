# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment while it is being placed: its files, its endpoints, what they served and serve."""

import os
import shutil
import ssl
import tempfile
from typing import Any, Dict, List, Optional

from . import handshake, pem, state, transaction
from .errors import HostError, Refused

#: Where a pair is looked at; a kill leaves it, the next run removes it.
CHECK_PREFIX = "check-"
_KINDS = ("leaf", "chain", "fullchain", "key", "combined")
#: Forms that a scan reads and nobody writes yet.
_UNWRITTEN = {
    "pkcs12": "a PKCS#12 keystore",
    "jks": "a Java keystore",
    "der": "a DER file",
    "pkcs7": "a PKCS#7 bundle",
}


class Stop(Exception):
    """Ends the work on a deployment (or a group) with a state, a reason and a sentence."""

    def __init__(self, outcome: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.state = outcome
        self.reason = reason
        self.message = message


class Placement:
    """Facts about one deployment; it decides nothing about its neighbours."""

    def __init__(self, deployment: Dict[str, Any], bundle: Optional[Dict[str, Any]]) -> None:
        self.deployment = deployment
        self.bundle = bundle
        self.service: str = deployment["service"]
        self.state: Optional[str] = None
        self.reason = self.message = ""
        self.seconds = 0.0
        self.changed = False
        self.before: Dict[handshake.Endpoint, handshake.Served] = {}
        self.after: Dict[handshake.Endpoint, handshake.Served] = {}
        self.endpoints: List[handshake.Endpoint] = []
        self.contents: Dict[str, bytes] = {}
        self.disk_fingerprint: Optional[str] = None
        try:
            self._prepare()
        except HostError as error:
            self.stop("refused", error.kind, error.message)

    def _prepare(self) -> None:
        if self.bundle is None:
            raise Refused("no_bundle", "there is no certificate to deploy here")
        self.endpoints = handshake.endpoints(self.deployment["listeners"], self.deployment["names"])
        if not self.deployment["files"]:
            raise Refused("no_files", "the deployment names no file")
        for entry in self.deployment["files"]:
            path, kind = entry["path"], entry["kind"]
            if not os.path.isabs(path) or "\0" in path or os.path.normpath(path) != path:
                raise Refused("bad_path", "%r is no clean absolute path" % path)
            if kind in _UNWRITTEN:
                told = "%s is %s: notafter reads it and does not write it yet; let the server read PEM files"
                raise Refused("form_not_written", told % (path, _UNWRITTEN[kind]))
            if kind not in _KINDS:
                raise Refused("bad_kind", "%r is none of %s" % (kind, ", ".join(_KINDS)))
            self.contents[os.path.realpath(path)] = self._content(kind, _key_is_first(path))
        if not any(entry["kind"] in ("key", "combined") for entry in self.deployment["files"]):
            raise Refused("no_key_file", "no file for the private key is known: it would not fit any more")

    def _content(self, kind: str, key_first: bool = False) -> bytes:
        bundle = self.bundle or {}
        certificate = _lines(bundle["certificate"])
        chain = _lines(bundle["chain"])
        key = _lines(bundle["private_key"])
        return {
            "leaf": certificate,
            "chain": chain,
            "fullchain": certificate + chain,
            "key": key,
            "combined": key + certificate + chain if key_first else certificate + chain + key,
        }[kind].encode("ascii")

    def stop(self, outcome: str, reason: str, message: str) -> None:
        """Settles the outcome of this deployment."""
        self.state, self.reason, self.message = outcome, reason, message

    def touches(self, other: "Placement") -> bool:
        """Whether the two must stand or fall together."""
        return self.service == other.service or bool(set(self.contents) & set(other.contents))

    def examine(self) -> None:
        """Refuses a bundle that is not fit and a file that is not what the scan saw."""
        try:
            self._require_matching_key()
            self._require_known_files()
        except HostError as error:
            outcome = "conflict" if error.kind == "file_changed" else "refused"
            outcome = (
                "blocked_by_host" if error.kind in ("unreadable", "not_a_file", "too_large") else outcome
            )
            self.stop(outcome, error.kind, error.message)

    def _require_matching_key(self) -> None:
        bundle = self.bundle or {}
        if pem.fingerprint(bundle["certificate"]) != bundle["fingerprint_sha256"]:
            raise Refused("wrong_certificate", "the bundle is not the certificate that was asked for")
        workplace = tempfile.mkdtemp(prefix=CHECK_PREFIX, dir=state.directory())
        try:
            path = os.path.join(workplace, "pair.pem")
            state.write(path, self._content("combined"))
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        except ssl.SSLError as error:
            raise Refused("key_mismatch", "the key does not belong to the certificate: %s" % error) from error
        finally:
            shutil.rmtree(workplace)

    def _require_known_files(self) -> None:
        for entry in self.deployment["files"]:
            if not os.path.isdir(os.path.dirname(os.path.realpath(entry["path"]))):
                raise HostError("unreadable", "the folder of %s does not exist" % entry["path"])
            content = transaction.read(entry["path"])
            if entry["kind"] in ("leaf", "fullchain", "combined") and content is not None:
                self._note_disk(content)
            if content is not None and content.strip() and b"-----BEGIN " not in content:
                # A configuration may belong to less than root; whoever writes there must not be able
                # to have root overwrite whatever he names.
                raise Refused("not_ours_to_write", "%s holds neither certificate nor key" % entry["path"])
            expected = entry.get("sha256")
            if expected is None or content is None:
                continue
            if transaction.digest(content) not in (
                expected,
                transaction.digest(self.contents[os.path.realpath(entry["path"])]),
            ):
                raise HostError(
                    "file_changed", "%s is not what the scan saw; scan the host again" % entry["path"]
                )

    def _note_disk(self, content: bytes) -> None:
        found = pem.certificates(content.decode("latin-1"))
        self.disk_fingerprint = pem.fingerprint(found[0]) if found else None

    def changes(self) -> List[transaction.Change]:
        """The files whose content differs from what is wanted."""
        secret = {
            os.path.realpath(e["path"]): e["kind"] in ("key", "combined") for e in self.deployment["files"]
        }
        return [
            transaction.Change(real, content, secret[real])
            for real, content in self.contents.items()
            if transaction.read(real) != content
        ]

    def in_place(self) -> bool:
        """Whether every file has the wanted content already."""
        return not self.changes()

    def plan(self, reloads: bool = True) -> str:
        """What a run would do, in words; `reloads` is false where there is nothing to reload."""
        steps = []
        if self.changes():
            steps.append("replace %s" % ", ".join(change.path for change in self.changes()))
        if reloads:
            steps.append("reload %s" % self.service)
        return "would %s" % (" and ".join(steps) or "change nothing")

    def ask(self, endpoint: handshake.Endpoint) -> handshake.Served:
        """One handshake, wanting the kind of key that the new certificate has."""
        return handshake.ask_for(endpoint, (self.bundle or {}).get("key_type"))

    def note(self, when: str, endpoint: handshake.Endpoint, served: handshake.Served) -> None:
        """Keeps what an endpoint showed `before` or `after` the change."""
        if when == "before":
            self.before[endpoint] = served
        self.after[endpoint] = served

    def decisive(self) -> List[handshake.Endpoint]:
        """The endpoints that must show the new certificate.

        Those that showed the file's own certificate before; a name that another server block
        answers cannot show ours. Where none did, those that answered; where none answered, all.
        """
        own = [e for e, served in self.before.items() if served.fingerprint == self.disk_fingerprint]
        own = [e for e in own if self.before[e].fingerprint is not None]
        answered = [e for e, served in self.before.items() if served.fingerprint is not None]
        return own or answered or list(self.endpoints)

    def answered(self) -> bool:
        """Whether any endpoint showed a certificate at the first look."""
        return any(served.fingerprint is not None for served in self.before.values())

    def serves(self) -> bool:
        """Whether all that counts shows the new certificate now."""
        wanted = (self.bundle or {})["fingerprint_sha256"]
        decisive = self.decisive()
        return bool(decisive) and all(
            e in self.after and self.after[e].fingerprint == wanted for e in decisive
        )

    def serves_as_before(self) -> bool:
        """Whether every endpoint shows what it showed before we came."""
        return all(
            e in self.after and self.after[e].fingerprint == served.fingerprint
            for e, served in self.before.items()
            if served.fingerprint is not None
        )

    def serves_what_lies_there(self) -> bool:
        """Whether all that counts shows a certificate that is in the files now, and was not shown before."""
        lying = set()
        for entry in self.deployment["files"]:
            with_leaf = entry["kind"] in ("leaf", "fullchain", "combined")
            text = (transaction.read(entry["path"]) or b"").decode("latin-1") if with_leaf else ""
            lying.update(pem.fingerprint(one) for one in pem.certificates(text)[:1])
        shown = [self.after[one].fingerprint for one in self.decisive() if one in self.after]
        before = [served.fingerprint for served in self.before.values()]
        return bool(shown) and all(one in lying and one not in before for one in shown)

    def shortfall(self) -> str:
        """Which endpoints do not show what they should, in words."""
        wanted = (self.bundle or {})["fingerprint_sha256"]
        parts = []
        for endpoint in self.decisive():
            served = self.after.get(endpoint)
            if served is None or served.fingerprint != wanted:
                shown = "no answer" if served is None else served.error or str(served.fingerprint)[:16]
                parts.append("%s for %s shows %s" % (endpoint.listener(), endpoint.name or "no name", shown))
        return "%s, not the new certificate %s" % ("; ".join(parts), wanted[:16])

    def outcome(self) -> Dict[str, Any]:
        """The documented form (docs/developer/contracts.md §2)."""
        return {
            "id": self.deployment.get("id"),
            "certificate": self.deployment["certificate"],
            "service": self.service,
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "changed": self.changed or self.state == "planned",
            "before_fingerprint": self._shown(self.before),
            "live_fingerprint": self._shown(self.after),
            "endpoints": [
                {
                    "listener": endpoint.listener(),
                    "name": endpoint.name,
                    "fingerprint": served.fingerprint,
                    "error": served.error,
                }
                for endpoint, served in self.after.items()
            ],
            "seconds": self.seconds,
        }

    def _shown(self, seen: Dict[handshake.Endpoint, handshake.Served]) -> Optional[str]:
        for endpoint in self.decisive():
            if endpoint in seen and seen[endpoint].fingerprint is not None:
                return seen[endpoint].fingerprint
        return None


def _key_is_first(path: str) -> bool:
    """Whether a file begins with its key: a server may insist on that order (Postfix's chain files)."""
    try:
        content = transaction.read(path) or b""
    except HostError:  # said by examine()
        return False
    key, certificate = content.find(b"PRIVATE KEY-----"), content.find(b"-----BEGIN CERTIFICATE-----")
    return 0 <= key < certificate


def _lines(text: str) -> str:
    return text.strip() + "\n" if text.strip() else ""
