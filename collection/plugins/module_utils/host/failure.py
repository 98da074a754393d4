# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an attempt ended without a certificate: the CA's own words where it said any, else acme.sh's."""

import re
from typing import Any, Dict, NamedTuple, Optional

from . import talk
from .talk import Entry, Talk


class Failure(NamedTuple):
    """Why an attempt ended without a certificate; the classes are in contracts.md §2."""

    failure_class: str
    message: str
    type: Optional[str] = None
    identifier: Optional[str] = None
    retry_after: Optional[int] = None
    order_refused: bool = False

    def as_result(self) -> Dict[str, Any]:
        """The documented form."""
        result = dict(self._asdict())
        result["class"] = result.pop("failure_class")
        del result["order_refused"]
        return result


class Failed(Exception):
    """An attempt is over without what was asked for."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(("Please ", "See: "))]
    return talk.readable("; ".join(told[-3:]))[:500] or "nothing"


_TYPE = re.compile(r'"type":\s*"(?P<type>urn:ietf:params:acme:error:(?P<name>[A-Za-z]+))"')
_DETAIL = re.compile(r'"detail":\s*"(?P<detail>(?:[^"\\]|\\.)*)"')
_CHALLENGE = re.compile(
    r"(?P<name>[A-Za-z0-9*._-]+): Invalid status[.,] Verification error(?: details)?: ?(?P<detail>.*)"
)
_CLASSES = {
    "rateLimited": "rate_limited",
    "caa": "caa",
    "rejectedIdentifier": "rejected_identifier",
    "unsupportedIdentifier": "rejected_identifier",
    "accountDoesNotExist": "account",
    "externalAccountRequired": "account",
    "userActionRequired": "account",
    "invalidContact": "account",
    "unsupportedContact": "account",
    "unauthorized": "account",
    "serverInternal": "ca_unavailable",
    "badNonce": "ca_unavailable",
    "orderNotReady": "ca_unavailable",
    "alreadyReplaced": "invalid_request",
    "badCSR": "invalid_request",
    "badPublicKey": "invalid_request",
    "malformed": "invalid_request",
    "invalidProfile": "invalid_request",
    "badRevocationReason": "invalid_request",
    "badSignatureAlgorithm": "account",
    "connection": "challenge_failed",
    "dns": "challenge_failed",
    "tls": "challenge_failed",
    "incorrectResponse": "challenge_failed",
}
_ADDING, _ADDED = "Adding TXT value: ", "The TXT record has been successfully added"
_PROVIDER = ("Error adding TXT record", "Cannot find DNS API hook", "Error loading file")
_SAID = (
    ("registering account", "account"),
    ("Account registration error", "account"),
    ("Cannot make POST request", "ca_unavailable"),
    ("Giving up sending to CA server", "ca_unavailable"),
    ("Cannot connect to", "ca_unavailable"),
    ("Could not get nonce", "ca_unavailable"),
    # The CA answered, and it was nothing that an ACME server says.
    ("Le_OrderFinalize not found", "ca_unavailable"),
    ("authorizations_seg", "ca_unavailable"),
    ("getting authz", "ca_unavailable"),
    ("Challenge error", "ca_unavailable"),
    ("Unknown status", "ca_unavailable"),
    ("get challenge", "ca_unavailable"),
    ("Getting challenge", "ca_unavailable"),
    (": Timeout", "ca_unavailable"),
    ("Signing failed", "ca_unavailable"),
    ("Signing error", "ca_unavailable"),
)


def classify(text: str, told: Talk, directory: str) -> Failure:
    """What acme.sh's words and the CA's answers mean: the class, the CA's own problem, when again."""
    refused = told.last_failure()
    retry_after = refused.retry_after if refused is not None and refused.busy() else None
    challenge = _CHALLENGE.search(text)
    overlooked = told.provider_failure(writing=True)
    if challenge and overlooked is not None:  # its hook did not look at the answer
        failed = _failed_challenge(challenge, text, told)
        return _by_provider(failed.message, overlooked)._replace(identifier=failed.identifier)
    if challenge:
        return _failed_challenge(challenge, text, told)._replace(retry_after=retry_after)
    if any(words in text for words in _PROVIDER) or text.rfind(_ADDING) > text.rfind(_ADDED):
        return _by_provider(_last(text), told.provider_failure(writing=False))
    order_refused = "Error creating new order" in text
    problem = _problem(text, told if refused is not None else Talk([]))
    if problem is None and refused is not None:
        problem = _unexplained(refused, directory)
    if problem is not None:
        return problem._replace(retry_after=retry_after, order_refused=order_refused)
    return _by_words(text, directory)


