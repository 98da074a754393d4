# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a CA is asked about an account: to find, make, change, re-key and end it (RFC 8555 §7.3)."""

from typing import Any, Dict, NamedTuple, Optional

from . import jose, state
from .accounts import Account
from .acme import URL, Ca, Reply, Unreachable
from .failure import Failed, Failure


class Binding(NamedTuple):
    """What binds an account to one that somebody has with the CA outside of ACME (RFC 8555 §7.3.4)."""

    key_id: str
    hmac_key: bytes


class Known(NamedTuple):
    """An account as the CA has it."""

    url: str
    status: str
    contact: Optional[str]


def find(ca: Ca, key: jose.Key) -> Optional[Known]:
    """The account of a key (RFC 8555 §7.3.1); None where the CA has none for it."""
    reply = ca.post(ca.url("newAccount"), {"onlyReturnExisting": True}, key)
    if reply.problem() == "accountDoesNotExist":
        return None
    if _is_deactivated(reply):
        return Known("", "deactivated", None)
    return _known(reply)


def register(ca: Ca, key: jose.Key, email: Optional[str], binding: Optional[Binding]) -> Known:
    """Makes an account, unless the CA has one for the key: some take a binding only once."""
    found = find(ca, key)
    if found is not None and found.status != "deactivated":
        return found
    url = ca.url("newAccount")
    wish: Dict[str, Any] = {"termsOfServiceAgreed": True}
    if email:
        wish["contact"] = ["mailto:" + email]
    if binding is not None:
        if not binding.hmac_key:
            told = "the CA wants a binding: to its eab_key_id %s belongs an eab_hmac_key" % binding.key_id
            raise Failed(Failure("invalid_request", told))
        protected = {"kid": binding.key_id, "url": url}
        wish["externalAccountBinding"] = jose.hmac_signed(binding.hmac_key, protected, key.jwk)
    return _known(ca.post(url, wish, key))


def set_contact(ca: Ca, account: Account, email: str) -> Known:
    """Tells the CA another address (RFC 8555 §7.3.2)."""
    reply = ca.post(_url(account), {"contact": ["mailto:" + email]}, account.key(), account.url)
    return _known(reply)._replace(url=_url(account))


def change_key(ca: Ca, account: Account) -> Known:
    """Has the account follow its next key (RFC 8555 §7.3.5), also when the answer is lost on the way.

    The CA's yes is not enough: it is asked whether it knows the account by the new key.
    """
    url, following, old = ca.url("keyChange"), jose.Key(str(account.next_key)), account.key()
    inner = following.signed(
        {"jwk": following.jwk, "url": url}, {"account": _url(account), "oldKey": old.jwk}
    )
    try:
        reply = ca.post(url, inner, old, account.url)
    except Unreachable as error:
        found = changed(ca, account)
        if found is None:
            raise Failed(error.failure()) from error
        return found
    state.failpoint("account-key-changed")
    if reply.status not in (200, 409):
        raise Failed(reply.failure("account"))
    found = changed(ca, account)
    if found is None:
        told = "the CA does not know the account by its new key; is it that of another account?"
        raise Failed(Failure("account", told))
    return found


def changed(ca: Ca, account: Account) -> Optional[Known]:
    """The account as the CA has it by its next key; None where it does not know it by that."""
    found = find(ca, jose.Key(str(account.next_key)))
    if found is None or (account.url and found.url not in (account.url, "")):
        return None
    return found


def settle(ca: Ca, account: Account) -> None:
    """After a change of the key that was broken off: finds which of both keys is the account's."""
    if account.is_own() and account.next_key is not None and changed(ca, account):
        account.follow()


def deactivate(ca: Ca, account: Account) -> bool:
    """Ends the account for ever (RFC 8555 §7.3.6); False when the CA had no such account any more."""
    found = find(ca, account.key())
    if found is None or found.status == "deactivated":
        return False
    reply = ca.post(found.url, {"status": "deactivated"}, account.key(), found.url)
    if reply.status != 200 and not _is_deactivated(reply):
        raise Failed(reply.failure("account"))
    return True


def _is_deactivated(reply: Reply) -> bool:
    """Whether that is what a refusal says; there is no type of problem for it (RFC 8555 §7.3.6)."""
    told = str(reply.document().get("detail") or "")
    return reply.problem() == "unauthorized" and "deactivated" in told.lower()


def _url(account: Account) -> str:
    if not account.url:
        raise Failed(Failure("account", "the CA has not said what it calls the account"))
    return account.url


def _known(reply: Reply) -> Known:
    if reply.status not in (200, 201):
        raise Failed(reply.failure("account"))
    found = reply.document()
    contact = found.get("contact")
    first = str(contact[0]) if isinstance(contact, list) and contact else ""
    email = first[len("mailto:") :] if first.startswith("mailto:") else None
    url = reply.headers.get("location", "")
    return Known(url if URL.match(url) else "", str(found.get("status") or "valid"), email)
