# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on the disk against what handshakes showed: one rule, and a sentence that says what to do."""

from __future__ import annotations

import typing as t

from ..module_utils.host.handshake import probe_name
from .parsed import Parsed, Problem, covers, problem, text_of

Binding = t.Mapping[str, t.Any]
#: One certificate may lie in ten thousand files: to name who answers, a few of them are held against it.
_MOST_PLACES = 50


def differences(
    bindings: t.Sequence[Binding], parsed: t.Mapping[str, Parsed], server: t.Mapping[str, t.Any]
) -> list[Problem | None]:
    """For each binding the problem that its handshakes tell of, None where they show what they should."""
    rows = server.get("services")
    stopped = {
        str(row.get("name"))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("running") is False
    }
    places: dict[str, list[Binding]] = {}
    for binding in bindings:
        places.setdefault(binding["certificate"] or "", []).append(binding)
    return [_of(binding, places, parsed, binding["service"] in stopped) for binding in bindings]


def _of(
    binding: Binding,
    places: t.Mapping[str, t.Sequence[Binding]],
    parsed: t.Mapping[str, Parsed],
    stopped: bool,
) -> Problem | None:
    own, seen = binding["certificate"], sights(binding)
    if own is None:
        return None
    for sight in seen:
        if sight["fingerprint"] not in (None, own):
            return _wrong(binding, sight, places, parsed)
    for sight in seen:
        if sight["fingerprint"] is None and not stopped:
            return _silent(binding, sight)
    return None


def sights(binding: Binding) -> list[dict[str, t.Any]]:
    """What was seen for the names of a binding: those that it lost to others are not its business."""
    names = {probe_name(name) for name in binding["names"]} if binding["names"] else {None}
    return [sight for sight in binding["served"] if sight["name"] in names]


def _wrong(
    binding: Binding,
    sight: t.Mapping[str, t.Any],
    places: t.Mapping[str, t.Sequence[Binding]],
    parsed: t.Mapping[str, Parsed],
) -> Problem:
    where, shown = _where(sight), str(sight["fingerprint"])
    for other in places.get(shown, [])[:_MOST_PLACES]:
        if sight["by"] is None and _answers(other, sight):
            told = f"{where} the certificate of {other['config_file']}:{other['line']} is shown"
            if set(other["names"]) == set(binding["names"]):  # a pair, of which each has its kind of key
                return problem("not_served", f"{told} to every client: see which ciphers are offered")
            return problem("served_by_another", f"{told}: change the names or listeners of one of the two")
    if sight["by"] is not None:
        told = f"{where} {text_of(str(sight['by']))} listens and shows {shown[:16]}, not {binding['service']}"
        return problem("served_by_another", f"{told}: stop one of the two")
    leaf, mine = parsed.get(shown), parsed[binding["certificate"]]
    if leaf is not None and not _same_wish(leaf, mine, sight["name"]):
        told = f"{where} a certificate for {', '.join(leaf.server_names()[:3]) or 'no name'} is shown"
        return problem("served_by_another", f"{told} that is in none of its files: see who answers there")
    told = f"{where} {shown[:16]} is still shown, but the file has {mine.fingerprint or '':.16}"
    return problem("not_reloaded", f"{told}: reload {binding['service']}")


def _answers(other: Binding, sight: t.Mapping[str, t.Any]) -> bool:
    """Whether another binding says that it is shown there."""
    names = {probe_name(name) for name in other["names"]}
    return sight["listener"] in other["listeners"] and (not names or sight["name"] in names)


def _same_wish(shown: Parsed, mine: Parsed, asked: str | None) -> bool:
    """Whether one may be the other's former version: it covers what was asked for, or has a name of it."""
    names = shown.server_names()
    if asked is not None and covers(names, asked):
        return True
    return bool(set(names) & set(mine.server_names()))


def _silent(binding: Binding, sight: t.Mapping[str, t.Any]) -> Problem:
    told = f"{_where(sight)} no handshake succeeds ({text_of(str(sight['error']))})"
    if sight["by"] is not None:
        told += f"; {text_of(str(sight['by']))} listens there, not {binding['service']}"
    return problem("not_served", f"{told}: look at the log of {binding['service']}, and reload it")


def _where(sight: t.Mapping[str, t.Any]) -> str:
    return f"at {sight['listener']} for {sight['name'] or 'no name'}"
