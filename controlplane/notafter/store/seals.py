"""The sealed columns, all of them; none takes what is sealed with a key that this database has given up."""

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, inspect, select, update
from sqlalchemy.orm import Session, UOWTransaction

from notafter.domain import seal
from notafter.domain.errors import KeyRetired
from notafter.store.tables import (
    AccountRow,
    AuditHeadRow,
    Base,
    CanaryRow,
    CredentialRow,
    RequestRow,
    SigningKeyRow,
    VersionRow,
)

_AT_ONCE = 500


@dataclass(frozen=True)
class Sealed:
    """A column of sealed values; its table's rows are known by `id`."""

    row: type[Base]
    column: str

    @property
    def table(self) -> str:
        """The name of its table."""
        return str(self.row.__tablename__)

    @property
    def values(self) -> ColumnElement[str]:
        """The column, for SQL."""
        return self.row.__table__.c[self.column]

    @property
    def ids(self) -> ColumnElement[int]:
        """The ids of its table, for SQL."""
        return self.row.__table__.c.id


#: The canary is not among them: each key has one of its own.
SEALED = (
    Sealed(AccountRow, "sealed_key"),
    Sealed(AccountRow, "sealed_eab_hmac_key"),
    Sealed(CredentialRow, "sealed_variables"),
    Sealed(VersionRow, "sealed_key"),
    Sealed(RequestRow, "sealed_key"),
    Sealed(SigningKeyRow, "sealed_secret"),
    Sealed(AuditHeadRow, "sealed_key"),
)


def under_others(session: Session, sealed: Sealed, key_id: str, after: int) -> list[tuple[int, str]]:
    """Return some values that are not sealed with a key, with their rows' ids, which follow one."""
    query = (
        select(sealed.ids, sealed.values)
        .where(sealed.ids > after, sealed.values != "", _key_id(sealed) != key_id)
        .order_by(sealed.ids)
        .limit(_AT_ONCE)
    )
    return [(row, value) for row, value in session.execute(query)]


def put(session: Session, sealed: Sealed, row: int, value: str) -> None:
    """Exchange a sealed value for the same one under another key."""
    session.execute(update(sealed.row).where(sealed.ids == row).values({sealed.column: value}))


def counts(session: Session, sealed: Sealed) -> Counter[str]:
    """Return how many values are sealed with which key."""
    key_id = _key_id(sealed).label("key_id")
    query = select(key_id, func.count()).where(sealed.values != "").group_by(key_id)
    return Counter({str(one): int(number) for one, number in session.execute(query)})


def refuse_retired(session: Session, _context: UOWTransaction, _instances: object) -> None:
    """Refuse what a process that has missed a rotation has sealed: nobody could open it later.

    Who writes is alone, so that no rotation ends between this look and the commit.
    """
    used = {key_id for one in SEALED for key_id in _changed(session, one)}
    if not used:
        return
    kept = set(session.execute(select(CanaryRow.key_id)).scalars())
    for key_id in used - kept if kept else ():
        raise KeyRetired(
            f"sealed with the key {key_id}, which this database does not take: it has"
            f" {' and '.join(sorted(kept))}; restart this process with that key",
        )


def _changed(session: Session, sealed: Sealed) -> set[str]:
    """Return the ids of the keys of the values of a column that are about to be written."""
    rows = [row for row in (*session.new, *session.dirty) if isinstance(row, sealed.row)]
    histories = [inspect(row).attrs[sealed.column].history for row in rows]
    return {seal.key_id(value) for history in histories for value in history.added or () if value}


def _key_id(sealed: Sealed) -> ColumnElement[str]:
    return func.substr(sealed.values, seal.KEY_AT, seal.KEY_LENGTH)
