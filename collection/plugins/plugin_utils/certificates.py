# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as the controller sees them: what one says, and what is wrong with what a scan found."""

from __future__ import annotations

import itertools
import typing as t

from .difference import differences
from .parsed import Parsed, Problem, covers, pem_of, problem, public_key_of, split, text_of

if t.TYPE_CHECKING:
    import datetime

_NAMED = 5

__all__ = ["Parsed", "check_bundle", "complete", "covers", "describe", "split"]


def describe(pem: str | bytes) -> dict[str, t.Any]:
    """What a certificate says; what cannot be read is None, and `error` says why."""
    return Parsed(pem).facts()


def check_bundle(
    certificate_pem: str,
    chain_pem: str | None,
    names: t.Iterable[str],
    now: datetime.datetime,
    csr_pem: str | None = None,
) -> list[Problem]:
    """What speaks against serving a certificate: empty when it is what was asked for.

    The chain may be empty (a root may sign directly); what is in it must be the issuers, each
    right after the one that it has signed.
    """
    leaf = Parsed(certificate_pem)
    if leaf.certificate is None or leaf.error:
        return [problem("malformed", f"the certificate cannot be read: {leaf.error}")]
    problems = leaf.validity_problems(now) + leaf.name_problems(names)
    if csr_pem is not None:
        problems += _csr_problems(leaf, csr_pem)
    below, what = leaf, "the certificate"
    for number, issuer in enumerate(map(Parsed, split(chain_pem or "")), 1):
        if not issuer.issued(below):
            told = f"certificate {number} of the chain ({issuer.subject}) has not signed {what}"
            return [*problems, problem("chain_incomplete", told)]
        below, what = issuer, f"certificate {number} of the chain"
        if not issuer.self_signed():
            problems += issuer.validity_problems(now, what)
    return problems


def _csr_problems(leaf: Parsed, csr_pem: str) -> list[Problem]:
    try:
        wanted = public_key_of(csr_pem)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, there is nothing to compare with
        return [problem("malformed", f"the request cannot be read: {text_of(str(error))}")]
    if leaf.public_key != wanted:
        return [problem("key_mismatch", "the certificate is for another key than the request's")]
    return []


def complete(found: t.Mapping[str, t.Any], now: datetime.datetime) -> dict[str, t.Any]:
    """A host's answer to `scan` in the contract's form, with what only the controller can judge.

    Names that a server takes from the certificates themselves are filled in here.
    """
    chains = {name: _issuers(text) for name, text in _table(found, "chains").items()}
    ended = {name: _ended(chain, now) for name, chain in chains.items()}
    parsed = _parsed(found)
    bindings = [_binding(row) for row in _rows(found, "bindings")]
    told = [_warning(row) for row in _rows(found, "warnings")]
    choosing = [bool(row.get("own_names")) for row in _rows(found, "bindings")]
    told += _fill_names(list(itertools.compress(bindings, choosing)), parsed)
    links: dict[tuple[str, str], bool] = {}
    best: dict[str, str] = {}
    for binding, row in zip(bindings, _rows(found, "bindings"), strict=True):
        fingerprint, chain = binding["certificate"], _text(row.get("chain"))
        if fingerprint not in parsed:
            binding["certificate"] = None
            continue
        leaf = parsed[fingerprint]
        if (fingerprint, chain) not in links:
            links[fingerprint, chain] = _is_linked(leaf, chains.get(chain, []))
        binding["problems"] += _judged(leaf, binding, now)
        if not links[fingerprint, chain]:
            message = f"the issuer of the certificate ({leaf.issuer}) is not in its file"
            binding["problems"].append(problem("chain_incomplete", message))
        binding["problems"] += ended.get(chain, [])
        if chains.get(chain) and (links[fingerprint, chain] or fingerprint not in best):
            best[fingerprint] = chain
    told_apart = differences(bindings, parsed, _table(found, "server"))
    for binding, difference in zip(bindings, told_apart, strict=True):
        binding["problems"] += [difference] if difference is not None else []
    return {
        "server": dict(_table(found, "server")),
        "bindings": bindings,
        "certificates": {
            fingerprint: {"pem": pem_of(leaf.der or b""), "chain": best.get(fingerprint)}
            | {key: value for key, value in leaf.facts().items() if key != "fingerprint"}
            for fingerprint, leaf in parsed.items()
        },
        "chains": {
            name: "".join(pem_of(one.der) for one in chains[name] if one.der)
            for name in dict.fromkeys(best.values())
        },
        "warnings": told,
    }


