# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates of one Traefik: those that its file provider names, and those of its resolvers."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import _keystore_forms as forms
from . import _reach, _reading
from . import _traefik_acme as acme
from ._traefik_entries import Entries
from ._traefik_names import key as names_key
from ._traefik_settings import Settings, read
from ._traefik_tree import Node, at, entries, is_set, items, text, texts

DYNAMIC = (".toml", ".yaml", ".yml")
_HOST = re.compile(r"Host(?:SNI)?\(([^()]*)\)")
_QUOTED = re.compile(r"[`\"]([^`\"]+)[`\"]")
_FOLDERS_LIMIT = 10000


class Claim(NamedTuple):
    """A certificate before it is known who is shown it."""

    file: str
    line: int
    certificate: Optional[str]
    key: Optional[str]
    held: Sequence[bytes]
    problems: List[Tuple[str, str]]
    managed_by: Optional[str]
    order: str
    own: bool  # whether it is chosen by its names; else it is the default


class Sites:
    """Reads what one process goes by, and tells it to the report."""

    def __init__(self, settings: Settings, folder: Optional[str], report: Any, service: str) -> None:
        self.settings = settings
        self.folder = folder
        self.report = report
        self.service = service
        self.entries = Entries(settings.root, report, service, settings.file or "")
        self.claims: List[Claim] = []
        self.strict = False
        self._default: Optional[Tuple[str, int]] = None
        self._asked: Dict[str, Tuple[str, int, str]] = {}  # a name, and the router and resolver that want it

    def report_bindings(self) -> None:
        ended = self.report.reader.partly(0.6, self._dynamic)
        self._static()
        stores = self._resolvers()
        self._emit()
        self._wanted(stores)
        self._unseen()
        if ended is not None:
            raise ended

    def _dynamic(self) -> None:
        for path in self._files():
            self._file(read(path, self.report.reader, self._warn), path)

    def _files(self) -> List[str]:
        """The files of the file provider; a folder counts before a file."""
        provider = at(self.settings.root, "providers", "file") or at(self.settings.root, "file")
        folder, name = text(at(provider, "directory")), text(at(provider, "filename"))
        for one in (at(provider, "directory"), at(provider, "filename")):
            if one is not None and one.trouble:
                self._warn("the place of the file provider: %s" % one.trouble, self.settings.file, one.line)
        if not folder:
            return [found for found in [self._absolute(name)] if found]
        found = self._absolute(folder)
        return [] if found is None else self._below(found)

    def _absolute(self, path: str) -> Optional[str]:
        if not path:
            return None
        if path.startswith("/"):
            return path
        if self.folder is None:
            self._warn("%s is relative to where Traefik was started" % path, self.settings.file, 0)
            return None
        return os.path.join(self.folder, path)

    def _below(self, folder: str) -> List[str]:
        """The files in a folder and all below it; links to folders are not followed, as Traefik does not."""
        found: List[str] = []
        pending, seen = [folder], 0
        if not os.path.isdir(_reading.raw(folder)):
            self._warn("%s is no folder that can be read" % folder, self.settings.file, 0)
        while pending:
            here = pending.pop(0)
            seen += 1
            if seen > _FOLDERS_LIMIT:
                raise _reading.Exhausted("too many folders below %s" % folder)
            for name in self.report.reader.names(here):
                path = os.path.join(here, name)
                if os.path.isdir(_reading.raw(path)) and not os.path.islink(_reading.raw(path)):
                    pending.append(path)
                elif name.lower().endswith(DYNAMIC):
                    found.append(path)
        return found

    def _file(self, root: Node, path: str) -> None:
        self.entries.routers(root)
        tls = at(root, "tls")
        listed = items(tls) if tls is not None and tls.items is not None else []  # version 1: [[tls]]
        for one in listed:
            self._pair(at(one, "certificate"), path, True, [])
        for one in items(at(tls, "certificates")):
            self._pair(one, path, True, texts(at(one, "stores")))
        for name, store in entries(at(tls, "stores")):
            self._store(name, store, path)
        for name, one in entries(at(tls, "options")):
            self.strict = self.strict or (name == "default" and _on(at(one, "sniStrict")))
        for kind in ("http", "tcp"):
            for _name, one in entries(at(root, kind, "routers")):
                self._router(one, path)

    def _store(self, name: str, store: Node, path: str) -> None:
        default = at(store, "defaultCertificate")
        if name != "default":
            if default is not None:
                self._warn(
                    "Traefik uses no store but `default`: that of %s is not shown" % name, path, default.line
                )
            return
        if default is not None:
            self._pair(default, path, False, [])
        generated = at(store, "defaultGeneratedCert")
        if generated is not None:
            resolver = text(at(generated, "resolver"))
            said = "who asks for no name that is known is shown what the resolver %s gets" % resolver
            self._warn(said, path, generated.line)

    def _router(self, router: Node, path: str) -> None:
        """The names for which a router wants a certificate of a resolver's."""
        tls = at(router, "tls")
        if is_set(at(tls, "passthrough")):
            self._warn(
                "Traefik hands these connections on as they come: who ends TLS is not seen", path, router.line
            )
            return
        resolver = text(at(tls, "certResolver"))
        if not resolver:
            return
        domains = items(at(tls, "domains"))
        names = [name for one in domains for name in [text(at(one, "main"))] + texts(at(one, "sans"))]
        rule = text(at(router, "rule"))
        names = names or [name for inner in _HOST.findall(rule) for name in _QUOTED.findall(inner)]
        for name in names:
            if _reach.plain(name):
                self._asked.setdefault(name.lower(), (path, router.line, resolver))

    def _pair(self, node: Optional[Node], path: str, own: bool, stores: List[str]) -> None:
        """A certificate and its key, as files or as the texts themselves."""
        if node is None:
            return
        certificate, key = at(node, "certFile"), at(node, "keyFile")
        trouble = [one.trouble for one in (certificate, key, node) if one is not None and one.trouble]
        line = certificate.line if certificate is not None else node.line
        if trouble or not text(certificate):
            problem = ("unresolved", trouble[0] if trouble else "no certFile is named")
            self.claims.append(Claim(path, line, None, None, (), [problem], None, "", own))
            return
        if "-----BEGIN" in text(certificate):
            self._inline(text(certificate), path, line, own)
            return
        self._named(text(certificate), text(key), path, line, own)

    def _inline(self, pem: str, path: str, line: int, own: bool) -> None:
        contents = forms.contents(_reading.raw(pem))
        problem = ("unresolved", "it stands in the configuration itself, and in no file of its own")
        order = names_key(contents.certificates[0]) if contents.certificates else ""
        self.claims.append(Claim(path, line, None, None, contents.certificates, [problem], None, order, own))

    def _named(self, certificate: str, key: str, path: str, line: int, own: bool) -> None:
        places = [self._absolute(one) for one in (certificate, key or certificate)]
        if places[0] is None or places[1] is None:
            problem = ("unresolved", "%s is relative to where Traefik was started" % certificate)
            self.claims.append(Claim(path, line, None, None, (), [problem], None, "", own))
            return
        look = self.report.materials.look(_reading.tidy(places[0]))
        pem = self.report.materials.certificates[look.certificates[0]] if look.certificates else ""
        ders = forms.contents(pem.encode()).certificates
        problems = [] if key else [("unresolved", "no keyFile is named")]
        order = names_key(ders[0]) if ders else ""
        self.claims.append(Claim(path, line, places[0], places[1], (), problems, None, order, own))

    def _static(self) -> None:
        """Certificates that entry points of version 1 name."""
        for _name, entry in entries(at(self.settings.root, "entryPoints")):
            for one in items(at(entry, "tls", "certificates")):
                self._pair(one, self.settings.file or "", True, [])
            self._pair(at(entry, "tls", "defaultCertificate"), self.settings.file or "", False, [])

    def _resolvers(self) -> Dict[str, Optional[acme.Store]]:
        """What each resolver keeps; files that several share are read once."""
        told = [
            (name, at(one, "acme")) for name, one in entries(at(self.settings.root, "certificatesResolvers"))
        ]
        told += [("", one) for one in [at(self.settings.root, "acme")] if one is not None]
        wanted = {name.lower(): self._storage(name, one) for name, one in told if one is not None}
        for name, one in told:
            if one is None:
                self._warn("what the resolver %s gets is not kept in a file" % name, self.settings.file, 0)
        stores = {path: acme.read(path, self.report.reader) for path in wanted.values() if path}
        for path, store in stores.items():
            users = {name for name, storage in wanted.items() if storage == path}
            self._stored(store, users)
        return {name: stores.get(path or "") for name, path in wanted.items()}

    def _storage(self, name: str, one: Node) -> Optional[str]:
        storage = at(one, "storage")
        if storage is not None and storage.trouble:
            self._warn(
                "the storage of the resolver %s: %s" % (name, storage.trouble),
                self.settings.file,
                storage.line,
            )
            return None
        return self._absolute(text(storage) or "acme.json")

    def _stored(self, store: acme.Store, users: Set[str]) -> None:
        if store.trouble is not None:
            kept = "missing" if store.trouble[0] == "missing" else "unread"
            if kept == "unread":
                claim = Claim(store.path, 0, None, None, (), [store.trouble], self.service, "", True)
                self.claims.append(claim)
            else:
                self._warn("%s is not there: no certificate was got yet" % store.path, self.settings.file, 0)
            return
        for one in store.found:
            if one.resolver.lower() not in users:
                message = "the resolver %s is configured no more: what it has got is not shown" % one.resolver
                self._warn(message, store.path, one.line)
                continue
            order = names_key(one.certificates[0]) if one.certificates else ""
            claim = Claim(
                store.path, one.line, None, None, one.certificates, one.problems, self.service, order, True
            )
            self.claims.append(claim)

    def _emit(self) -> None:
        """All of them in the order in which Traefik asks them; of those with the same names the first."""
        secure = self.entries.secure()
        seen: Set[str] = set()
        for claim in sorted(self.claims, key=lambda one: one.order, reverse=True):
            hidden = claim.own and bool(claim.order) and claim.order in seen
            if hidden:
                message = (
                    "Traefik shows another certificate with the very same names (%s)" % claim.order[:200]
                )
                self._warn(message, claim.file, claim.line)
            if claim.own:
                seen.add(claim.order)
            shown = not hidden and (claim.own or not self.strict)
            self._binding(claim, secure if shown else [])

    def _binding(self, claim: Claim, listeners: List[str]) -> None:
        self.report.binding(
            self.service,
            claim.file,
            claim.line,
            claim.certificate,
            key=claim.key,
            listeners=listeners,
            problems=claim.problems,
            managed_by=claim.managed_by,
            own_names=claim.own,
            held=claim.held,
        )

    def _wanted(self, stores: Dict[str, Optional[acme.Store]]) -> None:
        """Names that a router wants of a resolver and that no certificate is there for."""
        covered = {name for claim in self.claims for name in claim.order.split(",")}
        for name, (path, line, resolver) in self._asked.items():
            if name in covered or "*." + name.partition(".")[2] in covered:
                continue
            store = stores.get(resolver.lower())
            problem = ("missing", "Traefik gets a certificate for %s by itself, and has none yet" % name)
            if store is None or (store.trouble is not None and store.trouble[0] != "missing"):
                problem = (
                    "unresolved",
                    "what the resolver %s has got for %s is not known" % (resolver, name),
                )
            self.report.binding(
                self.service,
                path,
                line,
                None,
                names=[name],
                listeners=self.entries.secure(),
                managed_by=self.service,
                problems=[problem],
            )

    def _unseen(self) -> None:
        for name in self.entries.others:
            message = "what the provider %s tells Traefik, certificates too, is not seen here" % name
            self._warn(message, self.settings.file, 0)

    def _warn(self, message: str, file: Optional[str], line: int) -> None:
        self.report.warning(message, file or None, line or None)


def _on(node: Optional[Node]) -> bool:
    return node is not None and node.text is not None and is_set(node)
