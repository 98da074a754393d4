"""API tokens: shown once, and never more than their owner may."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from notafter.api.schema import V1, After, Id, Input, Limit, Output, Page
from notafter.api.service import ServiceDep, VisitorDep
from notafter.domain.audit import Action, Detail
from notafter.domain.user import Right
from notafter.lifecycle import token
from notafter.store.tables import TokenRow

router = APIRouter(prefix=f"{V1}/tokens", tags=["people"])

_LONGEST_DAYS = 366


class TokenWish(Input):
    """A new token of one's own."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    scopes: Annotated[list[Right], Field(min_length=1, max_length=len(Right))]
    days: Annotated[int, Field(ge=1, le=_LONGEST_DAYS)] = 90


class Token(Output):
    """A token, without itself."""

    id: int
    name: str
    #: Its user; one that was made on the command line has none.
    owner: str | None
    scopes: list[Right]
    created_at: datetime
    expires_at: datetime | None
    #: To the minute.
    last_used_at: datetime | None


class NewToken(Token):
    """A token with itself: this is the only time."""

    token: str


@router.get("")
def page(desk: ServiceDep, who: VisitorDep, after: After = 0, limit: Limit = 50) -> Page[Token]:
    """List one's own tokens; who administers people sees all."""
    with desk.database.read() as session:
        rows = token.visible(session, who, after, limit + 1)
        shown = [Token(**_shown(row)) for row in rows[:limit]]
    return Page(items=shown, next=shown[-1].id if len(rows) > limit else None)


@router.post("", status_code=HTTPStatus.CREATED)
def create(desk: ServiceDep, who: VisitorDep, response: Response, wish: TokenWish) -> NewToken:
    """Make a token of one's own, after logging in with a password."""
    response.headers["Cache-Control"] = "no-store"
    said: Detail = {"scopes": [scope.value for scope in wish.scopes], "days": wish.days}
    with desk.change(who, Action.TOKEN_CREATED, wish.name, said) as session:
        row, text = token.make(session, who, wish.name, wish.scopes, timedelta(days=wish.days), desk.clock())
        return NewToken(**_shown(row), token=text)


@router.delete("/{token_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(desk: ServiceDep, who: VisitorDep, token_id: Id) -> None:
    """Take a token away; it opens nothing from now on."""
    with desk.database.write() as session:
        name = token.take_away(session, who, token_id)
        desk.note(session, who, Action.TOKEN_REMOVED, name, {"id": token_id})


def _shown(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "owner": row.user.name if row.user else None,
        "scopes": row.scopes,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
    }
