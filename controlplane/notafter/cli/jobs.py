"""Commands about a single job: end it before its time, try again what it has not brought about."""

from typing import Annotated

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import COMMAND_LINE, change, note, rooms, say
from notafter.domain.audit import Action
from notafter.domain.job import JobState
from notafter.lifecycle import cancel, retry

cli = typer.Typer()

Number = Annotated[int, typer.Argument(metavar="JOB", min=1, max=2**31 - 1)]


@cli.command("cancel")
def cancel_command(
    job: Number,
    reason: Annotated[str, typer.Option(help="Why; it is shown with the job.")] = "no reason was given",
) -> None:
    """End a job before its time: one that waits at once, one that runs as soon as it can be in order."""
    with (
        rooms() as opened,
        change(opened, Action.CANCELLING_ASKED, f"job-{job}", {"reason": reason}) as session,
    ):
        ended = cancel.cancel(session, job, COMMAND_LINE, reason, clock()).state is JobState.CANCELLED
    say(f"job {job} is cancelled" if ended else f"job {job} is asked to end")


@cli.command("retry")
def retry_command(job: Number) -> None:
    """Try again what a job has not brought about."""
    with rooms() as opened, opened.database.write() as session:
        found = retry.retry(session, job, COMMAND_LINE, clock())
        numbers = [str(row.id) for row in found.jobs]
        note(opened, session, Action.RETRY_ASKED, f"job-{job}", {"jobs": numbers})
    say(f"tried again by job {' and '.join(numbers)}")
    for one in found.omitted:
        say(f"not tried again: {one.what}: {one.why}")
