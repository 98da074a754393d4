"""Commands for the key-encryption key: which one it is, and another one instead."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from notafter.app.rooms import Rooms, kek_source
from notafter.cli.answer import AsJson, recorded, rooms, say, show
from notafter.custody.kek import KekSource
from notafter.domain.audit import Action, Detail
from notafter.domain.errors import Conflict
from notafter.lifecycle import rotation
from notafter.lifecycle.audit import Recorded
from notafter.lifecycle.rotation import Turn

keys_cli = typer.Typer(no_args_is_help=True, help="The key that all others are sealed with.")


@keys_cli.command("show")
def show_keys(as_json: AsJson = False) -> None:
    """List which key seals how many values of what."""
    with rooms() as opened, opened.database.read() as session:
        source = kek_source(opened.settings)
        used = rotation.usage(session)
        rows = [
            {"key": key_id, "where": source.where(key_id), "what": what, "values": number}
            for what, counted in used.items()
            for key_id, number in sorted(counted.items())
        ]
        now = opened.custodian.key_id
    if not as_json:
        say(f"the key is {now}, from {source}")
    show(rows, as_json)


@keys_cli.command("rotate")
def rotate(
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove the files of former keys that nothing is sealed with.")
    ] = False,
) -> None:
    """Exchange the key: seal everything with a new one. Whatever breaks this off, run it again."""
    with rooms() as opened:
        source = kek_source(opened.settings)
        with _alone(source.path.parent):
            turn = rotation.begin(opened.database, opened.custodian, source)
            number = rotation.reseal(opened.database, turn)
            left = rotation.end(_writer(opened, turn), turn)
            say(f"{number} values are sealed with the key {turn.key.id}. {_what_next(turn)}")
            for place in left:
                say(f"opened with no key, and left as it was: {place.table} {place.row}, {place.column}")
            for name in rotation.forget(opened.database, source) if forget else ():
                say(f"{name} is gone: back-ups that need it open no more")


def _writer(opened: Rooms, turn: Turn) -> Recorded:
    said: Detail = {"former": list(turn.former), "source": str(turn.source)}
    return recorded(opened, Action.KEYS_ROTATED, turn.key.id, said)


def _what_next(turn: Turn) -> str:
    source = turn.source
    if source.next_in_file:
        kept = ", ".join(f"{source.path.name}.old-{one}" for one in turn.former)
        return f"The former key is {kept}, for back-ups of before; keep a copy of {source.path} elsewhere."
    return (
        f"Now set {_instead(source)} to what {source.next_name} is, unset {source.next_name},"
        " and restart what runs: with the former key it puts nothing under seal any more."
    )


def _instead(source: KekSource) -> str:
    return "NOTAFTER_KEK" if source.next_text is not None else "NOTAFTER_KEK_COMMAND"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second rotation at this machine out."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Conflict("another rotation is at work here") from error
    finally:
        os.close(handle)
