"""Who comes in, how long they stay, and what they may do: passwords, refresh and access tokens."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

from notafter.custody import access_tokens, passwords
from notafter.custody.access_tokens import Bearer
from notafter.custody.custodian import Custodian, Place
from notafter.domain.audit import Action, Actor
from notafter.domain.errors import (
    DatabaseNotWritable,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooManyAttempts,
)
from notafter.domain.login import LoginEnd, expires_at, key_is_due, key_is_over
from notafter.domain.user import (
    FORGOTTEN_AFTER,
    RIGHTS,
    Guessing,
    Right,
    blocked_until,
    check_password,
    familiar,
    remaining,
    site,
)
from notafter.lifecycle import user
from notafter.lifecycle.audit import Ledger
from notafter.store import guesses, logins, signing_keys, tokens, users
from notafter.store.database import Database, Session
from notafter.store.guesses import Counted
from notafter.store.tables import LoginRow, SigningKeyRow, TokenRow, UserRow

_WRONG = "the name or the password is wrong"
_OVER = "this login has ended: log in again"
#: How exactly the last use of a token or a login is known.
_USE = timedelta(minutes=1)
_NAME_LIMIT = 64
#: On record for whoever gives a name that nobody has: it may be a password in the wrong field.
_STRANGER = "(unknown)"


@dataclass(frozen=True)
class Visitor:
    """Who asks, and what they may do."""

    name: str
    rights: frozenset[Right]
    user_id: int | None = None
    login_id: int | None = None
    must_change_password: bool = False
    address: str = "unknown"
    unnoted_token: int | None = None

    @property
    def actor(self) -> Actor:
        """Who is put on record for what they do."""
        return Actor(self.name, self.address)


@dataclass(frozen=True)
class Granted:
    """What somebody who has logged in is given."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    must_change_password: bool


@dataclass(frozen=True)
class Office:
    """What it takes to let somebody in."""

    database: Database
    custodian: Custodian

    def log_in(self, name: str, password: str, address: str, now: datetime) -> Granted:
        """Let somebody in who knows their password.

        A try is counted before it is looked at, so that many at once are no more than many in a row.
        """
        name = name.strip().lower()[:_NAME_LIMIT]
        with self.database.read() as session:
            found = users.find(session, name)
            known = found is not None
            who = _counted_as(session, found, name, address)
        counted = self._count(who, address, now)
        with self.database.read() as session:
            found = users.find(session, name)
            stored = found.password_hash if found is not None and found.disabled_at is None else None
        if not passwords.matches(stored, password):
            self._refuse(name if known else _STRANGER, address, now)
        fresh = passwords.hashed(password) if stored and passwords.is_outdated(stored) else None
        with self.database.write() as session:
            row = users.find(session, name)
            if row is None or row.disabled_at is not None or row.password_hash != stored:
                raise NotAuthenticated("the password was changed meanwhile: try again")
            if fresh is not None:
                row.password_hash = fresh
            _uncount(session, counted)
            guesses.forget(session, Guessing.ACCOUNT, who)
            row.last_login_at = now
            logins.forget(session, now - FORGOTTEN_AFTER)
            login = LoginRow(
                user=row, address=address, began_at=now, last_used_at=now, expires_at=expires_at(now, now)
            )
            session.add(login)
            session.flush()
            self._note(session, Actor(name, address), Action.LOGGED_IN, now)
            return self._granted(session, login, now)

    def _refuse(self, name: str, address: str, now: datetime) -> NoReturn:
        with self.database.write() as session:
            self._note(session, Actor(name, address), Action.LOGIN_REFUSED, now)
        raise NotAuthenticated(_WRONG)

    def _note(self, session: Session, actor: Actor, action: Action, now: datetime) -> None:
        Ledger(self.custodian).note(session, actor, action, actor.name, now)

    def go_on(self, token: str, address: str, now: datetime) -> Granted:
        """Take a refresh token for the next one; one that comes twice ends the login."""
        with self.database.read() as session:
            if logins.refresh_token(session, token) is None:  # strangers do not keep writers waiting
                raise NotAuthenticated(_OVER)
        with self.database.write() as session:
            found = logins.refresh_token(session, token)
            login = found.login if found is not None else None
            if found is None or login is None or not _is_open(login, now):
                raise NotAuthenticated(_OVER)
            if found.used_at is None:
                found.used_at = now
                login.last_used_at = now
                login.expires_at = expires_at(login.began_at, now)
                return self._granted(session, login, now)
            login.ended_at, login.end = now, LoginEnd.REUSED
            self._note(session, Actor(login.user.name, address), Action.LOGIN_STOLEN, now)
        raise NotAuthenticated(f"{_OVER} (its refresh token was used before)")

    def change_password(self, visitor: Visitor, current: str, new: str, now: datetime) -> None:
        """Set somebody's own password, who must know the one before."""
        login_id = _login_of(visitor)
        with self.database.read() as session:
            row = users.get(session, visitor.user_id or 0)
            name, stored = row.name, row.password_hash
        check_password(new, name)
        if current == new:
            raise InvalidInput("the new password is the current one: take another")
        counted = self._count(f"login {login_id}", visitor.address, now)
        if not passwords.matches(stored, current):
            with self.database.write() as session:
                self._note(session, visitor.actor, Action.PASSWORD_REFUSED, now)
            raise InvalidInput("the current password is wrong")
        hashed = passwords.hashed(new)
        with self.database.write() as session:
            row = users.by_name(session, name)
            if row.password_hash != stored:
                raise NotAuthenticated("the password was changed meanwhile: log in again")
            user.keep_password(session, row, hashed, login_id, now)
            self._note(session, visitor.actor, Action.PASSWORD_CHANGED, now)
            _uncount(session, counted)

    def log_out(self, visitor: Visitor, now: datetime) -> None:
        """End a login."""
        login_id = _login_of(visitor)
        with self.database.write() as session:
            login = logins.get(session, login_id)
            if login is not None and login.ended_at is None:
                login.ended_at, login.end = now, LoginEnd.LOGGED_OUT
                self._note(session, visitor.actor, Action.LOGGED_OUT, now)

    def visitor(self, token: str, now: datetime) -> Visitor:
        """Return whose token it is, an access token or an API token, and what they may do now.

        Nothing is written: where `unnoted_token` says so, `note_use` is to be called once there is time.
        """
        if token.startswith(tokens.PREFIX):
            return self._machine(token, now)
        with self.database.read() as session:
            bearer = access_tokens.read(token, lambda key: self._key(session, key), now)
            login = logins.get(session, bearer.login_id)
            if login is None or login.user_id != bearer.user_id or not _is_open(login, now):
                raise NotAuthenticated(_OVER)
            return _person(login)

    def _machine(self, token: str, now: datetime) -> Visitor:
        with self.database.read() as session:
            row = tokens.check(session, token, now)
            stale = row.last_used_at is None or now - row.last_used_at >= _USE
            return Visitor(called(row), _rights(row), row.user_id, unnoted_token=row.id if stale else None)

    def note_use(self, token_id: int, now: datetime) -> None:
        """Put down when a token was used last."""
        with suppress(DatabaseNotWritable, NotFound), self.database.write() as session:
            tokens.get(session, token_id).last_used_at = now

    def _count(self, who: str, address: str, now: datetime) -> list[Counted]:
        """Count a try for the account and for the address; refuse it where there were too many."""
        whose = [(Guessing.ACCOUNT, who), (Guessing.ADDRESS, site(address))]
        with self.database.write() as session:
            for kind, of in whose:
                row = guesses.get(session, kind, of)
                failures = remaining(kind, row.failures, row.last_at, now) if row else 0
                until = blocked_until(kind, failures, row.last_at) if row else now
                if until > now:
                    seconds = int((until - now).total_seconds()) + 1
                    raise TooManyAttempts(f"too many wrong passwords: try again in {seconds} s", seconds)
            return [guesses.count(session, kind, of, now) for kind, of in whose]

    def _granted(self, session: Session, login: LoginRow, now: datetime) -> Granted:
        signing = self._signing_key(session, now)
        key = self.custodian.open(signing.sealed_secret, _place(signing))
        refresh = tokens.fresh()
        logins.add_refresh_token(session, login, refresh, now)
        bearer = Bearer(login.user_id, login.id)
        access = access_tokens.sign(bearer, signing.key, key, now)
        return Granted(access, refresh, login.user.password_is_one_time)

    def _signing_key(self, session: Session, now: datetime) -> SigningKeyRow:
        """Return the key that signs; now and then a new one takes over, and old ones are forgotten."""
        newest = signing_keys.newest(session)
        if newest is not None and not key_is_due(newest.created_at, now):
            return newest
        if newest is not None:
            newest.replaced_at = now
        for row in signing_keys.older(session):
            if row.replaced_at is not None and key_is_over(row.replaced_at, now):
                session.delete(row)
        made = signing_keys.add(session, now)
        made.sealed_secret = self.custodian.seal(access_tokens.make_key(), _place(made))
        return made

    def _key(self, session: Session, name: str) -> bytes | None:
        row = signing_keys.by_key(session, name)
        return self.custodian.open(row.sealed_secret, _place(row)) if row else None


