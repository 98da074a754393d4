"""All commands together, and how each one ends."""

import sys

import typer

from notafter import __version__, logs, settings
from notafter.app.rooms import database
from notafter.cli import audit, findings, jobs, keys, lists, means, people, wishes
from notafter.cli.answer import as_text, say
from notafter.domain.errors import NotafterError

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Automated TLS certificate life-cycle for server fleets.",
)
cli.add_typer(findings.cli)
cli.add_typer(wishes.cli)
cli.add_typer(jobs.cli)
cli.add_typer(lists.cli)
cli.add_typer(audit.audit_cli, name="audit")
cli.add_typer(keys.keys_cli, name="keys")
cli.add_typer(people.user_cli, name="user")
cli.add_typer(people.token_cli, name="token")
cli.add_typer(means.account_cli, name="account")
cli.add_typer(means.dns_cli, name="dns")

_FAILED = 1


@cli.command()
def serve() -> None:
    """Run the scheduler, the workers and the API until SIGTERM."""
    from notafter.app.serve import serve as run  # noqa: PLC0415 -- half a second no other command needs

    run(settings.load())


@cli.command()
def migrate() -> None:
    """Bring the database up to this program's schema."""
    say(f"the database is at revision {database(settings.load()).migrate()}")


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    from notafter.api.application import assemble  # noqa: PLC0415 -- half a second no other command needs

    as_text(assemble().openapi())


@cli.command()
def version() -> None:
    """Print the version."""
    say(__version__)


def main() -> None:
    """Run a command; what we can name ends in one line and exit code 1."""
    logs.configure()
    try:
        cli()
    except NotafterError as error:
        print(f"notafter: {error}", file=sys.stderr)  # noqa: T201 -- the one line
        sys.exit(_FAILED)
