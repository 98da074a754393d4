# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order that was sent for signing, and whose certificate never came: fetched, so that no second is made.

acme.sh begins each renewal with a new order. The CA may have signed long since, and only its answer
was lost, or it was still at work: then the certificate lies there for whoever asks (RFC 8555 §7.4.2).
"""

import base64
import json
import os
import re
import shutil
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from . import commands, pem, state, talk
from .acme_sh import Home
from .failure import Failure
from .order import Order

#: Seconds after which an order that is still worked on is given up for a new one.
PATIENCE = 3600
#: The same where the CA cannot be asked: it may have signed long since.
PATIENCE_WHILE_SILENT = 7 * 86400
_REQUEST = 30
_LIMIT = 2 * 1024 * 1024
_NONCES = 3
_URL = re.compile(r"https://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9._~/?=&%-]*$")


class Unreachable(Exception):
    """The CA gives no answer that could be used; whether the order is signed is not known."""

    def __init__(self, message: str, retry_after: Optional[int] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Pending(NamedTuple):
    """It is not known to be signed, nor to be none: why, and for how many seconds that may be so."""

    failure: Failure
    patience: float


class OtherKey(Exception):
    """The account's key is of a kind that we cannot sign with."""


class Reply(NamedTuple):
    """One answer of the CA."""

    status: int
    headers: Dict[str, str]
    body: str


def _path(home: Home) -> str:
    return os.path.join(home.path, "order.json")


def remember(home: Home, account_url: Optional[str] = None) -> None:
    """Notes the order of an attempt that failed, if the CA may sign it, or has signed it, all the same."""
    about = home.about()
    if about is None:
        return
    name, directory = about
    saved, account_url = home.saved(name), account_url or home.account_url(directory)
    finalize, link = saved.get("Le_OrderFinalize", ""), saved.get("Le_LinkOrder", "")
    asked = [entry for entry in talk.record(home.talk).entries if entry.url == finalize]
    if not asked or not account_url or not _URL.match(link):
        return
    last = asked[-1]
    if last.code != 0 or (last.status or 500) < 300 or (last.status or 500) >= 500:
        state.write_json(
            _path(home), {"order": link, "account": account_url, "ca": directory, "at": time.time()}
        )


def fetch(home: Home, order: Order, key: str) -> Optional[Failure]:
    """Puts the certificate of the order that was noted into the home, if there is one.

    A failure means that it may still come, so that no other order is to be made; None that the
    attempt goes on, with the certificate or without.
    """
    noted = state.read_json(_path(home))
    if not noted or noted.get("ca") != order.directory:
        return None
    found = _asked_for(noted, order, key)
    if isinstance(found, str):
        home.put(order, found)
        return None
    if found is None or time.time() - noted["at"] > found.patience:
        os.unlink(_path(home))  # it came to nothing
        return None
    return found.failure


def _asked_for(noted: Dict[str, Any], order: Order, key: str) -> Union[str, Pending, None]:
    """The certificate, or why it is not there yet; None when it will never come."""
    ca = _Ca(order, key, noted["account"])
    try:
        found, wait = ca.certificate(noted["order"])
    except OtherKey:
        return None
    except Unreachable as error:
        told = "whether the order is signed is not known, for %s" % error
        return Pending(Failure("ca_unavailable", told, None, None, error.retry_after), PATIENCE_WHILE_SILENT)
    finally:
        ca.close()
    if found == "":
        told = "the CA is still at work on the order"
        return Pending(Failure("ca_unavailable", told, None, None, wait), PATIENCE)
    return found


