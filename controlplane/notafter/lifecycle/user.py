"""People come, change and go; who loses a right loses it at once."""

from datetime import datetime

from notafter.custody import passwords
from notafter.domain.errors import Conflict
from notafter.domain.login import LoginEnd
from notafter.domain.user import Role, user_name
from notafter.store import logins, users
from notafter.store.database import Database, Session
from notafter.store.tables import UserRow

FIRST = "admin"


def first_admin(database: Database, now: datetime) -> str | None:
    """Make the first user where there is none; return the password, to be shown once."""
    with database.read() as session:
        if users.are_there_any(session):
            return None
    with database.write() as session:
        if users.are_there_any(session):
            return None
        return create(session, FIRST, Role.ADMIN, "the first start", now)[1]


def create(
    session: Session, name: str, role: Role, created_by: str, now: datetime
) -> tuple[UserRow, str]:
    """Make a user; return also the password, to be shown once and changed at the first login."""
    checked = user_name(name)
    if users.find(session, checked) is not None:
        raise Conflict(f"there is a user {checked!r} already")
    password = passwords.one_time()
    row = UserRow(
        name=checked,
        role=role,
        password_hash=passwords.hashed(password),
        password_is_one_time=True,
        password_changed_at=now,
        created_at=now,
        created_by=created_by,
    )
    session.add(row)
    session.flush()
    return row, password


def reset_password(session: Session, row: UserRow, now: datetime) -> str:
    """Give a user another password, to be shown once; all logins end."""
    password = passwords.one_time()
    _set_password(session, row, passwords.hashed(password), now, one_time=True)
    return password


def keep_password(session: Session, row: UserRow, hashed: str, login_id: int, now: datetime) -> None:
    """Put a user's own new password on record; all other logins end."""
    _set_password(session, row, hashed, now, one_time=False, but=login_id)


def _set_password(  # noqa: PLR0913 -- all that a password is
    session: Session, row: UserRow, hashed: str, now: datetime, *, one_time: bool, but: int | None = None
) -> None:
    row.password_hash = hashed
    row.password_is_one_time = one_time
    row.password_changed_at = now
    logins.end_all(session, row.id, LoginEnd.PASSWORD_CHANGED, now, but)


def set_role(session: Session, row: UserRow, role: Role) -> None:
    """Make somebody something else; it counts from their next request on."""
    if role is not Role.ADMIN:
        _require_another_admin(session, row)
    row.role = role


def disable(session: Session, row: UserRow, now: datetime) -> None:
    """Shut somebody out: their logins end, their tokens open nothing."""
    _require_another_admin(session, row)
    row.disabled_at = row.disabled_at or now
    logins.end_all(session, row.id, LoginEnd.DISABLED, now)


def enable(row: UserRow) -> None:
    """Let somebody in again."""
    row.disabled_at = None


def _require_another_admin(session: Session, row: UserRow) -> None:
    if row.role is Role.ADMIN and row.disabled_at is None and not users.other_admins(session, row.id):
        raise Conflict(f"{row.name} is the last admin: make somebody else one first")
