"""Logging in and out, and one's own password."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, SecretStr

from notafter.api.schema import V1, Input, Output
from notafter.api.service import Address, ServiceDep, VisitorDep
from notafter.domain.login import ACCESS
from notafter.domain.user import LONGEST_PASSWORD, Right
from notafter.lifecycle.login import Granted

router = APIRouter(prefix=f"{V1}/auth", tags=["people"])

Password = Annotated[SecretStr, Field(min_length=1, max_length=LONGEST_PASSWORD)]


class LoginWish(Input):
    """Who wants to come in."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    password: Password


class RefreshWish(Input):
    """The refresh token that came last; it can be used once."""

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=200)]


class PasswordWish(Input):
    """A new password, and the one before."""

    current: Password
    new: Password


class Login(Output):
    """What a login is gone on with; `expires_in` is in seconds (RFC 6749 §5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 -- its kind
    expires_in: int
    refresh_token: str
    #: Nothing else is possible before PUT /auth/password.
    must_change_password: bool


class Me(Output):
    """Who I am here, and what I may do."""

    name: str
    user: int | None
    rights: list[Right]
    must_change_password: bool


@router.post("/login")
def log_in(desk: ServiceDep, address: Address, response: Response, wish: LoginWish) -> Login:
    """Log in with a password; too many wrong ones, for a name or from an address, have to wait."""
    granted = desk.office.log_in(wish.name, wish.password.get_secret_value(), address, desk.clock())
    return _login(granted, response)


@router.post("/refresh")
def refresh(desk: ServiceDep, address: Address, response: Response, wish: RefreshWish) -> Login:
    """Go on with a login; a refresh token that comes twice ends it, for one of two has stolen it."""
    return _login(desk.office.go_on(wish.refresh_token.get_secret_value(), address, desk.clock()), response)


@router.post("/logout", status_code=HTTPStatus.NO_CONTENT)
def log_out(desk: ServiceDep, who: VisitorDep) -> None:
    """End this login: its access and refresh tokens open nothing any more."""
    desk.office.log_out(who, desk.clock())


@router.get("/me")
def me(who: VisitorDep) -> Me:
    """Say who asks, and what they may do."""
    return Me(
        name=who.name,
        user=who.user_id,
        rights=[right for right in Right if right in who.rights],
        must_change_password=who.must_change_password,
    )


@router.put("/password", status_code=HTTPStatus.NO_CONTENT)
def change_password(desk: ServiceDep, who: VisitorDep, wish: PasswordWish) -> None:
    """Set one's own password; all other logins of the same person end."""
    desk.office.change_password(
        who, wish.current.get_secret_value(), wish.new.get_secret_value(), desk.clock()
    )


def _login(granted: Granted, response: Response) -> Login:
    response.headers["Cache-Control"] = "no-store"
    return Login(
        access_token=granted.access_token,
        expires_in=int(ACCESS.total_seconds()),
        refresh_token=granted.refresh_token,
        must_change_password=granted.must_change_password,
    )
