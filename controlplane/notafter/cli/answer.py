"""How the command line answers: a sentence, a table, or JSON."""

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from notafter import settings
from notafter.app import rooms as app
from notafter.app.rooms import Rooms
from notafter.domain.audit import Action, Actor, Detail
from notafter.lifecycle.audit import Ledger, Recorded
from notafter.store.database import Session

#: Who asks, in jobs and in the audit.
COMMAND_LINE = "command line"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def rooms() -> Iterator[Rooms]:
    """Open the rooms for one command."""
    with app.rooms(settings.load()) as opened:
        yield opened


def recorded(opened: Rooms, action: Action, subject: str = "", detail: Detail | None = None) -> Recorded:
    """Return a way to write that puts on record who at this machine did what."""
    actor = Actor(COMMAND_LINE, f"local:{_login_name()}")
    return Recorded(opened.database, Ledger(opened.custodian), app.clock, actor, action, subject, detail)


def note(opened: Rooms, session: Session, action: Action, subject: str, detail: Detail | None = None) -> None:
    """Put on record what was done in this transaction, where it is known only afterwards."""
    actor = recorded(opened, action).actor
    Ledger(opened.custodian).note(session, actor, action, subject, app.clock(), detail)


def change(
    opened: Rooms, action: Action, subject: str = "", detail: Detail | None = None
) -> AbstractContextManager[Session]:
    """Open a transaction in which something is changed; it is put on record with it."""
    return recorded(opened, action, subject, detail).write()


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


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
