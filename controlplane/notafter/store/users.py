"""People, by id and by name."""

from sqlalchemy import func, select

from notafter.domain.errors import NotFound
from notafter.domain.user import Role
from notafter.store.database import Session
from notafter.store.tables import UserRow


def get(session: Session, user_id: int) -> UserRow:
    """Return one user."""
    row = session.get(UserRow, user_id)
    if row is None:
        raise NotFound(f"there is no user {user_id}")
    return row


def by_name(session: Session, name: str) -> UserRow:
    """Return the user of this name."""
    row = find(session, name)
    if row is None:
        raise NotFound(f"there is no user {name!r}")
    return row


def find(session: Session, name: str) -> UserRow | None:
    """Return the user of this name, if there is one."""
    return session.scalar(select(UserRow).where(UserRow.name == name))


def page(session: Session, after: int, limit: int) -> list[UserRow]:
    """Return some users, by id."""
    return list(session.scalars(select(UserRow).where(UserRow.id > after).order_by(UserRow.id).limit(limit)))


def are_there_any(session: Session) -> bool:
    """Tell whether there is anybody."""
    return session.scalar(select(UserRow.id).limit(1)) is not None


def other_admins(session: Session, user_id: int) -> int:
    """Return how many admins there are besides one user who could still log in."""
    query = select(func.count()).where(
        UserRow.role == Role.ADMIN, UserRow.disabled_at.is_(None), UserRow.id != user_id
    )
    return session.scalar(query) or 0
