"""Where the next page of a list begins: opaque to clients, and checked when it comes back."""

import base64
import binascii
import json
from typing import Annotated

from fastapi import Query

from notafter.domain.errors import InvalidInput

Cursor = Annotated[str | None, Query(min_length=1, max_length=2000, pattern="^[A-Za-z0-9_-]+$")]

_MOST = 2**31 - 1


def encode(*values: str | int) -> str:
    """Return what a list was sorted by at the last thing of a page, as text for a URL."""
    text = json.dumps(values, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(text: str, *kinds: type[str] | type[int]) -> tuple[str | int, ...]:
    """Return the values of a cursor, each of its kind; refuse what is none of this list."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise _refused() from error
    fits = isinstance(values, list) and len(values) == len(kinds)
    if not fits or not all(type(value) is kind for value, kind in zip(values, kinds, strict=True)):
        raise _refused()
    if any(isinstance(value, int) and not 0 <= value <= _MOST for value in values):
        raise _refused()
    return tuple(values)


def _refused() -> InvalidInput:
    return InvalidInput("`after` is no cursor of this list: give the `next` of a page, or leave it out")
