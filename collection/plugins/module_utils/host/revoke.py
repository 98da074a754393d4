# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a CA that a certificate is not to be trusted any more (RFC 8555 §7.6)."""

import time
from contextlib import ExitStack
from typing import Any, Dict

from . import accounts, custody, jose, order, pem, registration
from .acme import Ca, Reply, Unreachable
from .errors import HostError, Refused
from .failure import Failed, Failure

#: The reasons that a subscriber may give (RFC 5280 §5.3.1).
REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
}
BY = ("account", "key")
_PATIENCE = 120.0


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"certificate", "reason", "by", "ca", "account", "name", "private_key"}` → `revoked` or `failure`."""
    start = time.monotonic()
    answer: Dict[str, Any] = {}
    try:
        answer["revoked"] = _revoked(request)
    except Refused as error:
        answer["failure"] = Failure("invalid_request", error.message).as_result()
    except Failed as failed:
        answer["failure"] = failed.failure.as_result()
    except Unreachable as error:
        answer["failure"] = error.failure().as_result()
    except HostError as error:
        kind = "invalid_request" if error.kind == "invalid_request" else "internal"
        answer["failure"] = Failure(kind, error.message).as_result()
    answer["seconds"] = round(time.monotonic() - start, 2)
    return answer


def _revoked(request: Dict[str, Any]) -> Dict[str, Any]:
    reason, by, ca = request.get("reason") or "unspecified", request.get("by") or "account", request["ca"]
    if reason not in REASONS:
        raise Refused("invalid_request", "reason %r is none of %s" % (reason, ", ".join(sorted(REASONS))))
    if by not in BY:
        raise Refused("invalid_request", "a certificate is revoked by its account or by its key, not %r" % by)
    certificate = pem.der(request.get("certificate") or "")
    payload: Dict[str, Any] = {"certificate": jose.base64url(certificate)}
    if REASONS[reason]:  # RFC 5280 §5.3.1: left out rather than unspecified
        payload["reason"] = REASONS[reason]
    asked = Ca(order.checked_directory(ca), ca.get("bundle_pem"))
    fingerprint = pem.fingerprint(request["certificate"])
    url = asked.url("revokeCert")
    if by == "key":
        reply = asked.post(url, payload, _own_key(request, fingerprint))
    else:
        reply = _by_account(asked, url, payload, request.get("account") or {})
    already = reply.problem() == "alreadyRevoked"
    if reply.status != 200 and not already:
        raise Failed(reply.failure())
    if request.get("name"):
        custody.mark_revoked(request["name"], fingerprint, reason)
    return {"fingerprint_sha256": fingerprint, "already": already}


def _by_account(ca: Ca, url: str, payload: Dict[str, Any], given: Dict[str, Any]) -> Reply:
    """Asks as the account; while its key is being changed, that is waited for."""
    with ExitStack() as held:
        if not given.get("private_key"):
            held.enter_context(accounts.use(given.get("name"), ca.directory, alone=False, wait=_PATIENCE))
        account = _account(ca, given)
        return ca.post(url, payload, account.key(), account.url)


def _own_key(request: Dict[str, Any], fingerprint: str) -> jose.Key:
    """The certificate's own key: it came along, or this issuer keeps it."""
    key = request.get("private_key")
    if not key and request.get("name"):
        key = custody.key_of(request["name"], fingerprint)
    if not key:
        told = "the key of the certificate is not on this issuer: revoke it by its account"
        raise Refused("invalid_request", told)
    return jose.Key(key)


def _account(ca: Ca, given: Dict[str, Any]) -> accounts.Account:
    """The account that revokes, which the CA knows."""
    if given.get("private_key"):
        account = accounts.given(given)
    else:
        known = accounts.known(given.get("name"), ca.directory)
        if known is None:
            told = "this issuer has no account %s of the CA %s"
            raise Failed(Failure("account", told % (given.get("name") or "default", ca.directory)))
        account = known
        registration.settle(ca, account)
    if not account.url:
        found = registration.find(ca, account.key())
        if found is None or not found.url:
            raise Failed(Failure("account", "the CA %s has no account for the key" % ca.directory))
        account.remember(found.url)
    return account
