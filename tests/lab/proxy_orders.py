"""The orders that a CA made and signed, as the proxy before it has seen them go by."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.lab.proxy_certificates import _decoded, csr_in

if TYPE_CHECKING:
    from tests.lab.proxy import Answer


@dataclass
class Ordered:
    """One order: what for, and the public key that a certificate was signed for, if it came so far."""

    names: frozenset[str]
    finalize: str  #: the path of the URL
    key: bytes | None = None


@dataclass
class Orders:
    """All of them, in the order in which the CA has made them."""

    made: list[Ordered] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ordered(self, request: bytes, answer: Answer) -> None:
        """Notes a new order (RFC 8555 section 7.4)."""
        if answer.status != 201:
            return
        wish = json.loads(_decoded(json.loads(request)["payload"]))
        names = frozenset(str(one["value"]) for one in wish["identifiers"])
        with self._lock:
            self.made.append(Ordered(names, urlsplit(json.loads(answer.body)["finalize"]).path))

    def finalized(self, path: str, request: bytes, answer: Answer) -> None:
        """Notes that the CA has taken a CSR: from here on there is a certificate."""
        if answer.status != 200:
            return
        key = public_bytes(csr_in(request).public_key())
        with self._lock:
            for order in self.made:
                if order.finalize == path:
                    order.key = key

    def since(self, number: int) -> list[Ordered]:
        """Those after the first so many."""
        with self._lock:
            return self.made[number:]


def public_bytes(key: object) -> bytes:
    """A public key in the form in which two can be compared."""
    made: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return made
