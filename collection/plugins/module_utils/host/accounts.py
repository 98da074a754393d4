# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ACME account of an attempt: one that came with the request, or the issuer's own.

accounts/<name>/<CA>/account.key  the key that the CA knows the account by
accounts/<name>/<CA>/next.key     there while the key is being changed: the CA may know either
accounts/<name>/<CA>/url          what the CA calls the account
accounts/<name>/<CA>/use          the lock: who orders shares it, who changes the key has it alone
"""

import hashlib
import os
import re
from typing import Any, ContextManager, Dict, Optional

from . import custody, jose, state
from .errors import Refused

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Account:
    """An account key and the URL that the CA knows it by."""

    def __init__(self, private_key: str, url: Optional[str], directory: Optional[str]) -> None:
        self.private_key = private_key
        self.url = url
        self.next_key: Optional[str] = None
        self._directory = directory

    def key(self) -> jose.Key:
        """The key, to sign with."""
        return jose.Key(self.private_key)

    def is_own(self) -> bool:
        """Whether the issuer keeps it; else somebody else does, and brought it along."""
        return self._directory is not None

    def remember(self, url: Optional[str]) -> None:
        """Keeps the URL beside the issuer's own key; nothing for a key that came with the request."""
        if self._directory is not None and url and url != self.url:
            state.write(os.path.join(self._directory, "url"), url.encode("utf-8"))
        self.url = url or self.url

    def thumbprint(self) -> Optional[str]:
        """The JWK thumbprint that answers to http-01 end with."""
        try:
            return self.key().thumbprint()
        except jose.OtherKey:
            return None

    def prepare(self, key_type: str) -> None:
        """Makes the key that is to follow, and keeps it before anybody is told of it."""
        self.next_key = custody.new_key(key_type)
        if self._directory is not None:
            state.write(os.path.join(self._directory, "next.key"), self.next_key.encode("ascii"))

    def follow(self) -> None:
        """The next key is the account's key from now on; one rename, so that one of both is always there.

        Several attempts may find at the same time that it is: one of them renames it.
        """
        if self._directory is not None:
            path = os.path.join(self._directory, "next.key")
            with state.lock(os.path.join(self._directory, "lock"), 60, "the account"):
                if _text(path) == self.next_key:
                    os.rename(path, os.path.join(self._directory, "account.key"))
                    state.sync_directory(self._directory)
        self.private_key, self.next_key = str(self.next_key), None

    def forget(self, *names: str) -> None:
        """Takes away what is kept of an account that is no more: all of it, or the files named."""
        for name in names or ("next.key", "url", "account.key"):
            path = os.path.join(self._directory or "", name)
            if self._directory is not None and os.path.exists(path):
                os.unlink(path)


def given(account: Dict[str, Any]) -> Account:
    """The account that a request brought along, with the key that is to follow if there is one."""
    found = Account(account["private_key"], account.get("url"), None)
    found.next_key = account.get("next_private_key")
    return found


def _directory(name: Optional[str], directory: str) -> str:
    name = name or "default"
    if not _NAME.match(name):
        raise Refused("invalid_request", "%r is no valid name for an account" % name)
    return state.directory("accounts", name, hashlib.sha256(directory.encode("utf-8")).hexdigest()[:16])


def use(name: Optional[str], directory: str, alone: bool, wait: float) -> ContextManager[int]:
    """The lock of the issuer's own account for a CA: while one orders, nobody changes the key."""
    path = os.path.join(_directory(name, directory), "use")
    return state.lock(path, wait, "the account %s" % (name or "default"), shared=not alone)


def own(name: Optional[str], directory: str) -> Account:
    """The issuer's own account for a CA; its key is made at the first asking."""
    path = _directory(name, directory)
    key = os.path.join(path, "account.key")
    with state.lock(os.path.join(path, "lock"), 60, "the account %s" % (name or "default")):
        if not os.path.exists(key):
            state.write(key, custody.new_key("ec-256").encode("ascii"))
    return _read(path)


def known(name: Optional[str], directory: str) -> Optional[Account]:
    """The issuer's own account for a CA, if it has one; nothing is made."""
    path = _directory(name, directory)
    return _read(path) if os.path.exists(os.path.join(path, "account.key")) else None


def _read(path: str) -> Account:
    """A change of the key leaves one or both: the next is read first, for it may be renamed meanwhile."""
    following, url = _text(os.path.join(path, "next.key")), _text(os.path.join(path, "url"))
    account = Account(_text(os.path.join(path, "account.key")) or "", url and url.strip(), path)
    account.next_key = following if following != account.private_key else None
    return account


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read() or None
    except OSError:
        return None
