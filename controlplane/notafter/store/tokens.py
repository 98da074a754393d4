"""Tokens of the API: stored as hashes, compared in constant time."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from notafter.domain.errors import Conflict, NotAuthenticated, NotFound
from notafter.domain.user import Right
from notafter.store.database import Session
from notafter.store.tables import TokenRow, UserRow

PREFIX = "na_"


def fresh() -> str:
    """Return a new token: 256 bits of chance."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what is stored of a token. It has full entropy: no salt, no slow hash needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def same(token: str, stored: str | None) -> bool:
    """Compare a token with a stored hash, in constant time."""
    return hmac.compare_digest(digest(token), stored or "")


def add(  # noqa: PLR0913, PLR0917 -- all that a token is
    session: Session,
    name: str,
    token: str,
    now: datetime,
    expires_at: datetime | None,
    scopes: Sequence[Right],
    owner: UserRow | None = None,
) -> TokenRow:
    """Put a new token's hash on record."""
    own = TokenRow.user_id == owner.id if owner is not None else TokenRow.user_id.is_(None)
    if session.scalar(select(TokenRow.id).where(TokenRow.name == name, own)):
        raise Conflict(f"there is a token {name!r} already")
    row = TokenRow(
        name=name,
        hash=digest(token),
        created_at=now,
        expires_at=expires_at,
        scopes=[right.value for right in scopes],
        user=owner,
    )
    session.add(row)
    session.flush()
    return row


def check(session: Session, token: str, now: datetime) -> TokenRow:
    """Return whose token it is."""
    row = session.scalar(select(TokenRow).where(TokenRow.hash == digest(token)))
    if row is None or not same(token, row.hash):
        raise NotAuthenticated("this token opens nothing")
    if row.expires_at is not None and row.expires_at <= now:
        raise NotAuthenticated("this token has expired")
    return row


def get(session: Session, token_id: int) -> TokenRow:
    """Return one token."""
    row = session.get(TokenRow, token_id)
    if row is None:
        raise NotFound(f"there is no token {token_id}")
    return row


def by_name(session: Session, name: str) -> TokenRow:
    """Return the token of this name: `ci` of the command line, `alice/ci` of a user."""
    owner, slash, own = name.rpartition("/")
    query = select(TokenRow).where(TokenRow.name == own)
    if slash:
        query = query.join(UserRow).where(UserRow.name == owner)
    else:
        query = query.where(TokenRow.user_id.is_(None))
    row = session.scalar(query)
    if row is None:
        raise NotFound(f"there is no token {name!r}")
    return row


def remove_all(session: Session, owner_id: int) -> None:
    """Remove the tokens of a user."""
    session.execute(delete(TokenRow).where(TokenRow.user_id == owner_id))


def page(session: Session, after: int, limit: int, owner_id: int | None = None) -> list[TokenRow]:
    """Return some tokens by id, of one owner or of all."""
    query = select(TokenRow).where(TokenRow.id > after).order_by(TokenRow.id).limit(limit)
    if owner_id is not None:
        query = query.where(TokenRow.user_id == owner_id)
    return list(session.scalars(query))
