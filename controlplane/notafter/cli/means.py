"""Commands that make the means: CA accounts, DNS credentials. No secret is an argument."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import AsJson, recorded, rooms, say, show
from notafter.cli.files import private_text, text_of
from notafter.domain.audit import Action
from notafter.domain.budget import Key
from notafter.domain.errors import InvalidInput
from notafter.lifecycle import account, ordering
from notafter.store import accounts
from notafter.store.database import Session, Writer

account_cli = typer.Typer(no_args_is_help=True, help="Accounts at certificate authorities.")
dns_cli = typer.Typer(no_args_is_help=True, help="Credentials of DNS providers.")

_MOST = 1_000_000
_COUNTS = "A number, `none`, or `default`: as its CA has published it."


@account_cli.command("create")
def create_account(  # noqa: PLR0913, PLR0917 -- one parameter an option
    directory: Annotated[str, typer.Option(help="The CA's ACME directory, https://…")],
    name: Annotated[str, typer.Option(help="What you call it.")] = "default",
    bundle: Annotated[Path | None, typer.Option(help="PEM of the roots of the CA's own HTTPS.")] = None,
    root: Annotated[Path | None, typer.Option(help="PEM of the root that what it signs leads to.")] = None,
    email: Annotated[str | None, typer.Option(help="Where the CA can write to.")] = None,
    eab_key_id: Annotated[str | None, typer.Option(help="The key id of an external account.")] = None,
    eab_file: Annotated[Path | None, typer.Option(help="Its HMAC key, mode 0600; else stdin.")] = None,
) -> None:
    """Make an account at a CA; an address that is no ACME directory is refused."""
    pem = text_of(bundle) if bundle else None
    root_pem = text_of(root) if root else None
    external = account.external_account(eab_key_id, _hmac_key(eab_file, asked_for=eab_key_id is not None))
    with rooms() as opened:
        row = account.create_account(
            recorded(opened, Action.ACCOUNT_CREATED, name, {"directory": directory}),
            opened.custodian,
            name,
            directory,
            pem,
            email,
            opened.settings.reach,
            clock(),
            root_pem,
            external,
        )
    say(f"account {row.name} at {row.directory}")


@account_cli.command("limits")
def account_limits(  # noqa: PLR0913, PLR0917 -- one parameter an option
    name: Annotated[str, typer.Argument(help="The account.")] = "default",
    orders: Annotated[str | None, typer.Option(help=f"New orders in 3 hours. {_COUNTS}")] = None,
    domain: Annotated[
        str | None, typer.Option(help=f"Certificates for a registered domain in a week. {_COUNTS}")
    ] = None,
    exact: Annotated[
        str | None, typer.Option(help=f"Certificates for the same names in a week. {_COUNTS}")
    ] = None,
    failed: Annotated[
        str | None, typer.Option(help=f"Failed authorisations of a name in an hour. {_COUNTS}")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set limits of an account, and show all that it keeps."""
    said = {
        Key.ACCOUNT: orders,
        Key.REGISTERED_DOMAIN: domain,
        Key.EXACT_SET: exact,
        Key.FAILED_AUTHORISATION: failed,
    }
    given = {key.value: text for key, text in said.items() if text is not None}
    with rooms() as opened:
        door: Writer = recorded(opened, Action.LIMITS_SET, name, given) if given else opened.database
        with door.write() as session:
            rows = _limits(session, name, said)
    show(rows, as_json)


def _limits(session: Session, name: str, said: Mapping[Key, str | None]) -> list[dict[str, Any]]:
    """Set what was said, and return all that the account keeps."""
    row = accounts.by_name(session, name)
    wishes = {Key(key): count for key, count in row.limits.items()}
    for key, text in said.items():
        _wish(wishes, key, text)
    row = account.set_limits(session, name, wishes)
    return [
        {"limit": limit.name, "count": limit.count, "in": str(limit.span), "own": limit.key in row.limits}
        for limit in ordering.limits_kept(session, row)
    ]


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
    variables = account.parse_variables(private_text(file) if file else sys.stdin.read())
    with rooms() as opened:
        row = account.create_credential(
            recorded(opened, Action.CREDENTIAL_CREATED, name, {"provider": provider}),
            opened.custodian,
            name,
            provider,
            variables,
            clock(),
            propagation_seconds,
        )
    say(f"DNS credential {row.name}: {', '.join(row.variable_names)}")


def _wish(wishes: dict[Key, int | None], key: Key, text: str | None) -> None:
    """Put down what was said of one limit."""
    if text is None:
        return
    if text == "default":
        wishes.pop(key, None)
    elif text == "none":
        wishes[key] = None
    elif text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST:
        wishes[key] = int(text)
    else:
        raise InvalidInput(f"{text!r} is no limit: a number from 1 to {_MOST}, `none` or `default` is")


def _hmac_key(path: Path | None, *, asked_for: bool) -> str | None:
    if path is not None:
        return private_text(path).strip()
    return sys.stdin.read().strip() if asked_for else None
