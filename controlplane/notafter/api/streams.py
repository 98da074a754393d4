"""Answers that go on while something happens: server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send
from typing_extensions import override

from notafter.domain.errors import TooManyStreams

log = structlog.get_logger(__name__)

#: How long a client may take nothing of what waits for it.
_PATIENCE_SECONDS = 30.0
#: Whoever is between keeps a connection open on which something comes.
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"


@dataclass
class Streams:
    """The places of those who listen; only the thread of the server takes and gives them."""

    most: int = 50
    taken: int = 0
    closing: bool = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place, and give it back."""
        if self.closing or self.taken >= self.most:
            raise TooManyStreams("as many listen as can: try again, or read the log page by page")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def close(self) -> None:
        """Let all who listen go; they come again where they were, to whoever serves then."""
        self.closing = True


class EventStream(StreamingResponse):
    """A stream of events that ends when its client does not take them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        """Send events as they come; proxies are asked not to collect them."""
        super().__init__(events, headers={"X-Accel-Buffering": "no"})

    @override
    async def stream_response(self, send: Send) -> None:
        """Send all of it, unless the client stands still."""

        async def in_time(message: Message) -> None:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await send(message)

        try:
            await super().stream_response(in_time)
        except TimeoutError:
            log.info("a listener that takes nothing was left")


def event(data: str, *, name: str | None = None, number: int | None = None) -> bytes:
    """Return an event; its data is one line, such as JSON is."""
    head = f"event: {name}\n" if name is not None else ""
    mark = f"id: {number}\n" if number is not None else ""
    return f"{head}{mark}data: {data}\n\n".encode()
