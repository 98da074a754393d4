"""Commands for people and their tokens: for who owns the machine, whom no right holds back."""

from datetime import timedelta
from typing import Annotated

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import COMMAND_LINE, AsJson, change, rooms, say, show
from notafter.domain.audit import Action, Detail
from notafter.domain.user import RIGHTS, Right, Role, scopes, token_name, user_name
from notafter.lifecycle import user
from notafter.store import tokens, users

user_cli = typer.Typer(no_args_is_help=True, help="People who use the API and the console.")
token_cli = typer.Typer(no_args_is_help=True, help="Tokens of the API.")

Name = Annotated[str, typer.Argument(help="Whom.")]
_PAGE = 200


@user_cli.command("create")
def create_user(
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do.")] = Role.VIEWER,
) -> None:
    """Make a user; prints the password that they come in with and change."""
    password, name = user.new_password(), user_name(name)
    with rooms() as opened, change(opened, Action.USER_CREATED, name, {"role": role.value}) as session:
        user.create(session, name, role, password, COMMAND_LINE, clock())
    say(password.text)


@user_cli.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List the people."""
    rows, after = [], 0
    with rooms() as opened, opened.database.read() as session:
        while page := users.page(session, after, _PAGE):
            after = page[-1].id
            rows += [
                {
                    "name": row.name,
                    "role": row.role.value,
                    "disabled": "yes" if row.disabled_at else "no",
                    "last login": row.last_login_at,
                }
                for row in page
            ]
    show(rows, as_json)


@user_cli.command("role")
def set_role(name: Name, role: Annotated[Role, typer.Argument(help="What they become.")]) -> None:
    """Make somebody something else; it counts at once."""
    with rooms() as opened, change(opened, Action.USER_CHANGED, name, {"role": role.value}) as session:
        user.set_role(session, users.by_name(session, name), role)
    say(f"{name} is {role.value}")


@user_cli.command("reset-password")
def reset_password(name: Name) -> None:
    """Give somebody a password to come in with and change; ends all their logins."""
    password = user.new_password()
    with rooms() as opened, change(opened, Action.PASSWORD_RESET, name) as session:
        user.reset_password(session, users.by_name(session, name), password, clock())
    say(password.text)


@user_cli.command("disable")
def disable(name: Name) -> None:
    """Shut somebody out: ends their logins, and their tokens open nothing."""
    with rooms() as opened, change(opened, Action.USER_CHANGED, name, {"disabled": True}) as session:
        user.set_disabled(session, users.by_name(session, name), clock(), disabled=True)
    say(f"{name} is shut out")


@user_cli.command("enable")
def enable(name: Name) -> None:
    """Let somebody in again."""
    with rooms() as opened, change(opened, Action.USER_CHANGED, name, {"disabled": False}) as session:
        user.set_disabled(session, users.by_name(session, name), clock(), disabled=False)
    say(f"{name} may come in")


@user_cli.command("delete")
def delete_user(name: Name) -> None:
    """Remove somebody with their logins and tokens."""
    with rooms() as opened, change(opened, Action.USER_REMOVED, name) as session:
        user.remove(session, users.by_name(session, name))
    say(f"{name} is gone")


@token_cli.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="Whose token it is.")],
    role: Annotated[Role, typer.Option(help="It may do what this role may.")] = Role.OPERATOR,
    scope: Annotated[
        list[Right] | None, typer.Option(help="It may do this and nothing else; may be said again.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="When it ends; else never.")] = None,
) -> None:
    """Make a token of the API that belongs to no user; it is shown once."""
    token, now = tokens.fresh(), clock()
    expires_at = now + timedelta(days=days) if days else None
    wanted = scopes(scope or RIGHTS[role], frozenset(Right))
    said: Detail = {"scopes": [right.value for right in wanted], "days": days}
    with rooms() as opened, change(opened, Action.TOKEN_CREATED, name, said) as session:
        tokens.add(session, token_name(name), token, now, expires_at, wanted)
    print(token)  # noqa: T201 -- shown once, for a person or a pipe


@token_cli.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens, without themselves."""
    rows, after = [], 0
    with rooms() as opened, opened.database.read() as session:
        while page := tokens.page(session, after, _PAGE):
            after = page[-1].id
            rows += [
                {
                    "name": row.name,
                    "owner": row.user.name if row.user else None,
                    "scopes": row.scopes,
                    "expires": row.expires_at,
                    "last use": row.last_used_at,
                }
                for row in page
            ]
    show(rows, as_json)


@token_cli.command("delete")
def delete_token(name: Annotated[str, typer.Argument(help="Which.")]) -> None:
    """Take a token away; it opens nothing from now on."""
    with rooms() as opened, change(opened, Action.TOKEN_REMOVED, name) as session:
        session.delete(tokens.by_name(session, name))
    say(f"the token {name} opens nothing any more")
