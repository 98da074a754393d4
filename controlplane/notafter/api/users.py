"""People: who there is and what they are. For those who administer them."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from notafter.api.schema import V1, After, Id, Input, Limit, Output, Page
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action
from notafter.domain.errors import InvalidInput
from notafter.domain.user import Role
from notafter.lifecycle import user
from notafter.store import users
from notafter.store.tables import UserRow

router = APIRouter(prefix=f"{V1}/users", tags=["people"])


class UserWish(Input):
    """Somebody new."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    role: Role


class UserChange(Input):
    """What is to be different; what is left out stays."""

    role: Role | None = None
    #: Shut out: logins end, tokens open nothing, until it is taken back.
    disabled: bool | None = None


class User(Output):
    """A person."""

    id: int
    name: str
    role: Role
    disabled: bool
    must_change_password: bool
    password_changed_at: datetime
    created_at: datetime
    created_by: str
    last_login_at: datetime | None


class OneTimePassword(Output):
    """A password that is shown this once; nothing but another one can be set with it."""

    one_time_password: str


class NewUser(User, OneTimePassword):
    """Somebody new, with the password that they come in with."""


@router.get("")
def page(desk: ServiceDep, after: After = 0, limit: Limit = 50) -> Page[User]:
    """List the people."""
    with desk.database.read() as session:
        rows = users.page(session, after, limit + 1)
        shown = [User(**_shown(row)) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.post("", status_code=HTTPStatus.CREATED)
def create(desk: ServiceDep, who: VisitorDep, response: Response, wish: UserWish) -> NewUser:
    """Make a user; the answer has a password to be changed at the first login."""
    response.headers["Cache-Control"] = "no-store"
    password = user.new_password()
    with desk.database.write() as session:
        row = user.create(session, wish.name, wish.role, password, who.name, desk.clock())
        desk.note(session, who, Action.USER_CREATED, row.name, {"id": row.id, "role": row.role.value})
        return NewUser(**_shown(row), one_time_password=password.text)


@router.get("/{user_id}")
def detail(desk: ServiceDep, user_id: Id) -> User:
    """Show one person."""
    with desk.database.read() as session:
        return User(**_shown(users.get(session, user_id)))


@router.patch("/{user_id}")
def change(desk: ServiceDep, who: VisitorDep, user_id: Id, wish: UserChange) -> User:
    """Give somebody another role, shut them out or let them in; it counts at once."""
    said = wish.model_dump(mode="json", exclude_none=True)
    if not said:
        raise InvalidInput("nothing is to be changed: say `role` or `disabled`")
    with desk.database.write() as session:
        row = users.get(session, user_id)
        desk.note(session, who, Action.USER_CHANGED, row.name, {"id": row.id, **said})
        if wish.role is not None:
            user.set_role(session, row, wish.role)
        if wish.disabled is not None:
            user.set_disabled(session, row, desk.clock(), disabled=wish.disabled)
        return User(**_shown(row))


@router.delete("/{user_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(desk: ServiceDep, who: VisitorDep, user_id: Id) -> None:
    """Remove somebody with their logins and tokens; what they did stays on record under their name."""
    with desk.database.write() as session:
        row = users.get(session, user_id)
        desk.note(session, who, Action.USER_REMOVED, row.name, {"id": row.id})
        user.remove(session, row)


@router.post("/{user_id}/password")
def reset_password(desk: ServiceDep, who: VisitorDep, response: Response, user_id: Id) -> OneTimePassword:
    """Give somebody a password to come in with and change; all their logins end."""
    response.headers["Cache-Control"] = "no-store"
    password = user.new_password()
    with desk.database.write() as session:
        row = users.get(session, user_id)
        desk.note(session, who, Action.PASSWORD_RESET, row.name, {"id": row.id})
        user.reset_password(session, row, password, desk.clock())
    return OneTimePassword(one_time_password=password.text)


def _shown(row: UserRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "disabled": row.disabled_at is not None,
        "must_change_password": row.password_is_one_time,
        "password_changed_at": row.password_changed_at,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "last_login_at": row.last_login_at,
    }