def _parsed(found: t.Mapping[str, t.Any]) -> dict[str, Parsed]:
    """The certificates that are what they are called; a host's word is not taken for it."""
    parsed = {}
    for fingerprint, entry in _table(found, "certificates").items():
        pem = entry.get("pem") if isinstance(entry, dict) else None
        if isinstance(pem, str):
            one = Parsed(pem)
            if one.fingerprint == fingerprint:
                parsed[fingerprint] = one
    return parsed


def _judged(leaf: Parsed, binding: t.Mapping[str, t.Any], now: datetime.datetime) -> list[Problem]:
    problems = leaf.validity_problems(now) + leaf.name_problems(binding["names"]) + leaf.weakness()
    if leaf.error:
        problems.append(problem("malformed", f"the certificate cannot be read in full: {leaf.error}"))
    if leaf.odd_names:
        told = ", ".join(repr(name) for name in leaf.odd_names[:_NAMED])
        problems.append(problem("malformed", f"the certificate has names that are no host names: {told}"))
    return problems


def _issuers(text: t.Any) -> list[Parsed]:
    return [Parsed(one) for one in split(text)] if isinstance(text, str) else []


def _ended(chain: list[Parsed], now: datetime.datetime) -> list[Problem]:
    """Issuers whose time is over; a root's is nobody's concern, for clients have their own."""
    problems = []
    for number, one in enumerate(chain, 1):
        if one.subject != one.issuer:
            problems += one.validity_problems(now, f"certificate {number} of the chain ({one.subject})")
    return problems


def _is_linked(leaf: Parsed, chain: list[Parsed]) -> bool:
    if leaf.certificate is None or any(one.identified_by(leaf) for one in chain):
        return True
    return leaf.self_signed() or any(one.issued(leaf) for one in chain)


def _fill_names(bindings: list[dict[str, t.Any]], parsed: t.Mapping[str, Parsed]) -> list[dict[str, t.Any]]:
    """Some servers choose by the names in the certificates (`own_names`).

    The first with a name and a kind of key has it, in the server's own order. A certificate that
    loses all its names to others is shown only where it is the first of all.
    """
    told = []
    owners: dict[tuple[str, str, str], str] = {}
    first: dict[str, str] = {}
    for binding in bindings:
        leaf = parsed.get(binding["certificate"] or "")
        if leaf is None:
            continue
        own, kind = binding["certificate"], leaf.algorithm()
        listeners = binding["listeners"]
        for listener in listeners:
            first.setdefault(listener, own)
        from_leaf = not binding["names"]
        names = binding["names"] or leaf.server_names()
        kept = []
        for name in names:
            holders = [owners.setdefault((listener, name, kind), own) for listener in listeners]
            if own in holders or not holders:
                kept.append(name)
        binding["names"] = kept
        if names and not kept:
            binding["listeners"] = [one for one in listeners if first[one] == own]
            if not binding["listeners"]:
                binding["names"] = [] if from_leaf else names
                told.append(_shadowed(binding))
    return told


def _shadowed(binding: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    message = "no handshake shows this certificate: others have its names"
    return {"file": binding["config_file"], "line": binding["line"], "message": message}


def _binding(row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A binding of the contract's shape, whatever shape a host has given it."""
    return {
        "service": _text(row.get("service")),
        "config_file": _text(row.get("config_file")),
        "line": _number(row.get("line")),
        "names": _texts(row.get("names")),
        "listeners": _texts(row.get("listeners")),
        "files": _rows(row, "files"),
        "certificate": _text(row.get("certificate")) or None,
        "managed_by": _text(row.get("managed_by")) or None,
        "problems": [
            problem(_text(one.get("kind")), _text(one.get("message"))) for one in _rows(row, "problems")
        ],
        "served": [_sight(one) for one in _rows(row, "served")],
    }


def _sight(row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What one handshake of the host with itself has shown."""
    optional = ("name", "fingerprint", "error", "by")
    return {"listener": _text(row.get("listener"))} | {key: _text(row.get(key)) or None for key in optional}


def _warning(row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    file, line = _text(row.get("file")) or None, _number(row.get("line")) or None
    return {"file": file, "line": line, "message": _text(row.get("message"))}


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: t.Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _number(value: t.Any) -> int:
    return value if isinstance(value, int) else 0


def _table(found: t.Mapping[str, t.Any], name: str) -> dict[str, t.Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _rows(found: t.Mapping[str, t.Any], name: str) -> list[dict[str, t.Any]]:
    value = found.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
