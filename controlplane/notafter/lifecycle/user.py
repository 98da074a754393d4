"""People come, change and go; who loses a right loses it at once."""

from dataclasses import dataclass, field
from datetime import datetime

from notafter.custody import passwords
from notafter.domain.audit import Action, Actor
from notafter.domain.errors import Conflict
from notafter.domain.login import LoginEnd
from notafter.domain.user import Guessing, Role, familiar, site, user_name
from notafter.lifecycle.audit import Ledger
from notafter.store import guesses, logins, tokens, users
from notafter.store.database import Database, Session
from notafter.store.tables import UserRow

FIRST = "admin"
_START = "the first start"


@dataclass(frozen=True)
class OneTime:
    """A password to be shown once and changed at the first login, and what is stored of it."""

    text: str = field(repr=False)
    hash: str = field(repr=False)


def new_password() -> OneTime:
    """Return a password that somebody comes in with; it takes a moment: make it before a transaction."""
    text = passwords.one_time()
    return OneTime(text, passwords.hashed(text))


def first_admin(database: Database, ledger: Ledger, now: datetime) -> OneTime | None:
    """Make the first user where there is none; return the password."""
    with database.read() as session:
        if users.are_there_any(session):
            return None
    password = new_password()
    with database.write() as session:
        if users.are_there_any(session):
            return None
        row = create(session, FIRST, Role.ADMIN, password, _START, now)
        said = {"id": row.id, "role": row.role.value}
        ledger.note(session, Actor(_START, "here"), Action.USER_CREATED, row.name, now, said)
        return password


def create(  # noqa: PLR0913, PLR0917 -- all that a user is
    session: Session, name: str, role: Role, password: OneTime, created_by: str, now: datetime
) -> UserRow:
    """Make a user."""
    checked = user_name(name)
    if users.find(session, checked) is not None:
        raise Conflict(f"there is a user {checked!r} already")
    row = UserRow(
        name=checked,
        role=role,
        password_hash=password.hash,
        password_is_one_time=True,
        password_changed_at=now,
        created_at=now,
        created_by=created_by,
    )
    session.add(row)
    session.flush()
    return row


def reset_password(session: Session, row: UserRow, password: OneTime, now: datetime) -> None:
    """Give a user a password that somebody else knows; all logins end, and nobody waits any more."""
    row.password_hash, row.password_is_one_time, row.password_changed_at = password.hash, True, now
    logins.end_all(session, row.id, LoginEnd.PASSWORD_CHANGED, now)
    sites = {site(address) for address in logins.addresses(session, row.id)}
    for who in {row.name, *(familiar(row.name, one) for one in sites)}:
        guesses.forget(session, Guessing.ACCOUNT, who)


def keep_password(session: Session, row: UserRow, hashed: str, login_id: int, now: datetime) -> None:
    """Put a user's own new password on record; all logins but this one end."""
    row.password_hash, row.password_is_one_time, row.password_changed_at = hashed, False, now
    logins.end_all(session, row.id, LoginEnd.PASSWORD_CHANGED, now, but=login_id)


def set_role(session: Session, row: UserRow, role: Role) -> None:
    """Make somebody something else; it counts from their next request on."""
    if role is not Role.ADMIN:
        _require_another_admin(session, row)
    row.role = role


def set_disabled(session: Session, row: UserRow, now: datetime, *, disabled: bool) -> None:
    """Shut somebody out, whose logins end and whose tokens open nothing, or let them in again."""
    if not disabled:
        row.disabled_at = None
        return
    _require_another_admin(session, row)
    row.disabled_at = row.disabled_at or now
    logins.end_all(session, row.id, LoginEnd.DISABLED, now)


def remove(session: Session, row: UserRow) -> None:
    """Remove somebody with their logins and tokens."""
    _require_another_admin(session, row)
    logins.remove_all(session, row.id)
    tokens.remove_all(session, row.id)
    session.delete(row)


def _require_another_admin(session: Session, row: UserRow) -> None:
    if row.role is Role.ADMIN and row.disabled_at is None and not users.other_admins(session, row.id):
        raise Conflict(f"{row.name} is the last admin: make somebody else one first")
