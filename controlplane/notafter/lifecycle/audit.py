"""Puts on record who changes what, together with the change, and tells whether the record was changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from notafter.custody import chain
from notafter.custody.custodian import Custodian, Place
from notafter.domain.audit import Action, Actor, Detail, Entry
from notafter.store import audit
from notafter.store.database import Database, Session
from notafter.store.tables import AuditHeadRow
from notafter.store.types import plain


@dataclass(frozen=True)
class Verdict:
    """How far the chain holds, its last link, and what is wrong after that, if anything is."""

    number: int
    link: str
    wrong: str

    @property
    def anchor(self) -> str:
        """What to keep elsewhere: a later check with it finds a chain that was taken back."""
        return f"{self.number}:{self.link}"


@dataclass(frozen=True)
class Ledger:
    """The audit of one database."""

    custodian: Custodian

    def note(  # noqa: PLR0913, PLR0917 -- all that an entry is
        self,
        session: Session,
        actor: Actor,
        action: Action,
        subject: str,
        now: datetime,
        detail: Detail | None = None,
    ) -> None:
        """Add an entry."""
        head = audit.head(session) or self._begin(session)
        key = self._key(head)
        who = Actor(plain(actor.name), plain(actor.address))  # as it is read again later
        entry = Entry(head.number + 1, now, who, action, plain(subject), detail or {})
        link = chain.link(key, head.link, entry.text())
        audit.add(session, entry, link)
        head.number, head.link = entry.number, link
        head.seal = _seal(key, head)

    def check(self, session: Session, anchor: str | None = None) -> Verdict:
        """Follow the chain from its first entry; an anchor is what an earlier check said of the last one."""
        head = audit.head(session)
        if head is None:
            return Verdict(0, chain.START, "" if anchor is None else _unknown(anchor))
        key, number, link, seen = self._key(head), 0, chain.START, anchor is None
        for row in audit.everything(session):
            if row.number != number + 1:
                return Verdict(number, link, _missing(number + 1, row.number - 1))
            link = chain.link(key, link, audit.entry(row).text())
            if not chain.same(link, row.link):
                return Verdict(number, link, f"entry {row.number} is not as it was written")
            number = row.number
            if number > head.number:
                return Verdict(number, link, f"entry {number} was put in behind the last one")
            seen = seen or anchor == f"{number}:{link}"
        wrong = ""
        if not chain.same(head.seal, _seal(key, head)):
            wrong = "the head of the chain is not as it was written"
        elif number < head.number:
            wrong = _missing(number + 1, head.number)
        elif not chain.same(link, head.link):
            wrong = "the head of the chain does not belong to the last entry"
        elif not seen and anchor is not None:
            wrong = _unknown(anchor)
        return Verdict(number, link, wrong)

    def _begin(self, session: Session) -> AuditHeadRow:
        head = audit.begin(session, chain.START)
        head.sealed_key = self.custodian.seal(chain.make_key(), _place(head))
        return head

    def _key(self, head: AuditHeadRow) -> bytes:
        return self.custodian.open(head.sealed_key, _place(head))


@dataclass(frozen=True)
class Recorded:
    """A way to write that puts on record who did it: the one does not happen without the other."""

    database: Database
    ledger: Ledger
    clock: Callable[[], datetime]
    actor: Actor
    action: Action
    subject: str = ""
    detail: Detail | None = None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may write, as `Database.write` does."""
        with self.database.write() as session:
            yield session
            self.ledger.note(session, self.actor, self.action, self.subject, self.clock(), self.detail)


def _place(head: AuditHeadRow) -> Place:
    return Place("audit_head", head.id, "sealed_key")


def _seal(key: bytes, head: AuditHeadRow) -> str:
    return chain.link(key, head.link, f"head {head.number}")


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _unknown(anchor: str) -> str:
    return f"no entry is {anchor[:80]!r}: the record was taken back to before it, or was made anew"
