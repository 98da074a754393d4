# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ACME account that an attempt uses: one that came with the request, or the issuer's own."""

import base64
import hashlib
import json
import os
import re
from typing import Any, Dict, Optional

from . import commands, state
from .errors import HostError, Refused

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Account:
    """An account key and the URL that the CA knows it by."""

    def __init__(self, private_key: str, url: Optional[str], directory: Optional[str]) -> None:
        self.private_key = private_key
        self.url = url
        self._directory = directory

    def remember(self, url: Optional[str]) -> None:
        """Keeps the URL beside the issuer's own key; nothing for a key that came with the request."""
        if self._directory is not None and url and url != self.url:
            state.write(os.path.join(self._directory, "url"), url.encode("utf-8"))

    def thumbprint(self) -> Optional[str]:
        """The JWK thumbprint that http-01 answers end with (RFC 7638, RFC 8555 §8.1); P-256 keys only."""
        result = commands.run(
            ["openssl", "pkey", "-pubout", "-outform", "DER"], 20.0, input=self.private_key.encode("ascii")
        )
        point = result.stdout[-65:]
        if result.returncode != 0 or len(result.stdout) != 91 or point[0] != 4:
            return None
        jwk = {"crv": "P-256", "kty": "EC", "x": _base64url(point[1:33]), "y": _base64url(point[33:])}
        text = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
        return _base64url(hashlib.sha256(text.encode("ascii")).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def given(account: Dict[str, Any]) -> Account:
    """The account that a request brought along."""
    return Account(account["private_key"], account.get("url"), None)


def own(name: Optional[str], directory: str) -> Account:
    """The issuer's own account for a CA; its key is made at the first asking."""
    name = name or "default"
    if not _NAME.match(name):
        raise Refused("invalid_request", "%r is no valid name for an account" % name)
    path = state.directory("accounts", name, hashlib.sha256(directory.encode("utf-8")).hexdigest()[:16])
    key = os.path.join(path, "account.key")
    with state.lock(os.path.join(path, "lock"), 60, "the account %s" % name):
        if not os.path.exists(key):
            made = commands.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"], 30.0)
            if made.returncode != 0:
                raise HostError("internal", "openssl cannot make an account key: %s" % made.said())
            state.write(key, made.stdout)
        with open(key) as stream:
            private_key = stream.read()
    try:
        with open(os.path.join(path, "url")) as stream:
            url: Optional[str] = stream.read().strip() or None
    except OSError:
        url = None
    return Account(private_key, url, path)
