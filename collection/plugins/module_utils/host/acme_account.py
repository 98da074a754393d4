# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings an ACME account into a state: registered, with another key, or deactivated (RFC 8555 §7.3)."""

import time
from contextlib import ExitStack
from typing import Any, Dict, Optional

from . import accounts, custody, order, registration, state
from .accounts import Account
from .acme import Ca, Unreachable
from .errors import HostError, Refused
from .failure import Failed, Failure

STATES = ("present", "key_changed", "deactivated")


def run(request: Dict[str, Any]) -> Dict[str, Any]:
    """`{"state", "ca", "account", "key_type", "check", "timeout"}` → what became of it, or a `failure`."""
    start = time.monotonic()
    try:
        with ExitStack() as held:
            answer = _Wish(request, held).fulfilled()
    except Refused as error:
        answer = {"failure": Failure("invalid_request", error.message).as_result()}
    except Failed as failed:
        answer = {"failure": failed.failure.as_result()}
    except Unreachable as error:
        answer = {"failure": error.failure().as_result()}
    except HostError as error:
        kind = "invalid_request" if error.kind == "invalid_request" else "internal"
        answer = {"failure": Failure(kind, error.message).as_result()}
    answer["seconds"] = round(time.monotonic() - start, 2)
    return answer


class _Wish:
    """What is wanted of one account, checked."""

    def __init__(self, request: Dict[str, Any], held: ExitStack) -> None:
        ca, self._given = request.get("ca") or {}, request.get("account") or {}
        self._wanted = request.get("state") or "present"
        if self._wanted not in STATES:
            told = "an account is %s, not %r" % (" or ".join(STATES), self._wanted)
            raise Refused("invalid_request", told)
        self._ca = Ca(order.checked_directory(ca), ca.get("bundle_pem"))
        self._email = order.checked_email(ca)
        self._binding = order.checked_binding(ca, self._given)
        self._key_type = custody.checked_key_type(request.get("key_type") or "ec-256")
        self._check = bool(request.get("check"))
        if not self._given.get("private_key"):
            wait, alone = float(request.get("timeout") or 600), self._wanted != "present"
            held.enter_context(
                accounts.use(self._given.get("name"), self._ca.directory, alone and not self._check, wait)
            )

    def fulfilled(self) -> Dict[str, Any]:
        account = self._account()
        if account is None:
            changes = self._wanted != "deactivated"
            words = "would be registered" if changes else "there is no such account"
            return {"changed": changes, "message": words, "account": None}
        if self._wanted != "key_changed" and not self._check:
            registration.settle(self._ca, account)
        answers = {"present": self._present, "key_changed": self._key_changed, "deactivated": self._ended}
        return answers[self._wanted](account)

    def _account(self) -> Optional[Account]:
        if self._given.get("private_key"):
            return accounts.given(self._given)
        name, directory = self._given.get("name"), self._ca.directory
        if self._check or self._wanted == "deactivated":
            return accounts.known(name, directory)
        return accounts.own(name, directory)

    def _present(self, account: Account) -> Dict[str, Any]:
        found = registration.find(self._ca, account.key())
        if found is not None and found.status != "valid":
            told = "the CA has ended the account (%s); an account with another key is needed" % found.status
            raise Failed(Failure("account", told))
        if found is None:
            if self._check:
                return {"changed": True, "message": "would be registered", "account": None}
            found = registration.register(self._ca, account.key(), self._email, self._binding)
            account.remember(found.url)
            return _told(True, "registered", account, found)
        account.remember(found.url)
        # A CA that keeps no contacts shows none: it is told nothing, for it would be told so each time.
        if not self._email or found.contact in (None, self._email):
            return _told(False, "registered already", account, found)
        if not self._check:
            found = registration.set_contact(self._ca, account, self._email)
        words = "would have another contact" if self._check else "has another contact"
        return _told(True, words, account, found)

    def _key_changed(self, account: Account) -> Dict[str, Any]:
        if self._check:
            return {"changed": True, "message": "would have another key", "account": None}
        found = registration.changed(self._ca, account) if account.next_key is not None else None
        if found is None:
            self._identify(account)
            if account.next_key is None:
                if not account.is_own():
                    raise Refused("invalid_request", "the account came without the key that it is to follow")
                account.prepare(self._key_type)
            state.failpoint("account-next-key")
            found = registration.change_key(self._ca, account)
        account.follow()
        account.remember(found.url)
        return _told(True, "has another key", account, found)

    def _identify(self, account: Account) -> None:
        """The CA's own word on what it calls the account."""
        found = registration.find(self._ca, account.key())
        if found is None or found.status != "valid":
            what = "no account for the key" if found is None else "ended the account"
            raise Failed(Failure("account", "the CA %s has %s" % (self._ca.directory, what)))
        account.remember(found.url)

    def _ended(self, account: Account) -> Dict[str, Any]:
        if self._check:
            return {"changed": True, "message": "would be deactivated", "account": None}
        ended = registration.deactivate(self._ca, account)
        state.failpoint("account-deactivated")
        account.forget()
        words = "deactivated" if ended else "the CA has no such account any more"
        known = registration.Known(account.url or "", "deactivated", None)
        return _told(ended, words, account, known)


def _told(changed: bool, message: str, account: Account, found: registration.Known) -> Dict[str, Any]:
    about = {"url": found.url or account.url, "status": found.status, "contact": found.contact}
    about["thumbprint"] = account.thumbprint()
    return {"changed": changed, "message": message, "account": about}