def answered(status: int, body: str, retry_after: Optional[int], failure_class: Optional[str]) -> Failure:
    """What an answer that is an error means, to a request of our own.

    `failure_class` is what a refusal of this request is about; a CA that is busy or broken is neither.
    """
    found = _problem("", Talk([], body))
    if found is None:
        found = _unexplained(Entry("", 0, status, retry_after, ""), "itself")
    elif failure_class and status < 500 and found.failure_class not in ("rate_limited", "ca_unavailable"):
        found = found._replace(failure_class=failure_class)
    busy = status in (429, 503)
    return found._replace(retry_after=retry_after if busy else None)


def _by_provider(said: str, refused: Optional[Entry]) -> Failure:
    """The DNS provider has not set a TXT record; its own answer is told where it is known."""
    if refused is None:
        return Failure("dns_provider", said)
    told = "the DNS provider's %s: %s; %s" % (refused.url, refused.why(), said)
    return Failure("dns_provider", told, retry_after=refused.retry_after if refused.busy() else None)


def _unexplained(refused: Entry, directory: str) -> Failure:
    """A request that failed, and no problem document that would say why."""
    if refused.status == 429:
        return Failure("rate_limited", "the CA answers 429, too many requests, and says no more")
    why = "%s (%s)" % (refused.why(), refused.url) if refused.url else refused.why()
    return Failure("ca_unavailable", _unusable(directory, why))


def _by_words(text: str, directory: str) -> Failure:
    """Every request was answered, but not so that acme.sh could go on; it says where it stopped."""
    if "Cannot init API for" in text or "Sleeping for 10 seconds and retrying." in text:
        curl = re.search(r"error code: ([0-9]+)", text)
        why = Entry("", int(curl.group(1)), None, None, "").why() if curl else "it gives no directory"
        return Failure("ca_unavailable", _unusable(directory, why))
    for words, failure_class in _SAID:
        if words in text:
            return Failure(failure_class, _last(text))
    return Failure("internal", "acme.sh gave up: %s" % _last(text))


def _unusable(directory: str, why: str) -> str:
    return "the CA %s cannot be used: %s" % (directory, why)


def _failed_challenge(challenge: Any, text: str, told: Talk) -> Failure:
    """A proof that the CA did not take; of its words acme.sh shows those before the first quote."""
    document = told.challenge_problem()
    problem = _TYPE.search('"type": "%s"' % document.get("type")) or _TYPE.search(text)
    detail = talk.readable(document.get("detail") or challenge.group("detail"))
    caa = "CAA record" in detail or (problem is not None and problem.group("name") == "caa")
    return Failure(
        "caa" if caa else "challenge_failed",
        "%s: %s" % (challenge.group("name"), detail or "the CA gave no detail"),
        problem.group("type") if problem else None,
        challenge.group("name"),
    )


def _problem(text: str, told: Talk) -> Optional[Failure]:
    """The CA's problem document as a failure: the one on record, else what acme.sh shows of it."""
    document = told.problem()
    kind, detail = str(document.get("type") or ""), document.get("detail")
    if not _TYPE.match('"type": "%s"' % kind):
        match, words = _TYPE.search(text), _DETAIL.search(text)
        if match is None:
            return None
        kind, detail = match.group("type"), words.group("detail") if words else None
    name = kind.rpartition(":")[2]
    return Failure(
        _CLASSES.get(name, "internal"), talk.readable(detail or _last(text)), kind, _identifier(document)
    )


def _identifier(document: Dict[str, Any]) -> Optional[str]:
    """The one name that a problem is about (RFC 8555 §6.7.1)."""
    parts = document.get("subproblems")
    parts = parts if isinstance(parts, list) else []
    found = [part.get("identifier") for part in [document, *parts] if isinstance(part, dict)]
    names = {str(one.get("value")) for one in found if isinstance(one, dict) and one.get("value")}
    return talk.readable(names.pop()) if len(names) == 1 else None
