# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CA may issue for which name, as the names' DNS says (RFC 8659), before that CA is asked at all.

Only what is certain counts: where no server answers, or a CA does not say by which names it goes, the
CA decides.
"""

import re
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from . import authoritative, dns, names, talk
from .failure import Failure

#: Seconds for all names of an order; what was not looked up by then the CA decides.
LONGEST = 30.0
_RECORD = re.compile(r"([0-9]+) ([A-Za-z0-9]+) (.*)\Z", re.DOTALL)
_CRITICAL = 128
_KNOWN = ("issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc")


class Property(NamedTuple):
    """One CAA record."""

    critical: bool
    tag: str
    value: str

    def issuer(self) -> str:
        """The name of the CA that an `issue` is about; "" for none (RFC 8659 §4.2)."""
        return self.value.partition(";")[0].strip().lower()


class Relevant(NamedTuple):
    """The records that count for a name, and where they stand."""

    domain: str
    properties: List[Property]


class Lookup:
    """What the names of one order lead to; each domain is asked for once."""

    def __init__(self, patience: float = LONGEST) -> None:
        self._until = time.monotonic() + patience
        self._known: Dict[str, Optional[List[Property]]] = {}

    def relevant(self, name: str) -> Optional[Relevant]:
        """The closest records at or above a name (RFC 8659 §3); None where there are none, or nobody tells.

        Top-level domains are not asked.
        """
        labels = name.lower().split(".")
        for size in range(len(labels), 1, -1):
            domain = ".".join(labels[-size:])
            found = self._of(domain)
            if found is None:
                return None
            if found:
                return Relevant(domain, found)
        return None

    def _of(self, domain: str) -> Optional[List[Property]]:
        if domain not in self._known:
            self._known[domain] = self._asked(domain)
        return self._known[domain]

    def _asked(self, domain: str) -> Optional[List[Property]]:
        if time.monotonic() > self._until:
            return None
        try:
            found = authoritative.find(domain, dns.CAA)
        except (authoritative.Unknown, authoritative.Circle):
            return None
        records = [_RECORD.match(value) for value in found.answer.values(found.name, dns.CAA)]
        return [
            Property(bool(int(one.group(1)) & _CRITICAL), one.group(2).lower(), one.group(3))
            for one in records
            if one is not None
        ]


def refusal(wanted: Sequence[str], identities: Sequence[str], lookup: Lookup) -> Optional[Failure]:
    """Why a CA that goes by these names may not issue for one of the names; None where it may."""
    if not identities:
        return None
    for name in wanted:
        if names.is_address(name):
            continue  # RFC 8738 §9: no CAA for addresses
        wildcard = name.startswith("*.")
        found = lookup.relevant(name[2:] if wildcard else name)
        problem = None if found is None else _problem(found, wildcard, identities)
        if problem is not None:
            return Failure("caa", "%s: %s" % (name, problem), None, name)
    return None


def _problem(found: Relevant, wildcard: bool, identities: Sequence[str]) -> Optional[str]:
    for one in found.properties:
        if one.critical and one.tag not in _KNOWN:
            return "the CAA records of %s have a critical property that is not known (%s)" % (
                found.domain,
                one.tag,
            )
    issue = [one.issuer() for one in found.properties if one.tag == "issue"]
    wild = [one.issuer() for one in found.properties if one.tag == "issuewild"]
    allowed = wild if wildcard and wild else issue
    if not allowed or set(allowed) & {identity.lower() for identity in identities}:
        return None
    told = talk.readable(", ".join(sorted(set(filter(None, allowed)))))[:500] or "no CA at all"
    return "the CAA records of %s let issue %s, and this CA is %s; add it there" % (
        found.domain,
        told,
        ", ".join(identities),
    )
