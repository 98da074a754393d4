# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate each TLS socket of a lighttpd shows, and for which names."""

import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from . import _reach, _reading
from ._lighttpd_conditions import HOST, Conditions, Moment, listener, names
from ._lighttpd_syntax import Block, Reading, Setting

_STRANGER = "notafter-probe.invalid"
_CHAIN_LIMIT = 5
_MODULES = ("mod_openssl", "mod_gnutls", "mod_mbedtls", "mod_nss", "mod_wolfssl")
Places = Dict[str, Setting]


class Shown(NamedTuple):
    """The block whose certificate is shown, and whether that is sure."""

    block: Optional[Block]
    sure: bool


class Sockets:
    """The sockets of one configuration."""

    def __init__(self, reading: Reading, places: Places, report: Any, service: str) -> None:
        self.reading = reading
        self.places = places
        self.report = report
        self.service = service
        root = reading.root
        self.port = root.value("server.port") or 80
        self.conditions = Conditions(self.port)
        self.blocks = [block for block in reading.blocks if "ssl.pemfile" in block.settings]
        self.always, self.exact, self.below = _indexed(self.blocks)

    def report_bindings(self) -> None:
        plain, secure = self._sockets()
        self.report.listens(self.service, plain + secure)
        if secure and not self._has_module():
            message = "TLS is wanted, and none of the modules that do it is loaded"
            self._warn(message, self.reading.root)
            secure = []
        reached: Dict[int, List[Tuple[str, List[str]]]] = {}

        def reach() -> None:
            for socket in secure:
                for block, asked in self._shown_at(socket):
                    reached.setdefault(block.number, []).append((socket, asked))

        whole = self.report.partly(reach)
        for block in self.blocks:
            faces = _reach.grouped(reached.get(block.number, []))
            if not faces and whole:
                self._warn("no handshake shows %s" % block.value("ssl.pemfile"), block)
            for face in faces or [_reach.Face([], [])]:
                self._binding(block, face)

    def _has_module(self) -> bool:
        """A module named, or the one that lighttpd adds by itself unless told not to."""
        root = self.reading.root
        modules = root.value("server.modules")
        named = [value for _key, value in modules] if isinstance(modules, list) else []
        return any(one in named for one in _MODULES) or root.value("server.compat-module-load") != "disable"

    def _sockets(self) -> Tuple[List[str], List[str]]:
        """Listeners without and with TLS: the main one, and one for each `$SERVER["socket"] ==`."""
        root = self.reading.root
        bind = root.value("server.bind") or ""
        if not bind and root.value("server.use-ipv6") == "enable":
            bind = "[::]"
        found: Dict[str, Block] = {}
        candidates = [(bind, root)]
        for block in self.reading.blocks:
            condition = block.condition
            if condition is not None and condition.field == "SERVER socket" and condition.operator == "==":
                candidates.append((condition.value, block))
        for text, block in candidates:
            place = listener(text, self.port) if isinstance(text, str) else None
            if place is None:
                self._warn("a socket that is not looked at: %s" % text, block)
            else:
                found[place] = block
        secure = [place for place, block in found.items() if self._engine(block)]
        return [place for place in found if place not in secure], secure

    def _engine(self, block: Block) -> bool:
        return any(
            isinstance(setting.value, str) and setting.value in ("enable", "true")
            for setting in [block.settings.get("ssl.engine") or self.reading.root.settings.get("ssl.engine")]
            if setting is not None
        )

    def _shown_at(self, socket: str) -> List[Tuple[Block, List[str]]]:
        """Each block whose certificate is shown at a socket, with what to ask for to see it."""
        usual = self._shown(Moment(socket, None))
        stranger = self._shown(Moment(socket, _STRANGER))
        asked: Dict[int, List[str]] = {}
        if usual.block is not None:
            asked[usual.block.number] = []
        if stranger.sure and stranger.block is not None and stranger.block is not usual.block:
            asked[stranger.block.number] = ["~.*"]
        known = (usual.block, stranger.block, None)
        for name in self._candidates():
            self.report.reader.tick()
            shown = self._shown(Moment(socket, name.replace("*", "notafter-probe", 1)))
            if not shown.sure:
                self._warn("what is shown to %s cannot be told" % name, shown.block or self.reading.root)
            elif shown.block not in known:
                asked.setdefault(shown.block.number, []).append(name)
        for block in self.blocks:
            for pattern in self._patterns(block, socket):
                if block not in known:
                    asked.setdefault(block.number, []).append(pattern)
        return [(self.reading.blocks[number], found) for number, found in asked.items()]

    def _shown(self, moment: Moment) -> Shown:
        """The last block that counts has its say (mod_openssl_patch_config)."""
        numbers = set(self.always)
        if moment.name is not None:
            numbers.update(self.exact.get(moment.name, ()))
            labels = moment.name.split(".")
            for cut in range(len(labels)):
                numbers.update(self.below.get(".".join(labels[cut:]), ()))
        seen: Dict[int, Optional[bool]] = {}
        sure = True
        for number in sorted(numbers, reverse=True):
            holds = self.conditions.holds(self.reading.blocks[number], moment, seen)
            if holds:
                return Shown(self.reading.blocks[number], sure)
            sure = sure and holds is False
        return Shown(None, sure)

    def _candidates(self) -> List[str]:
        """The names that conditions tell apart, in their order."""
        found: Dict[str, None] = {}
        for block in self.reading.blocks:
            meant = None if block.condition is None else names(block.condition)
            if meant is None:
                continue
            for name in meant.exact + meant.below + tuple("*." + one for one in meant.below):
                if _reach.plain(name) == name:
                    found[name] = None
        return list(found)

    def _patterns(self, block: Block, socket: str) -> List[str]:
        """What a block's own condition on the name says, where it cannot be told in names."""
        condition = _on_host(block)
        if condition is None or names(condition) is not None or not isinstance(condition.value, str):
            return []
        escaped = re.escape(condition.value)
        pattern = {"=~": condition.value, "=^": "^" + escaped, "=$": escaped + "$"}.get(condition.operator)
        return ["~" + pattern] if pattern and self._may_count(block, socket) else []

    def _may_count(self, block: Block, socket: str) -> bool:
        """Whether a block can count at a socket, whatever name is asked for."""
        at: Optional[Block] = block
        while at is not None:
            condition = at.condition if at.condition and at.condition.field == "SERVER socket" else None
            if condition is not None and self.conditions.one(condition, Moment(socket, None))[0] is False:
                return False
            at = at.parent
        return True

    def _binding(self, block: Block, face: _reach.Face) -> None:
        said = block.settings["ssl.pemfile"]
        place = said if said.line else self.places.get(str(said.value), said)
        if not isinstance(said.value, str):
            self.report.binding(
                self.service,
                place.file,
                place.line,
                None,
                names=face.names,
                listeners=face.listeners,
                problems=[("unresolved", "which file ssl.pemfile names is not known")],
            )
            return
        path = os.path.join(self.reading.folder, said.value)
        key = block.value("ssl.privkey")
        self.report.binding(
            self.service,
            place.file,
            place.line,
            path,
            key=os.path.join(self.reading.folder, key) if isinstance(key, str) and key else None,
            chain=self._chain(block, path),
            names=face.names,
            listeners=face.listeners,
        )

    def _chain(self, block: Block, path: str) -> Optional[str]:
        """`ssl.ca-file` is the chain of a certificate that stands alone; it may be a store of roots."""
        found = block.get("ssl.ca-file")
        if found is None or not isinstance(found.value, str) or not found.value:
            return None
        if len(self.report.materials.look(_reading.tidy(path)).certificates) != 1:
            return None
        chain = os.path.join(self.reading.folder, found.value)
        verified = any(one.value("ssl.verifyclient.activate") == "enable" for one in self.reading.blocks)
        if verified or len(self.report.materials.look(_reading.tidy(chain)).certificates) > _CHAIN_LIMIT:
            self._warn(
                "the chain is looked for in %s, which has other uses: not told as a chain" % chain, block
            )
            return None
        return chain

    def _warn(self, message: str, block: Block) -> None:
        said = block.settings.get("ssl.pemfile") or block.settings.get("ssl.engine")
        if said is None:
            said = next(iter(block.settings.values()), Setting(None, "", 0))
        place = said if said.line else self.places.get(str(said.value), said)
        self.report.warning(message, place.file or None, place.line or None)


def _on_host(block: Block) -> Any:
    """The condition on the name that stands nearest around a block."""
    at: Optional[Block] = block
    while at is not None:
        if at.condition is not None and at.condition.field == HOST:
            return at.condition
        at = at.parent
    return None


def _indexed(blocks: Iterable[Block]) -> Tuple[List[int], Dict[str, List[int]], Dict[str, List[int]]]:
    """The blocks that count for any name, for a name, and for all below a name."""
    always: List[int] = []
    exact: Dict[str, List[int]] = {}
    below: Dict[str, List[int]] = {}
    for block in blocks:
        condition = _on_host(block)
        meant = None if condition is None else names(condition)
        if meant is None:
            always.append(block.number)
            continue
        for name in meant.exact:
            exact.setdefault(name, []).append(block.number)
        for name in meant.below:
            below.setdefault(name, []).append(block.number)
    return always, exact, below
