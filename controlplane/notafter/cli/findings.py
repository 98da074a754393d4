"""Commands that look: `scan` asks for a look and reports, `findings` says what is known already."""

import socket
import time
from dataclasses import dataclass
from typing import Annotated

import typer

from notafter.app.rooms import Rooms, clock
from notafter.cli import report
from notafter.cli.answer import COMMAND_LINE, AsJson, change, rooms, say
from notafter.cli.report import Form, Report
from notafter.domain.audit import Action
from notafter.domain.errors import Conflict, InvalidInput, RunnerError
from notafter.domain.finding import Kind, Level
from notafter.domain.job import OPEN_JOB_STATES, JobState, Subject
from notafter.domain.names import inventory_name
from notafter.lifecycle import findings, request
from notafter.store import items, jobs, servers
from notafter.store.findings import Wanted

cli = typer.Typer()

#: Of so many servers of one wish the names are in the audit.
_NAMED = 100
_POLL_SECONDS = 0.3
#: Who asks on the command line would rather wait than read what was: a fleet of many thousand servers.
_ROUNDS = 10_000
_CONNECT_SECONDS = 3.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not bound

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV that a spreadsheet takes as text.")]


@cli.command()
def scan(
    names: Annotated[list[str] | None, typer.Argument(metavar="SERVER")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end and report; else only queue it.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds to wait; else a job's longest.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Look at these servers, or at the whole inventory, and report what is there and what is wrong."""
    form, wanted = _form(as_json, as_csv), [inventory_name(name) for name in names or []]
    with rooms() as opened:
        if wait:
            _require_server(opened)
        with change(
            opened, Action.SCAN_ASKED, "", {"servers": wanted[:_NAMED], "number": len(wanted)}
        ) as session:
            job_id = request.scan(session, wanted, COMMAND_LINE, clock()).id
        if not wait:
            say(f"job {job_id} will scan")
            return
        ended = _wait(opened, job_id, timeout or opened.settings.job_timeout_seconds)
        findings.refresh(opened.database, clock(), _ROUNDS)
        with opened.database.read() as session:
            found = report.gather(session, clock(), ended.servers)
    report.show(found, form)
    if ended.state is not JobState.SUCCEEDED:
        raise Conflict(f"job {job_id} {ended.state}: {ended.message}")


@cli.command("findings")
def list_findings(  # noqa: PLR0913, PLR0917 -- one parameter a filter
    server: Annotated[str | None, typer.Option(help="Of this server.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Of this kind.")] = None,
    level: Annotated[Level | None, typer.Option(help="Of this level.")] = None,
    service: Annotated[str | None, typer.Option(help="Of this kind of server, such as nginx.")] = None,
    text: Annotated[str | None, typer.Option(help="With this text in them.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List what is wrong, what expires and what nobody manages, as far as it is known."""
    form = _form(as_json, as_csv)
    wanted = Wanted(server, kind, level, service, text)
    with rooms() as opened:
        findings.refresh(opened.database, clock(), _ROUNDS)
        with opened.database.read() as session:
            if server is not None:
                servers.by_name(session, server)
            found = findings.everything(session, clock(), wanted)
    report.show(Report(findings=found), form)


def _form(as_json: bool, as_csv: bool) -> Form:
    if as_json and as_csv:
        raise InvalidInput("--json and --csv are two forms: choose one")
    return Form.JSON if as_json else Form.CSV if as_csv else Form.TEXT


@dataclass(frozen=True)
class _Ended:
    """How a job ended, and which servers it was about; none: all."""

    state: JobState
    message: str | None
    servers: frozenset[str] | None


def _require_server(opened: Rooms) -> None:
    """Refuse to wait for nobody: a serving process carries jobs out, this command only asks."""
    settings = opened.settings
    address = (_EVERYWHERE.get(settings.host, settings.host), settings.port)
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise RunnerError(
            f"no control plane answers at {address[0]} port {address[1]} to carry the scan out:"
            " start `notafter serve`, or queue it with --no-wait",
        ) from error


def _wait(opened: Rooms, job_id: int, seconds: float) -> _Ended:
    deadline = time.monotonic() + seconds
    while (ended := _ended(opened, job_id)) is None:
        if time.monotonic() > deadline:
            raise RunnerError(
                f"job {job_id} has not ended within {seconds:g} s: `notafter jobs` shows how it stands,"
                " `notafter findings` what is known by then",
            )
        time.sleep(_POLL_SECONDS)
    if ended.state is JobState.CANCELLED:
        raise RunnerError(f"job {job_id} was not carried out: {ended.message}")
    return ended


def _ended(opened: Rooms, job_id: int) -> _Ended | None:
    with opened.database.read() as session:
        job = jobs.get(session, job_id)
        if job.state in OPEN_JOB_STATES:
            return None
        own = items.of_job(session, job_id, Subject.SERVER)
        rows = [item.server for item in own if item.server is not None]
        rows += [servers.get(session, row.same_as_id) for row in rows if row.same_as_id is not None]
        names = frozenset(row.name for row in rows)
        return _Ended(job.state, job.message, None if job.whole_fleet else names)
