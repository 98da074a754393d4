"""A request that comes twice is done once (draft-ietf-httpapi-idempotency-key-header).

A client that has heard no answer sends the same request with the same `Idempotency-Key` again, and gets
the answer of the first one. The middleware catches answers, the dependency knows who asks: the guard has
looked at their right before, each time.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

import structlog
from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notafter.api.service import Service, ServiceDep, guard
from notafter.domain.errors import AnswerNotKept, InvalidInput, KeyUsedOtherwise, StillAtWork, StoreError
from notafter.lifecycle.login import Visitor
from notafter.store import idempotency
from notafter.store.idempotency import Requested
from notafter.store.tables import RequestedRow

log = structlog.get_logger(__name__)

HEADER = "Idempotency-Key"
KEY = "[!-~]{1,255}"
KEPT_FOR = timedelta(hours=24)

_IS_KEY = re.compile(KEY)
_ATTEMPT = "notafter.attempt"
_KEPT_HEADERS = ("content-type", "location")
_MOST_BYTES = 256 * 1024
#: Nothing was done, and the next try may fare better: it is looked at anew.
_TRY_ANEW = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


class Answered(Exception):
    """The request was answered before."""

    def __init__(self, response: Response) -> None:
        """Take the answer."""
        super().__init__("answered before")
        self.response = response


@dataclass
class Attempt:
    """A request with a key, as far as it has come."""

    key: str
    requested: Requested | None = None
    messages: list[Message] = field(default_factory=list)

    async def hold(self, message: Message) -> None:
        """Take a part of the answer; it goes out when it is kept."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """Those of its headers that belong to what it says."""
        found = Headers(raw=self.messages[0]["headers"])
        return {name: found[name] for name in _KEPT_HEADERS if name in found}

    @property
    def body(self) -> str | None:
        """What it says; none where it holds a secret, or is too large."""
        found = Headers(raw=self.messages[0]["headers"])
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        if "no-store" in found.get("cache-control", "") or len(body) > _MOST_BYTES:
            return None
        return body.decode()


class Idempotency:
    """Keeps the answers to requests that have a key."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an app."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and keep its answer before it goes out."""
        posted = scope["type"] == "http" and scope["method"] == "POST"
        key = Headers(scope=scope).get(HEADER) if posted else None
        if key is None:
            await self.app(scope, receive, send)
            return
        attempt = scope[_ATTEMPT] = Attempt(key)
        desk = scope["app"].state.service
        try:
            await self.app(scope, receive, attempt.hold)
        except Exception:
            await run_in_threadpool(_end, desk, attempt, kept=False)
            raise
        await run_in_threadpool(_end, desk, attempt, kept=_is_kept(attempt.status))
        for message in attempt.messages:
            await send(message)


async def once(request: Request, desk: ServiceDep, who: Annotated[Visitor | None, Depends(guard)]) -> None:
    """Let a request with a key through if it is the first; else answer as the first was answered.

    Where everybody may come in (login, refresh) no answer is kept, and the key means nothing.
    """
    attempt: Attempt | None = request.scope.get(_ATTEMPT)
    if attempt is None or who is None:
        return
    if not _IS_KEY.fullmatch(attempt.key):
        raise InvalidInput(f"{HEADER}: 1 to 255 visible ASCII characters are wanted")
    requested = Requested(
        mark=_digest(json.dumps([who.name, who.user_id, request.url.path, attempt.key]).encode()),
        asked=_digest(request.url.query.encode() + b"\n" + await request.body()),
    )
    before = await run_in_threadpool(_begin, desk, requested)
    if before is not None:
        raise Answered(before)
    attempt.requested = requested


def answered(_request: Request, error: Exception) -> Response:
    """Answer as before."""
    if not isinstance(error, Answered):
        raise TypeError("nothing was answered before")
    return error.response


def _begin(desk: Service, requested: Requested) -> Response | None:
    now = desk.clock()
    with desk.database.write() as session:
        idempotency.forget_before(session, now - KEPT_FOR)
        row = idempotency.get(session, requested)
        if row is None:
            idempotency.begin(session, requested, now)
            return None
        return _again(row, requested)


def _again(row: RequestedRow, requested: Requested) -> Response:
    """Return the answer that was given, or say why there is none."""
    if row.asked != requested.asked:
        raise KeyUsedOtherwise(f"this {HEADER} came with another request before: take a new one")
    if row.status is None:
        raise StillAtWork(
            f"this request is being processed since {_at(row.begun_at)}: ask again in a moment."
            f" If it stays so it broke off: look what came of it, and take another {HEADER}"
        )
    if row.body is None:
        raise AnswerNotKept(f"this was done at {_at(row.begun_at)}; its answer is said only once")
    return Response(row.body, row.status, {**row.headers, "Idempotency-Replayed": "true"})


def _end(desk: Service, attempt: Attempt, *, kept: bool) -> None:
    """Keep the answer to a request that was begun, or let it be tried anew."""
    if attempt.requested is None:
        return
    try:
        with desk.database.write() as session:
            if kept:
                idempotency.answered(
                    session, attempt.requested, attempt.status, attempt.headers, attempt.body
                )
            else:
                idempotency.forget(session, attempt.requested)
    except StoreError as error:  # what was done is done, and who asks again is told that it is not known
        log.warning("an answer was not kept", reason=str(error))


def _is_kept(status: int) -> bool:
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRY_ANEW


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
