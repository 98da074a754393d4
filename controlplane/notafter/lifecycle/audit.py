"""Puts on record who changes what, together with the change, and tells whether the record was changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from notafter.custody import chain
from notafter.custody.custodian import Custodian, Place
from notafter.domain.audit import Action, Actor, Detail, Entry
from notafter.domain.errors import AuditBroken, CustodyError
from notafter.store import audit
from notafter.store.audit import Wanted
from notafter.store.database import Database, Session
from notafter.store.tables import AuditHeadRow
from notafter.store.types import plain

#: Of a subject: it is found by an index.
_LONGEST = 300


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
        entry = Entry(head.number + 1, now, who, action, plain(subject)[:_LONGEST], detail or {})
        link = chain.link(key, head.link, entry.text())
        audit.add(session, entry, link)
        head.number, head.link = entry.number, link
        head.seal = _seal(key, head)

    def check(self, session: Session, anchor: str | None = None) -> Verdict:
        """Follow the chain from its first entry; an anchor is what an earlier check said of the last one."""
        walk = _Walk(anchor)
        try:
            self._follow(session, walk)
        except AuditBroken as error:
            return Verdict(walk.number, walk.link, str(error))
        except CustodyError:
            return Verdict(walk.number, walk.link, "the head of the chain is not as it was written")
        return Verdict(walk.number, walk.link, "")

    def _follow(self, session: Session, walk: "_Walk") -> None:
        head = audit.head(session)
        if head is None:
            if audit.page(session, Wanted(), None, 1):
                raise AuditBroken("the head of the chain is missing")
            walk.end(0, chain.START)
            return
        key = self._key(head)
        if not chain.same(head.seal, _seal(key, head)):
            raise AuditBroken("the head of the chain is not as it was written")
        for entry, link in audit.everything(session):
            walk.step(key, entry, link)
            if walk.number > head.number:
                raise AuditBroken(f"entry {walk.number} was put in behind the last one")
        walk.end(head.number, head.link)

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


@dataclass
class _Walk:
    """How far the chain was followed."""

    anchor: str | None
    number: int = 0
    link: str = chain.START
    met: bool = False

    def step(self, key: bytes, entry: Entry, link: str) -> None:
        """Go on to an entry, if it is the next one and belongs to all before it."""
        if entry.number != self.number + 1:
            raise AuditBroken(_missing(self.number + 1, entry.number - 1))
        expected = chain.link(key, self.link, entry.text())
        if not chain.same(expected, link):
            raise AuditBroken(f"entry {entry.number} is not as it was written")
        self._look()
        self.number, self.link = entry.number, link

    def end(self, number: int, link: str) -> None:
        """Say that there are no more, and what the last one must be."""
        if self.number < number:
            raise AuditBroken(_missing(self.number + 1, number))
        if not chain.same(self.link, link):
            raise AuditBroken("the head of the chain does not belong to the last entry")
        self._look()
        if self.anchor is not None and not self.met:
            told = "the record was taken back to before it, or was made anew"
            raise AuditBroken(f"no entry is {self.anchor[:80]!r}: {told}")

    def _look(self) -> None:
        self.met = self.met or self.anchor == f"{self.number}:{self.link}"


def _place(head: AuditHeadRow) -> Place:
    return Place("audit_head", head.id, "sealed_key")


def _seal(key: bytes, head: AuditHeadRow) -> str:
    return chain.link(key, head.link, f"head {head.number}")


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
