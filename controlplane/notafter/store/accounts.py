"""CA accounts and DNS credentials: how certificates are issued."""

from sqlalchemy import select

from notafter.domain.errors import Conflict, NotFound
from notafter.store.database import Session
from notafter.store.tables import AccountRow, AlternativeRow, CredentialRow


def by_name(session: Session, name: str) -> AccountRow:
    """Return the CA account of this name."""
    row = session.scalar(select(AccountRow).where(AccountRow.name == name))
    if row is None:
        raise NotFound(f"there is no CA account {name!r}: make it with `notafter account create`")
    return row


def credential_by_name(session: Session, name: str) -> CredentialRow:
    """Return the DNS credential of this name."""
    row = session.scalar(select(CredentialRow).where(CredentialRow.name == name))
    if row is None:
        raise NotFound(f"there is no DNS credential {name!r}: make it with `notafter dns create`")
    return row


def add(session: Session, row: AccountRow) -> AccountRow:
    """Put a new account on record."""
    if session.scalar(select(AccountRow.id).where(AccountRow.name == row.name)):
        raise Conflict(f"there is a CA account {row.name!r} already")
    session.add(row)
    session.flush()
    return row


def add_credential(session: Session, row: CredentialRow) -> CredentialRow:
    """Put a new DNS credential on record."""
    if session.scalar(select(CredentialRow.id).where(CredentialRow.name == row.name)):
        raise Conflict(f"there is a DNS credential {row.name!r} already")
    session.add(row)
    session.flush()
    return row


def everyone(session: Session) -> list[AccountRow]:
    """Return all accounts."""
    return list(session.scalars(select(AccountRow).order_by(AccountRow.id)))


def standing_in(session: Session) -> frozenset[int]:
    """Return the accounts that may issue what another account cannot."""
    return frozenset(session.scalars(select(AlternativeRow.account_id)))


def credentials(session: Session) -> list[CredentialRow]:
    """Return all DNS credentials."""
    return list(session.scalars(select(CredentialRow).order_by(CredentialRow.id)))
