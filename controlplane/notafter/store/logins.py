"""Logins and their refresh tokens, which are stored as hashes."""

from datetime import datetime

from sqlalchemy import ColumnElement, delete, select, update

from notafter.domain.login import LoginEnd
from notafter.store import tokens
from notafter.store.database import Session
from notafter.store.tables import LoginRow, RefreshTokenRow


def get(session: Session, login_id: int) -> LoginRow | None:
    """Return one login, if it was not forgotten."""
    return session.get(LoginRow, login_id)


def refresh_token(session: Session, token: str) -> RefreshTokenRow | None:
    """Return what is on record of a refresh token."""
    return session.scalar(select(RefreshTokenRow).where(RefreshTokenRow.hash == tokens.digest(token)))


def add_refresh_token(session: Session, login: LoginRow, token: str, now: datetime) -> None:
    """Put the hash of a login's next refresh token on record."""
    session.add(RefreshTokenRow(login_id=login.id, hash=tokens.digest(token), created_at=now))


def end_all(session: Session, user_id: int, end: LoginEnd, now: datetime, but: int | None = None) -> None:
    """End the logins of a user, but for one."""
    session.execute(
        update(LoginRow)
        .where(LoginRow.user_id == user_id, LoginRow.ended_at.is_(None), LoginRow.id != (but or 0))
        .values(ended_at=now, end=end)
    )


def addresses(session: Session, user_id: int) -> set[str]:
    """Return from where a user has logged in, as far as it is remembered."""
    return set(session.scalars(select(LoginRow.address).where(LoginRow.user_id == user_id).distinct()))


def remove_all(session: Session, user_id: int) -> None:
    """Remove the logins of a user, and all that they are gone on with."""
    _remove(session, LoginRow.user_id == user_id)


def forget(session: Session, before: datetime) -> None:
    """Forget the logins that ended, or ran out, before this."""
    _remove(session, (LoginRow.ended_at < before) | (LoginRow.expires_at < before))


def _remove(session: Session, which: ColumnElement[bool]) -> None:
    over = select(LoginRow.id).where(which)
    session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.login_id.in_(over)))
    session.execute(delete(LoginRow).where(which))
