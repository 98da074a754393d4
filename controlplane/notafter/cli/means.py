"""Commands that make the means: API tokens, CA accounts, DNS credentials. No secret is an argument."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import rooms, say
from notafter.domain.errors import InvalidInput
from notafter.lifecycle import account
from notafter.store import tokens

token_cli = typer.Typer(no_args_is_help=True, help="Tokens of the API.")
account_cli = typer.Typer(no_args_is_help=True, help="Accounts at certificate authorities.")
dns_cli = typer.Typer(no_args_is_help=True, help="Credentials of DNS providers.")

_PRIVATE = 0o077


@token_cli.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="Whose token it is.")],
    days: Annotated[int | None, typer.Option(min=1, help="When it ends; else never.")] = None,
) -> None:
    """Make a token of the API; it is shown once."""
    token, now = tokens.fresh(), clock()
    expires_at = now + timedelta(days=days) if days else None
    with rooms() as opened, opened.database.write() as session:
        tokens.add(session, name, token, now, expires_at)
    print(token)  # noqa: T201 -- shown once, for a person or a pipe


@account_cli.command("create")
def create_account(
    directory: Annotated[str, typer.Option(help="The CA's ACME directory, https://…")],
    name: Annotated[str, typer.Option(help="What you call it.")] = "default",
    bundle: Annotated[Path | None, typer.Option(help="PEM of the roots of the CA's own HTTPS.")] = None,
    email: Annotated[str | None, typer.Option(help="Where the CA can write to.")] = None,
) -> None:
    """Make an account at a CA; an address that is no ACME directory is refused."""
    pem = _text_of(bundle) if bundle else None
    with rooms() as opened:
        row = account.create_account(opened.database, opened.custodian, name, directory, pem, email, clock())
    say(f"account {row.name} at {row.directory}")


@dns_cli.command("create")
def create_dns(
    provider: Annotated[str, typer.Option(help="acme.sh's hook, such as dns_knot.")],
    name: Annotated[str, typer.Option(help="What you call it.")] = "default",
    file: Annotated[Path | None, typer.Option(help="NAME=value a line, mode 0600; else stdin.")] = None,
    propagation_seconds: Annotated[
        int | None,
        typer.Option(help="When its records are seen everywhere; else its own servers are asked."),
    ] = None,
) -> None:
    """Keep a DNS provider's variables under seal; they are read from a file or standard input."""
    variables = account.parse_variables(_private_text(file) if file else sys.stdin.read())
    with rooms() as opened:
        row = account.create_credential(
            opened.database, opened.custodian, name, provider, variables, clock(), propagation_seconds
        )
    say(f"DNS credential {row.name}: {', '.join(row.variable_names)}")


def _text_of(path: Path) -> str:
    try:
        return path.expanduser().read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def _private_text(path: Path) -> str:
    if path.exists() and path.stat().st_mode & _PRIVATE:
        raise InvalidInput(f"{path} can be read by others: chmod 0600 {path}")
    return _text_of(path)
