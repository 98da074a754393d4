"""API tokens of people: made after a login, seen and taken away by their owner and by who administers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from notafter.domain.errors import NotFound
from notafter.domain.user import Right, scopes, token_name
from notafter.lifecycle.login import Visitor, called
from notafter.store import tokens, users
from notafter.store.database import Session
from notafter.store.tables import TokenRow


def make(  # noqa: PLR0913, PLR0917 -- all that a token is
    session: Session, who: Visitor, name: str, wanted: Sequence[Right], life: timedelta, now: datetime
) -> tuple[TokenRow, str]:
    """Make a token for who has logged in, with some of their rights; return it too, to be shown once.

    A token cannot make tokens: who has stolen one would not lose it with the one that is taken away.
    """
    owner = users.get(session, who.user_id or 0)
    text = tokens.fresh()
    row = tokens.add(session, token_name(name), text, now, now + life, scopes(wanted, who.rights), owner)
    return row, text


def visible(session: Session, who: Visitor, after: int, limit: int) -> list[TokenRow]:
    """Return some of the tokens that somebody may see."""
    if Right.ADMINISTER in who.rights:
        return tokens.page(session, after, limit)
    return tokens.page(session, after, limit, owner_id=who.user_id or 0)


def take_away(session: Session, who: Visitor, token_id: int) -> str:
    """Remove a token, and return its name; one of somebody else does not exist for who may not see it."""
    row = tokens.get(session, token_id)
    if Right.ADMINISTER not in who.rights and (row.user_id is None or row.user_id != who.user_id):
        raise NotFound(f"there is no token {token_id}")
    session.delete(row)
    return called(row)
