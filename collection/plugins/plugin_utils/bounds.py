# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scan's result in pages that arrive: each can be read by itself, and together they are the whole."""

from __future__ import annotations

import json
import typing as t

from .parsed import text_of

RESULT_LIMIT = 600_000  # ansible-runner empties a result of more than 700,000 characters without a word
MOST_PAGES = 200  # a host that has more to say is cut short, and it is told
_TOLD = 5000  # what may be said of that which was left out
_LONGEST = 4000  # of a warning; the control plane keeps no more
_NO_LEAF = ("key", "chain")

Result = dict[str, t.Any]
#: What a binding needs beside itself: an entry of a table, which others may need as well.
Need = tuple[str, str]


def pages(result: Result, limit: int = RESULT_LIMIT, most: int = MOST_PAGES) -> list[Result]:
    """A result in as many parts as its size asks for; one that fits is returned as it is.

    A binding's certificates and chains are on its page, there once. The bindings of one place (those of
    a service that name the same file) are on one page if it has room for them.
    """
    if size(result) <= limit:
        return [result]
    server, told = _short_server(result["server"], limit // 4)
    binder = _Binder(server, result, limit - _TOLD)
    for place in _places(result["bindings"]):
        binder.add_place(place)
    for need in binder.prices:
        binder.add_unnamed(need)
    for warning in [*told, *map(_short_warning, result["warnings"])]:
        binder.add_warning(warning)
    return binder.bound(most)


def size(thing: t.Any) -> int:
    """How long a thing is as text, in the longest form that it is sent in."""
    return len(json.dumps(thing, default=str))


class _Binder:
    """Fills one page after the other."""

    def __init__(self, server: Result, result: Result, limit: int) -> None:
        self._server = server
        self._tables = {name: result[name] for name in ("certificates", "chains")}
        self.prices: dict[Need, int] = {
            (name, key): size({key: one}) + 2
            for name, table in self._tables.items()
            for key, one in table.items()
        }
        self._done: list[Result] = []
        self._page = self._empty()
        self._room = limit - size(self._page)
        self._left = self._room
        self._unnamed = set(self.prices)
        self._gone: list[tuple[int, Result]] = []
        self._lost = {"warnings": 0, "certificates that nothing names": 0}

    def add_place(self, bindings: list[Result]) -> None:
        """Adds the bindings of one place; if no page can hold them they are spread over several.

        Those that speak for the place (the most names on the same listeners) then come first and are
        not mixed with others, so that who reads page by page hears the same as who reads the whole.
        """
        if self._added(bindings):
            return
        groups: dict[tuple[str, ...], list[Result]] = {}
        for one in bindings:
            groups.setdefault(tuple(sorted(set(one["listeners"]))), []).append(one)
        speaking, *others = sorted(groups.values(), key=_number_of_names, reverse=True)
        for group in (speaking, [one for other in others for one in other]):
            self._turn()
            for one in group:
                if not self._added([one]):
                    self._gone.append((self._price([one], self._needs(one)), one))

    def add_unnamed(self, need: Need) -> None:
        """Adds an entry of a table that no binding has asked for."""
        needs = {need} | self._chain_of(need)
        if need not in self._unnamed:
            return
        if self._fits(self._price([], needs), needs):
            self._take(needs)
        else:
            self._lost["certificates that nothing names"] += 1

    def add_warning(self, warning: Result) -> None:
        """Adds what could not be resolved."""
        price = size(warning) + 2
        if self._fits(price, set()):
            self._left -= price
            self._page["warnings"].append(warning)
        else:
            self._lost["warnings"] += 1

    def bound(self, most: int) -> list[Result]:
        """The pages; what has no room in them is counted on the first."""
        self._turn()
        pages = self._done or [self._page]
        kept, cut = pages[:most], pages[most:]
        gone = self._gone + [(size(one), one) for page in cut for one in page["bindings"]]
        self._lost["warnings"] += sum(len(page["warnings"]) for page in cut)
        if gone:
            largest = max(gone, key=lambda pair: pair[0])[1]
            place = text_of(f"{largest['service']}, {largest['config_file']}:{largest['line']}", 300)
            kept[0]["left_out"] = len(gone)
            _tell(
                kept[0], f"the result is too large: {len(gone)} bindings are left out, the largest is {place}"
            )
        for what, count in self._lost.items():
            if count:
                _tell(kept[0], f"the result is too large: {count} {what} are left out")
        return kept

    def _added(self, bindings: list[Result]) -> bool:
        needs = set().union(*map(self._needs, bindings))
        if not self._fits(self._price(bindings, needs), needs):
            return False
        self._take(needs)
        self._left -= self._price(bindings, set())
        self._page["bindings"] += bindings
        return True

    def _fits(self, price: int, needs: set[Need]) -> bool:
        """Whether there is room, on this page or on a new one; what is there already costs nothing."""
        if price > self._room:
            return False
        there = sum(self.prices[one] for one in needs if one[1] in self._page[one[0]])
        if price - there > self._left:
            self._turn()
        return True

    def _take(self, needs: set[Need]) -> None:
        for name, key in needs:
            if key not in self._page[name]:
                self._page[name][key] = self._tables[name][key]
                self._left -= self.prices[name, key]
        self._unnamed -= needs

    def _turn(self) -> None:
        if any(self._page[name] for name in ("bindings", "certificates", "chains", "warnings")):
            self._done.append(self._page)
            self._page, self._left = self._empty(), self._room

    def _empty(self) -> Result:
        return {"server": self._server, "bindings": [], "certificates": {}, "chains": {}, "warnings": []}

    def _price(self, bindings: list[Result], needs: set[Need]) -> int:
        return sum(size(one) + 2 for one in bindings) + sum(self.prices[one] for one in needs)

    def _needs(self, binding: Result) -> set[Need]:
        """A binding's own certificate, those that its listeners showed, and the chains above them."""
        wanted = [binding["certificate"], *(one.get("fingerprint") for one in binding.get("served", ()))]
        own: set[Need] = {("certificates", str(one)) for one in wanted if one in self._tables["certificates"]}
        return own.union(*map(self._chain_of, own))

    def _chain_of(self, need: Need) -> set[Need]:
        name, key = need
        chain = self._tables[name][key]["chain"] if name == "certificates" else None
        return {("chains", str(chain))} if chain in self._tables["chains"] else set()


def _places(bindings: list[Result]) -> list[list[Result]]:
    """The bindings of each place, in the order in which the places come up; one without a file is alone."""
    found: dict[t.Any, list[Result]] = {}
    for number, one in enumerate(bindings):
        paths = (file.get("path") for file in one["files"] if file.get("kind") not in _NO_LEAF)
        path = next(paths, None)
        found.setdefault(number if path is None else (one["service"], str(path)), []).append(one)
    return list(found.values())


def _number_of_names(bindings: list[Result]) -> int:
    return len({name for one in bindings for name in one["names"]})


def _short_server(server: Result, limit: int) -> tuple[Result, list[Result]]:
    """The facts that have room, the shortest first: they stand on every page."""
    if size(server) <= limit:
        return server, []
    kept, used = set(), 0
    for name in sorted(server, key=lambda one: size(server[one])):
        used += size({name: server[name]})
        if used <= limit:
            kept.add(name)
    gone = text_of(", ".join(name for name in server if name not in kept), 300)
    told: Result = {}
    _tell(told, f"the result is too large: what the host says of itself is left out: {gone}")
    return {name: one for name, one in server.items() if name in kept}, told["warnings"]


def _short_warning(warning: Result) -> Result:
    texts = {name: warning[name] for name in ("file", "message")}
    return {**warning, **{name: text and text[:_LONGEST] for name, text in texts.items()}}


def _tell(result: Result, message: str) -> None:
    result.setdefault("warnings", []).append({"file": None, "line": None, "message": message})