class _Ca:
    """As much of an ACME client as fetches a certificate: POST-as-GET with an EC key (RFC 8555 §6.3)."""

    def __init__(self, order: Order, key: str, account: str) -> None:
        self._order = order
        self._account = account
        self._folder = state.directory("attempts", order.attempt, "resume")
        self._key = os.path.join(self._folder, "account.key")
        state.write(self._key, key.encode("ascii"))
        self._bundle = None
        if order.ca_bundle:
            self._bundle = os.path.join(self._folder, "ca-bundle.pem")
            state.write(self._bundle, order.ca_bundle.encode("ascii"))
        self._nonce: Optional[str] = None

    def close(self) -> None:
        """Takes the key away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def certificate(self, url: str) -> Tuple[Optional[str], Optional[int]]:
        """The PEM of a signed order; "" and how long to wait while it is worked on; None if it is nothing."""
        reply = self._fetch(url)
        try:
            found = json.loads(reply.body) if reply.status == 200 else {}
        except ValueError:
            raise Unreachable("its answer about the order is no JSON") from None
        if not isinstance(found, dict):
            raise Unreachable("its answer about the order is no JSON object")
        if found.get("status") == "processing":
            return "", talk.seconds_of(reply.headers.get("retry-after", ""))
        if found.get("status") != "valid" or not _URL.match(str(found.get("certificate"))):
            return None, None
        signed = self._fetch(found["certificate"])
        return ("".join(pem.certificates(signed.body)) or None) if signed.status == 200 else None, None

    def _fetch(self, url: str) -> Reply:
        reply = self._posted(url)
        for _again in range(_NONCES):
            if reply.status == 400 and "error:badNonce" in reply.body:
                reply = self._posted(url)
        if reply.status == 429 or reply.status >= 500:
            wait = talk.seconds_of(reply.headers.get("retry-after", ""))
            raise Unreachable("it answers %d" % reply.status, wait)
        return reply

    def _posted(self, url: str) -> Reply:
        nonce, self._nonce = self._nonce or self._new_nonce(), None
        reply = self._curl(url, self._signed(url, nonce))
        self._nonce = reply.headers.get("replay-nonce")
        return reply

    def _new_nonce(self) -> str:
        try:
            url = str(json.loads(self._curl(self._order.directory).body)["newNonce"])
        except (ValueError, KeyError, TypeError):
            raise Unreachable("it gives no directory") from None
        nonce = self._curl(url, head=True).headers.get("replay-nonce", "") if _URL.match(url) else ""
        if not re.match(r"[A-Za-z0-9_-]+$", nonce):
            raise Unreachable("it gives no nonce")
        return nonce

    def _signed(self, url: str, nonce: str) -> str:
        protected = {"alg": "ES256", "kid": self._account, "nonce": nonce, "url": url}
        text = _base64url(json.dumps(protected).encode("ascii"))
        made = commands.run(
            ["openssl", "dgst", "-sha256", "-sign", self._key], 20.0, input=(text + ".").encode()
        )
        signature = _base64url(_raw(made.stdout))
        return json.dumps({"protected": text, "payload": "", "signature": signature})

    def _curl(self, url: str, body: Optional[str] = None, head: bool = False) -> Reply:
        argv = ["curl", "--silent", "--include", "--proto", "=https", "--connect-timeout", "15"]
        argv += ["--max-time", str(_REQUEST), "--header", "Expect:"]
        argv += ["--cacert", self._bundle] if self._bundle else []
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
    lines = head.split("\r\n")
    status = re.match(r"HTTP/[0-9.]+ ([0-9]{3})", lines[0])
    fields: List[Any] = [line.partition(":") for line in lines[1:]]
    headers = {name.strip().lower(): value.strip() for name, _colon, value in fields}
    return Reply(int(status.group(1)) if status else 0, headers, body)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _raw(der: bytes) -> bytes:
    """An ECDSA signature of P-256 as JOSE has it, r and s of 32 bytes (RFC 7518 §3.4), from its DER."""
    numbers = []
    rest = der[2:]
    for _number in range(2):
        if len(rest) < 2 or rest[0] != 2 or rest[1] > 33:
            raise OtherKey("it is not of the kind P-256")
        numbers.append(rest[2 : 2 + rest[1]].lstrip(b"\0").rjust(32, b"\0"))
        rest = rest[2 + rest[1] :]
    return b"".join(numbers)
