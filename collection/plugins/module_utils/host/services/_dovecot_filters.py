# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate a Dovecot setting with its filters shows on which address and for which name.

A filter is what `local`, `local_name`, `remote` and `protocol` sections say together. The most
specific filter that has a setting wins; where two disagree and neither contains the other,
Dovecot 2.3 ends the connection (config-filter.c).
"""

import ipaddress
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from . import _reach
from ._dovecot_syntax import Section, Value

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
#: Certificate and key of 2.3, then of 2.4.
PAIRS = (
    ("ssl_cert", "ssl_key"),
    ("ssl_alt_cert", "ssl_alt_key"),
    ("ssl_server_cert_file", "ssl_server_key_file"),
    ("ssl_server_alt_cert_file", "ssl_server_alt_key_file"),
)
_SETTINGS = tuple(name for pair in PAIRS for name in pair) + ("ssl",)
_KINDS = ("local", "local_name", "remote", "protocol")


class Filter(NamedTuple):
    """To whom settings apply; what is None applies to all."""

    local: Optional[Network]
    names: Tuple[str, ...]
    remote: bool
    protocol: Optional[str]
    settings: Dict[str, Value]

    def applies(self, address: Optional[Any], name: Optional[str], protocol: str) -> bool:
        """Whether it applies to a connection to that address, which asks for that name."""
        if self.remote or (self.local is not None and (address is None or address not in self.local)):
            return False
        if self.names and (name is None or not any(_asks_for(name, one) for one in self.names)):
            return False
        return self.has_protocol(protocol)

    def has_protocol(self, protocol: str) -> bool:
        """Whether it applies to a protocol."""
        if self.protocol is None:
            return True
        negated = self.protocol.startswith("!")
        return (self.protocol.lstrip("!") == protocol) != negated

    def rank(self) -> Tuple[bool, int, bool, bool]:
        """The more specific, the smaller."""
        bits = -1 if self.local is None else self.local.prefixlen
        return (not self.names, -bits, not self.remote, self.protocol is None)

    def contains(self, other: "Filter") -> bool:
        """Whether it is no more specific than another in anything (is_superset)."""
        if self.local is not None and (other.local is None or self.local.prefixlen > other.local.prefixlen):
            return False
        return not (self.names and not other.names) and not (
            self.protocol is not None and other.protocol is None
        )


class Shown(NamedTuple):
    """The certificates that a connection is shown; `conflict` where two filters disagree."""

    pairs: Tuple[Tuple[Value, Optional[Value]], ...]
    secure: bool
    conflict: Optional[Value]


class Filters:
    """All filters of one configuration."""

    def __init__(self, root: Section, report: Optional[Any] = None) -> None:
        self.report = report
        self.is_newer = "dovecot_config_version" in root.settings
        self.all: List[Filter] = []
        self._collect(root)
        self._by_name = self._index()

    def _index(self) -> Dict[str, List[int]]:
        """The filters by each name that they ask for; at "" those that are always to be tried."""
        found: Dict[str, List[int]] = {}
        for number, one in enumerate(self.all):
            for name in dict.fromkeys(one.names or ("",)):
                found.setdefault("" if "*" in name.partition(".")[2] else name, []).append(number)
        return found

    def _asked(self, name: Optional[str]) -> List[Filter]:
        """The filters that a name may select, in their order, without a look at all the others."""
        asked = [""] if name is None else ["", name.lower(), "*" + "".join(name.lower().partition(".")[1:])]
        numbers = {number for one in asked for number in self._by_name.get(one, ())}
        return [self.all[number] for number in sorted(numbers)]

    def _collect(self, root: Section) -> None:
        """In the order of the file; sections may stand in each other thousands deep."""
        waiting = [(root, Filter(None, (), False, None, {}))]
        while waiting:
            section, around = waiting.pop()
            chosen = {name: section.settings[name] for name in _SETTINGS if name in section.settings}
            own = around._replace(settings=chosen)
            if chosen or section.kind == "":
                self.all.append(own)
            inner = [child for child in section.children.values() if child.kind in _KINDS]
            narrowed = [(child, self._narrowed(own, child)) for child in inner]
            waiting.extend((child, one) for child, one in reversed(narrowed) if one is not None)

    def _narrowed(self, around: Filter, section: Section) -> Optional[Filter]:
        if section.kind == "local_name":
            names = tuple(name.lower() for name in section.name.replace('"', "").split())
            return around._replace(names=names) if names else None
        if section.kind == "protocol":
            return around._replace(protocol=section.name)
        if section.kind == "remote":
            return around._replace(remote=True)
        try:
            return around._replace(local=ipaddress.ip_network(section.name, strict=False))
        except ValueError:
            for name in _SETTINGS:
                value = section.settings.get(name)
                if value is not None and self.report is not None:
                    self.report.warning(
                        "local %s is a host's name: what it shows is not looked into" % section.name,
                        value.file,
                        value.line,
                    )
            return None

    def shown(self, address: Optional[Any], name: Optional[str], protocol: str) -> Shown:
        """What a connection is shown."""
        matching = sorted(
            (one for one in self._asked(name) if one.applies(address, name, protocol)),
            key=lambda one: one.rank(),
        )
        values: Dict[str, Value] = {}
        conflict = None
        for at, one in enumerate(matching):
            tolerated = self.is_newer or at == 0 or one.contains(matching[at - 1])
            for key, value in one.settings.items():
                kept = values.setdefault(key, value)
                if kept.text != value.text and not tolerated:
                    conflict = conflict or kept
        pairs = tuple(
            (values[certificate], values.get(key))
            for certificate, key in PAIRS
            if certificate in values and values[certificate].text
        )
        default = Value("yes", "", 0)
        return Shown(pairs, values.get("ssl", default).text != "no", conflict)

    def names(self, address: Optional[Any], protocol: str) -> List[str]:
        """Every name that some filter for this address and protocol asks for."""
        found: Dict[str, None] = {}
        for one in self.all:
            if not one._replace(names=()).applies(address, None, protocol):
                continue
            for name in one.names:
                plain = _reach.plain(name)
                if plain is not None:
                    found[plain] = None
        return list(found)

    def singled_out(self) -> List[Network]:
        """The networks that have settings of their own."""
        return list(dict.fromkeys(one.local for one in self.all if one.local is not None))

    def certificates(self) -> List[Tuple[Value, Optional[Value], Filter]]:
        """Every certificate that is named anywhere, with its key of the same section."""
        return [
            (one.settings[certificate], one.settings.get(key), one)
            for one in self.all
            for certificate, key in PAIRS
            if certificate in one.settings and one.settings[certificate].text
        ]


def sample(name: str) -> str:
    """A name that a pattern stands for."""
    return "notafter-probe" + name[1:] if name.startswith("*.") else name


def _asks_for(name: str, pattern: str) -> bool:
    """Whether a name is one that a pattern stands for; a star is one label (dns_match_wildcard)."""
    labels, wanted = name.lower().split("."), pattern.split(".")
    return len(labels) == len(wanted) and all(want in ("*", label) for label, want in zip(labels, wanted))
