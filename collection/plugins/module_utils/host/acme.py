# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CA as we ask it ourselves, for what acme.sh cannot or must not ask: signed requests (RFC 8555 §6)."""

import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import commands, jose, state, talk
from .failure import Failed, Failure, answered

#: What a CA names in its answers and we ask next; nothing else gets near a command line.
URL = re.compile(r"https://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9._~/?=&%-]*\Z")
_REQUEST = 30
_LIMIT = 2 * 1024 * 1024
_NONCES = 5
_NONCE = re.compile(r"[A-Za-z0-9_-]+\Z")
_ALTERNATE = re.compile(r"<([^>]*)>[^,]*;\s*rel=\"?alternate\"?")


class Unreachable(Exception):
    """The CA gives no answer that could be used; what it made of the request is not known."""

    def __init__(self, message: str, retry_after: Optional[int] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def failure(self) -> Failure:
        """The same as a failure of an attempt."""
        return Failure("ca_unavailable", "the CA cannot be used: %s" % self, None, None, self.retry_after)


class Reply(NamedTuple):
    """One answer of the CA."""

    status: int
    headers: Dict[str, str]
    body: str
    alternates: Tuple[str, ...] = ()

    def document(self) -> Dict[str, Any]:
        """The JSON object of the answer; {} where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def problem(self) -> str:
        """The last word of the problem's type (RFC 8555 §6.7): `alreadyRevoked`; "" where there is none."""
        return str(self.document().get("type") or "").rpartition(":")[2] if self.status >= 400 else ""

    def retry_after(self) -> Optional[int]:
        """Seconds until the CA wants to be asked again."""
        return talk.seconds_of(self.headers.get("retry-after", ""))

    def failure(self, failure_class: Optional[str] = None) -> Failure:
        """What the refusal means, in the CA's own words; `failure_class` where the request decides that."""
        return answered(self.status, self.body, self.retry_after(), failure_class)


class Ca:
    """One CA: its directory, its nonces, and requests that an account's key or any other key signs."""

    def __init__(self, directory: str, trusted: Optional[str] = None) -> None:
        self.directory = directory
        self._trusted = _file(trusted) if trusted else None
        self._urls: Dict[str, Any] = {}
        self._nonce: Optional[str] = None

    def url(self, name: str) -> str:
        """Where the CA does this (RFC 8555 §7.1.1); raises Failed where it does not do it at all."""
        found = str(self._offers().get(name) or "")
        if not URL.match(found):
            raise Failed(Failure("invalid_request", "the CA %s offers no %s" % (self.directory, name)))
        return found

    def caa_identities(self) -> List[str]:
        """The names by which CAA records speak of this CA, as far as it tells them (RFC 8555 §7.1.1)."""
        meta = self._offers().get("meta")
        told = meta.get("caaIdentities") if isinstance(meta, dict) else None
        return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []

    def _offers(self) -> Dict[str, Any]:
        if not self._urls:
            self._urls = self._curl(self.directory).document()
        if not self._urls.get("newNonce"):
            raise Unreachable("it gives no directory")
        return self._urls

    def post(self, url: str, payload: Optional[Any], key: jose.Key, account: Optional[str] = None) -> Reply:
        """Sends a request, signed as the account, or without one by the key itself (RFC 8555 §6.2)."""
        reply = self._posted(url, payload, key, account)
        for _again in range(_NONCES):
            if reply.status == 400 and reply.problem() == "badNonce":
                reply = self._posted(url, payload, key, account)
        return reply

    def fetch(self, url: str, key: jose.Key, account: str) -> Reply:
        """What lies at a URL, by POST-as-GET; raises Unreachable when the CA is busy or broken."""
        reply = self.post(url, None, key, account)
        if reply.status == 429 or reply.status >= 500:
            raise Unreachable("it answers %d" % reply.status, reply.retry_after())
        return reply

    def _posted(self, url: str, payload: Optional[Any], key: jose.Key, account: Optional[str]) -> Reply:
        nonce, self._nonce = self._nonce or self._new_nonce(), None
        protected: Dict[str, Any] = {"nonce": nonce, "url": url}
        protected.update({"kid": account} if account else {"jwk": key.jwk})
        reply = self._curl(url, json.dumps(key.signed(protected, payload)))
        following = reply.headers.get("replay-nonce", "")
        self._nonce = following if _NONCE.match(following) else None
        return reply

    def _new_nonce(self) -> str:
        nonce = self._curl(self.url("newNonce"), head=True).headers.get("replay-nonce", "")
        if not _NONCE.match(nonce):
            raise Unreachable("it gives no nonce")
        return nonce

    def _curl(self, url: str, body: Optional[str] = None, head: bool = False) -> Reply:
        argv = ["curl", "--silent", "--include", "--proto", "=https", "--connect-timeout", "15"]
        argv += ["--max-time", str(_REQUEST), "--header", "Expect:"]
        argv += ["--cacert", self._trusted] if self._trusted else []
        argv += ["--head"] if head else []
        if body is not None:
            argv += ["--header", "Content-Type: application/jose+json", "--data-binary", "@-"]
        result = commands.run(
            argv + ["--", url],
            _REQUEST + 5.0,
            input=None if body is None else body.encode("ascii"),
            limit=_LIMIT,
        )
        if result.returncode != 0 or result.overflowed:
            code = 63 if result.overflowed else result.returncode
            raise Unreachable(talk.Entry("", code, None, None, url).why())
        return _reply(result.stdout.decode("utf-8", "backslashreplace"))


def _reply(text: str) -> Reply:
    head, _empty, body = text.partition("\r\n\r\n")
    while re.match(r"HTTP/[0-9.]+ 1[0-9][0-9]\b", head):  # RFC 9110 §15.2: before the answer itself
        head, _empty, body = body.partition("\r\n\r\n")
    lines = head.split("\r\n")
    status = re.match(r"HTTP/[0-9.]+ ([0-9]{3})", lines[0])
    fields: List[Any] = [line.partition(":") for line in lines[1:]]
    headers = {name.strip().lower(): value.strip() for name, _colon, value in fields}
    links = ",".join(value for name, _colon, value in fields if name.strip().lower() == "link")
    alternates = tuple(url for url in _ALTERNATE.findall(links) if URL.match(url))
    return Reply(int(status.group(1)) if status else 0, headers, body, alternates)


def _file(trusted: str) -> str:
    """What the CA's HTTPS is checked with, as a file for curl; public, and the same for all who need it."""
    content = trusted.encode("ascii")
    path = os.path.join(state.directory("trusted"), hashlib.sha256(content).hexdigest()[:32] + ".pem")
    if not os.path.exists(path):
        state.write(path, content)
    return path
