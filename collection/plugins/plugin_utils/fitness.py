# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a CA has sent is what was asked of it; before that is known, it does not count."""

from __future__ import annotations

import datetime
import typing as t

from .certificates import check_bundle
from .parsed import Parsed, Problem, problem, split

#: CAs differ a little from us in their clocks; the deploy waits for what is valid a moment from now.
SKEW = datetime.timedelta(minutes=10)


def unfit(
    signed: t.Mapping[str, t.Any],
    arguments: t.Mapping[str, t.Any],
    root_pem: str | None,
    bundle_pem: str | None,
    now: datetime.datetime,
) -> list[Problem]:
    """What speaks against a certificate from the CA: its key, its names, its time, where its chain leads.

    `bundle_pem` is what the CA's HTTPS is checked with: often the root that signs directly as well.
    """
    leaf, issuers = Parsed(signed["pem"]), [Parsed(one) for one in split(signed["chain_pem"] or "")]
    problems = check_bundle(
        signed["pem"], signed["chain_pem"], arguments["names"], now, csr_pem=arguments["csr"]
    )
    problems = [one for one in problems if one["kind"] != "not_yet_valid"] + _too_early(leaf, issuers, now)
    if any(one["kind"] in {"malformed", "chain_incomplete"} for one in problems):
        return problems
    problems += _too_short(leaf, arguments.get("minimum_validity"), now)
    return problems + _top(leaf, issuers, root_pem, bundle_pem)


def _too_early(leaf: Parsed, issuers: list[Parsed], now: datetime.datetime) -> list[Problem]:
    named = [(leaf, "the certificate"), *((one, f"its issuer ({one.subject})") for one in issuers)]
    found = [problem for one, what in named for problem in one.validity_problems(now + SKEW, what)]
    return [one for one in found if one["kind"] == "not_yet_valid"]


def _too_short(leaf: Parsed, wanted: int | None, now: datetime.datetime) -> list[Problem]:
    if not wanted or leaf.not_after is None:
        return []
    left = int((leaf.not_after - now).total_seconds())
    if left >= wanted:
        return []
    return [problem("short_life", f"the certificate ends in {left} s, and {wanted} s were asked for")]


def _top(leaf: Parsed, issuers: list[Parsed], root_pem: str | None, bundle_pem: str | None) -> list[Problem]:
    """Whether the chain ends below a root that is given; without one, whether there is a chain at all."""
    top = issuers[-1] if issuers else leaf
    if root_pem is None:
        known = [Parsed(one) for one in split(bundle_pem or "")]
        if issuers or leaf.self_signed() or any(root.issued(leaf) for root in known):
            return []
        told = f"the CA sent no chain; if {leaf.issuer} is a root, give it as the CA's `root`"
        return [problem("chain_incomplete", told)]
    roots = [Parsed(one) for one in split(root_pem)]
    if any(root.fingerprint == top.fingerprint or root.issued(top) for root in roots):
        return []
    told = f"the chain does not lead to the given root, it ends below {top.issuer}"
    return [problem("chain_incomplete", told)]


def other_chain(signed: t.Mapping[str, t.Any], preferred: str | None) -> str | None:
    """What to say where the CA has no chain to the preferred issuer (RFC 8555 §7.4.2)."""
    issuers = [Parsed(one).issuer for one in [signed["pem"], *split(signed["chain_pem"] or "")]]
    if preferred is None or preferred.lower() in str(issuers[-1]).lower():
        return None
    return f"the CA offers no chain to {preferred!r}; its own choice ends below {issuers[-1]}"
