"""Refuses bodies that are too large, before anything reads them."""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notafter.api import problems

MOST_BYTES = 1024 * 1024


class BodyLimit:
    """Counts the bytes of a request's body; a length that lies does not help."""

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES) -> None:
        """Stand before an app."""
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as far as it is small enough."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self.most:
                told = f"a body may have {self.most} bytes"
                refusal = problems.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", told)
                await refusal(scope, receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        await self.app(scope, _replay(messages, receive), send)


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return replay
