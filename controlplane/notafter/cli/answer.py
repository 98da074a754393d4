"""How the command line answers: a sentence, a table, or JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from notafter import settings
from notafter.app import rooms as app
from notafter.app.rooms import Rooms

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def rooms() -> Iterator[Rooms]:
    """Open the rooms for one command."""
    with app.rooms(settings.load()) as opened:
        yield opened


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table or as JSON."""
    if as_json:
        as_text(rows)
        return
    table = Table(*(rows[0] if rows else ["nothing yet"]))
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)


def _cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return plain(", ".join(str(one) for one in value) if isinstance(value, list) else str(value))


def plain(text: str) -> str:
    """Return a text without what could steer a terminal: strangers have chosen it."""
    return "".join(character if character.isprintable() else "·" for character in text)


def as_text(value: object) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, default=_plain, indent=2))  # noqa: T201 -- the answer


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def say(sentence: str) -> None:
    """Print a sentence."""
    print(sentence)  # noqa: T201 -- the answer