def _login_of(visitor: Visitor) -> int:
    if visitor.login_id is None:
        raise NotAllowed("this is for who has logged in with a password; a token has none")
    return visitor.login_id


def _person(login: LoginRow) -> Visitor:
    row = login.user
    rights = frozenset({Right.OWN}) if row.password_is_one_time else RIGHTS[row.role]
    return Visitor(row.name, rights, row.id, login.id, row.password_is_one_time)


def called(row: TokenRow) -> str:
    """Return who is on record for what a token did; no user can be called like a token of somebody."""
    return f"{row.user.name}/{row.name}" if row.user else f"token:{row.name}"


def _rights(row: TokenRow) -> frozenset[Right]:
    """What a token may do: what it was given, as far as its owner still has it."""
    given = frozenset(Right(scope) for scope in row.scopes)
    if row.user is None:
        return given
    if row.user.disabled_at is not None:
        raise NotAuthenticated("the owner of this token is shut out")
    if row.user.password_is_one_time:
        raise NotAuthenticated("the owner of this token has to set a password first")
    return given & RIGHTS[row.user.role]


def _is_open(login: LoginRow, now: datetime) -> bool:
    return login.ended_at is None and login.expires_at > now and _is_welcome(login.user)


def _is_welcome(row: UserRow) -> bool:
    return row.disabled_at is None


def _counted_as(session: Session, row: UserRow | None, name: str, address: str) -> str:
    """Return what wrong passwords for a name are counted under.

    From where its owner has logged in lately they are counted apart, so that no stranger can keep them out.
    """
    here = site(address)
    if row is not None and here in {site(one) for one in logins.addresses(session, row.id)}:
        return familiar(name, here)
    return name


def _uncount(session: Session, counted: list[Counted]) -> None:
    """Take back the try that was right; those before it count for the address still."""
    for one in counted:
        guesses.uncount(session, one)


def _place(row: SigningKeyRow) -> Place:
    return Place("signing_key", row.id, "sealed_secret")
