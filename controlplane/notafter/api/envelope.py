"""What goes around every answer: an id, headers that keep browsers from harm, a line in the log, its time."""

import re
import secrets
import time
from collections.abc import Callable

import structlog
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_ID = "x-request-id"
_IS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: The API gives data, never pages: nothing of it may be shown in a frame, run or guessed at.
_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_HSTS = "max-age=31536000"
#: Asked every few seconds by machines.
_OFTEN = frozenset({"/healthz", "/readyz", "/metrics"})
_NOBODY_MATCHED = "unmatched"
_STREAM = "text/event-stream"

#: Method, path of the operation, status, seconds.
Observe = Callable[[str, str, int, float], None]


class Envelope:
    """Stands before all else, so that refusals of what comes after it have all this too."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        """Stand before an app, and tell how long each request took."""
        self.app = app
        self.observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(_ID, "")
        request_id = asked if _IS_ID.fullmatch(asked) else secrets.token_hex(8)
        began, status = time.perf_counter(), 500
        ended: float | None = None

        async def complete(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[_ID] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if headers.get("content-type", "").startswith(_STREAM):
                    ended = time.perf_counter()  # it was answered; how long somebody listens is theirs
                if scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", _HSTS)
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self.app(scope, receive, complete)
            finally:
                seconds = (ended or time.perf_counter()) - began
                path = _path(scope)
                self.observe(scope["method"], path, status, seconds)
                say = log.debug if path in _OFTEN else log.info
                say("request", method=scope["method"], path=path, status=status, ms=round(seconds * 1000, 1))


def _path(scope: Scope) -> str:
    """Return the path with the names of its parts, not what strangers put there."""
    route = scope.get("route")
    return route.path if isinstance(route, APIRoute) else _NOBODY_MATCHED
