"""Commands for the audit: is it as it was written, and what does it say."""

from enum import StrEnum
from typing import Annotated

import typer

from notafter import __version__
from notafter.cli.answer import rooms, say
from notafter.domain.audit import Entry, cef
from notafter.domain.errors import AuditBroken
from notafter.lifecycle.audit import Ledger
from notafter.store import audit
from notafter.store.database import Database

audit_cli = typer.Typer(no_args_is_help=True, help="Who did what, when and from where.")


class Form(StrEnum):
    """How entries are written."""

    JSON = "json"
    CEF = "cef"


@audit_cli.command("verify")
def verify(
    anchor: Annotated[
        str | None, typer.Option(help="What an earlier check said of the last entry; must still be there.")
    ] = None,
) -> None:
    """Follow the chain: an entry that was changed, removed or put in ends it, and this with 1."""
    with rooms() as opened, opened.database.read() as session:
        verdict = Ledger(opened.custodian).check(session, anchor)
    if verdict.wrong:
        raise AuditBroken(f"{verdict.wrong}; the {verdict.number} before that are as they were written")
    say(f"{verdict.number} entries are as they were written; keep this elsewhere: {verdict.anchor}")


@audit_cli.command("export")
def export(
    form: Annotated[Form, typer.Option(help="JSON lines, or CEF for a SIEM.")] = Form.JSON,
    after: Annotated[int, typer.Option(min=0, help="Only entries behind this number.")] = 0,
) -> None:
    """Print the entries, one a line, the oldest first."""
    with rooms() as opened:
        while found := _some(opened.database, after):
            after = found[-1].number
            for entry in found:
                say(_line(entry, form))


def _some(database: Database, after: int) -> list[Entry]:
    """Return the next entries; who reads what is printed may be slow, so that no transaction stays open."""
    with database.read() as session:
        return [entry for entry, _ in audit.some(session, after)]


def _line(entry: Entry, form: Form) -> str:
    return entry.text() if form is Form.JSON else cef(entry, __version__)
