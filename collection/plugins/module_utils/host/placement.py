# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment while it is being placed: its files, its endpoints, what they served and serve."""

import os
import shutil
import ssl
import tempfile
from typing import Any, Dict, List, Optional, Tuple

from . import content, handshake, keystores, pem, state, transaction
from .configured import Configured, Reader
from .errors import HostError, Refused

#: Where a pair is looked at; a kill leaves it, the next run removes it.
CHECK_PREFIX = "check-"


class Stop(Exception):
    """Ends the work on a deployment (or a group) with a state, a reason and a sentence."""

    def __init__(self, outcome: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.state = outcome
        self.reason = reason
        self.message = message


class Placement:
    """Facts about one deployment; it decides nothing about its neighbours."""

    #: What the certificate is called that is to be served.
    noun = "new"

    def __init__(self, deployment: Dict[str, Any], bundle: Optional[Dict[str, Any]]) -> None:
        self.deployment = deployment
        self.bundle = bundle
        self.service: str = deployment["service"]
        self.state: Optional[str] = None
        self.reason = self.message = ""
        self.seconds = 0.0
        self.changed = False
        self.runs = True
        self.reloads: List[str] = []
        self.files: Optional[List[Dict[str, Any]]] = None
        self.before: Dict[handshake.Endpoint, handshake.Served] = {}
        self.after: Dict[handshake.Endpoint, handshake.Served] = {}
        self.endpoints: List[handshake.Endpoint] = []
        self.readers: List[Reader] = []
        self.contents: Dict[str, bytes] = {}
        self.openings: Dict[str, keystores.Opening] = {}
        self.disk_fingerprint: Optional[str] = None
        self.seen: Dict[str, Optional[str]] = {}
        try:
            self._prepare()
        except HostError as error:
            self.stop("refused", error.kind, error.message)

    def _prepare(self) -> None:
        self._require_bundle()
        if self.state is not None:
            return
        self.endpoints = handshake.endpoints(self.deployment["listeners"], self.deployment["names"])
        if not self.deployment["files"]:
            raise Refused("no_files", "the deployment names no file")
        for entry in self.deployment["files"]:
            path, kind = entry["path"], entry["kind"]
            if not os.path.isabs(path) or "\0" in path or os.path.normpath(path) != path:
                raise Refused("bad_path", "%r is no clean absolute path" % path)
            if kind not in content.KINDS:
                raise Refused("bad_kind", "%r is none of %s" % (kind, ", ".join(content.KINDS)))
            if kind not in keystores.KINDS:
                self.contents[os.path.realpath(path)] = self._wanted(kind, path)
        if not any(entry["kind"] in content.WITH_KEY for entry in self.deployment["files"]):
            raise Refused("no_key_file", "no file for the private key is known: it would not fit any more")

    def _require_bundle(self) -> None:
        if self.bundle is None:
            raise Refused("no_bundle", "there is no certificate to deploy here")

    def _wanted(self, kind: str, path: str) -> bytes:
        return content.wanted(kind, self.bundle or {}, path)

    def stores(self) -> List[Dict[str, Any]]:
        """The files that are keystores: what they are to hold depends on what else is in them."""
        return [entry for entry in self.deployment["files"] if entry["kind"] in keystores.KINDS]

    def claims(self) -> List[Tuple[str, Optional[str]]]:
        """The files that it changes; of a keystore only the entry of an alias, where one is named."""
        stores = [
            (os.path.realpath(entry["path"]), entry["alias"].lower() if entry.get("alias") else None)
            for entry in self.stores()
        ]
        plain = [(real, None) for real in self.contents if real not in {one for one, _alias in stores}]
        return plain + stores

    def fill(self, configured: Configured, pending: Dict[str, bytes]) -> None:
        """Puts its certificate into its keystores, after what others have put there (`pending`)."""
        filled: Dict[str, bytes] = {}
        try:
            for entry in self.stores():
                real = os.path.realpath(entry["path"])
                old = filled.get(real, pending.get(real, transaction.read(real)))
                content.require_ours(entry["path"], entry["kind"], old or b"")
                opening = keystores.opening(entry, configured.openings(self.service, real))
                self.openings[real] = opening
                filled[real] = self._with_entry(entry, old, opening)
        except HostError as error:
            self.settle(error)
            return
        self.contents.update(filled)
        pending.update(filled)

    def _with_entry(self, entry: Dict[str, Any], old: Optional[bytes], opening: keystores.Opening) -> bytes:
        new = keystores.material(self.bundle or {})
        return keystores.with_entry(old, entry["kind"], opening, new)

    def stop(self, outcome: str, reason: str, message: str) -> None:
        """Settles the outcome of this deployment."""
        self.state, self.reason, self.message = outcome, reason, message

    def settle(self, error: HostError) -> None:
        """Settles the outcome of a deployment that must not be begun, nothing having been touched."""
        states = {
            "file_changed": "conflict",
            "unreadable": "blocked_by_host",
            "not_a_file": "blocked_by_host",
        }
        states["too_large"] = "blocked_by_host"
        self.stop(states.get(error.kind, "refused"), error.kind, error.message)

    def touches(self, other: "Placement") -> bool:
        """Whether the two must stand or fall together."""
        own, others = ({real for real, _alias in one.claims()} for one in (self, other))
        return self.service == other.service or bool(own & others)

    def examine(self) -> None:
        """Refuses a bundle that is not fit and a file that is not what the scan saw."""
        try:
            self._require_matching_key()
            self._require_known_files()
        except HostError as error:
            self.settle(error)

    def _require_matching_key(self) -> None:
        bundle = self.bundle or {}
        if pem.fingerprint(bundle["certificate"]) != bundle["fingerprint_sha256"]:
            raise Refused("wrong_certificate", "the bundle is not the certificate that was asked for")
        require_pair(content.as_pem("combined", bundle))

    def _require_known_files(self) -> None:
        for entry in self.deployment["files"]:
            path, real = entry["path"], os.path.realpath(entry["path"])
            if not os.path.isdir(os.path.dirname(real)):
                raise HostError("unreadable", "the folder of %s does not exist" % path)
            old = transaction.read(path)
            self.seen[real] = None if old is None else transaction.digest(old)
            if old is None:
                continue
            self._note_disk(entry, old)
            content.require_ours(path, entry["kind"], old)
            known = (entry.get("sha256"), transaction.digest(self.contents[real]))
            if entry.get("sha256") is not None and transaction.digest(old) not in known:
                raise HostError("file_changed", "%s is not what the scan saw; scan the host again" % path)

    def _note_disk(self, entry: Dict[str, Any], old: bytes) -> None:
        if entry["kind"] in content.WITH_CERTIFICATE:
            found = self.shown(entry, old)
            self.disk_fingerprint = transaction.digest(found[0]) if found else None

    def shown(self, entry: Dict[str, Any], data: bytes) -> List[bytes]:
        """The certificates (DER) that a file with these bytes would show, the leaf first."""
        if entry["kind"] in keystores.KINDS:
            return keystores.chain(data, self.openings[os.path.realpath(entry["path"])])
        return content.certificates(data)

    def changes(self) -> List[transaction.Change]:
        """The files whose content differs from what is wanted."""
        secret = {
            os.path.realpath(e["path"]): e["kind"] in content.WITH_KEY for e in self.deployment["files"]
        }
        return [
            transaction.Change(real, new, secret[real])
            for real, new in self.contents.items()
            if transaction.read(real) != new
        ]

    def in_place(self) -> bool:
        """Whether every file has the wanted content already."""
        return not self.changes()

    def changed_certificates(self) -> List[Tuple[str, Optional[str]]]:
        """The files with a certificate that change; of a keystore with the alias of the entry that does."""
        changed = {change.path for change in self.changes()}
        found = []
        for entry in self.deployment["files"]:
            real = os.path.realpath(entry["path"])
            if real in changed and entry["kind"] in content.WITH_CERTIFICATE:
                opening = self.openings.get(real)
                found.append((real, None if opening is None else opening.alias))
        return found

    def plan(self) -> str:
        """What a run would do, in words."""
        steps = []
        if self.changes():
            steps.append("replace %s" % ", ".join(change.path for change in self.changes()))
        if self.reloads:
            places = ["%s for %s" % (one.listener(), one.name or "no name") for one in self.decisive()]
            steps.append("reload %s" % ", ".join(self.reloads))
            steps.append("look at %s" % ", ".join(places))
        return "would %s" % (" and ".join(steps) or "change nothing")

    def ask(self, endpoint: handshake.Endpoint) -> handshake.Served:
        """One handshake, wanting the kind of key that the new certificate has."""
        return handshake.ask_for(endpoint, (self.bundle or {}).get("key_type"))

    def note(self, when: str, endpoint: handshake.Endpoint, served: handshake.Served) -> None:
        """Keeps what an endpoint showed `before` or `after` the change."""
        if when == "before":
            self.before[endpoint] = served
        self.after[endpoint] = served

    def meet(self, reader: Reader) -> None:
        """Notes a place that nobody named and that shows one of its files all the same."""
        new = [one for one in reader.endpoints if one not in self.endpoints]
        self.readers.append(reader._replace(endpoints=new))

    def asked(self) -> List[handshake.Endpoint]:
        """Every endpoint to look at: its own, and those of others that read its files."""
        return self.endpoints + [one for reader in self.readers for one in reader.endpoints]

    def decisive(self) -> List[handshake.Endpoint]:
        """The endpoints that must show the new certificate.

        Those that showed the file's own certificate before; a name that another server block
        answers cannot show ours. Where none did, those that answered; where none answered, all.
        Of others that read the files too, those that showed the file's own certificate.
        """
        before = {one: self.before[one].fingerprint for one in self.asked() if one in self.before}
        old = [one for one, shown in before.items() if shown is not None and shown == self.disk_fingerprint]
        own = [one for one in old if one in self.endpoints]
        answered = [one for one in self.endpoints if before.get(one) is not None]
        others = [one for one in old if one not in self.endpoints]
        return ((own or answered or list(self.endpoints)) if self.runs else []) + others

    def answered(self) -> bool:
        """Whether any endpoint of its own showed a certificate at the first look."""
        return any(self.before[one].fingerprint is not None for one in self.endpoints if one in self.before)

    def serves(self) -> bool:
        """Whether all that counts shows the new certificate now."""
        wanted = (self.bundle or {})["fingerprint_sha256"]
        decisive = self.decisive()
        shown = all(e in self.after and self.after[e].fingerprint == wanted for e in decisive)
        return shown and (bool(decisive) or not self.runs)

    def serves_as_before(self) -> bool:
        """Whether every endpoint shows what it showed before we came, or what lay on the disk then.

        Somebody else's reload may have been under way at the first look.
        """
        shown = [(served.fingerprint, self.after.get(e)) for e, served in self.before.items()]
        return all(
            after is not None
            and after.fingerprint is not None
            and after.fingerprint in (before, self.disk_fingerprint)
            for before, after in shown
            if before is not None
        )

    def serves_what_lies_there(self) -> bool:
        """Whether all that counts shows what somebody else has put into the files, neither old nor new."""
        lying = set()
        for entry in self.deployment["files"]:
            if entry["kind"] in content.WITH_CERTIFICATE:
                found = self.shown(entry, content.present(entry["path"]))
                lying.add(transaction.digest(found[0]) if found else None)
        shown = {self.after[one].fingerprint for one in self.decisive() if one in self.after}
        ours = {None, self.disk_fingerprint, (self.bundle or {}).get("fingerprint_sha256")}
        return shown == lying and not lying & ours

    def shortfall(self) -> str:
        """Which endpoints do not show what they should, in words."""
        wanted = (self.bundle or {})["fingerprint_sha256"]
        parts = []
        for endpoint in self.decisive():
            served = self.after.get(endpoint)
            if served is None or served.fingerprint != wanted:
                shown = "no answer" if served is None else served.error or str(served.fingerprint)[:16]
                parts.append("%s for %s shows %s" % (endpoint.listener(), endpoint.name or "no name", shown))
        return "%s, not the %s certificate %s" % ("; ".join(parts), self.noun, wanted[:16])

    def identity(self) -> Dict[str, Any]:
        """What the journal keeps of it."""
        files = [os.path.realpath(entry["path"]) for entry in self.deployment["files"]]
        return {"certificate": self.deployment["certificate"], "service": self.service, "files": files}

    def outcome(self) -> Dict[str, Any]:
        """The documented form (docs/developer/contracts.md §2)."""
        changes = self.files if self.state in ("planned", "deployed", "staged") else None
        return {
            **({} if changes is None else {"changes": changes}),
            "id": self.deployment.get("id"),
            "certificate": self.deployment["certificate"],
            "service": self.service,
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "changed": self.changed or self.state == "planned",
            "reloads": self.reloads if self.state in ("planned", "deployed") else [],
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


def require_pair(pair: bytes) -> None:
    """Refuses a certificate and a key (PEM, in one text) that do not belong together."""
    if pem.encrypted(pair):  # OpenSSL would ask whoever sits at the terminal, and wait for him
        raise Refused("key_encrypted", "the key is encrypted, so that nobody can tell whether it fits")
    workplace = tempfile.mkdtemp(prefix=CHECK_PREFIX, dir=state.directory())
    try:
        path = os.path.join(workplace, "pair.pem")
        state.write(path, pair)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    except ssl.SSLError as error:
        raise Refused("key_mismatch", "the key does not belong to the certificate: %s" % error) from error
    finally:
        shutil.rmtree(workplace)
