"""Exchanges the key-encryption key, a step at a time; killed anywhere, the same steps finish it.

While both keys have a canary both are good: values under either are opened and taken. A process seals with
what its source says, so the source is turned over first, and the former key is given up last
(docs/decisions/0017).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from notafter.custody.custodian import Custodian, Place
from notafter.custody.kek import Kek, KekSource
from notafter.domain.errors import Conflict, CustodyError
from notafter.failpoint import failpoint
from notafter.lifecycle import unlock
from notafter.store import canaries, seals
from notafter.store.database import Database, Session, Writer
from notafter.store.seals import SEALED, Sealed


@dataclass(frozen=True)
class Turn:
    """One rotation: the key that is to be the only one, and those that are to go."""

    custodian: Custodian
    source: KekSource
    key: Kek
    former: tuple[str, ...]


def begin(database: Database, custodian: Custodian, source: KekSource) -> Turn:
    """Give the new key its canary: from now on both are good. A rotation that was begun goes on."""
    with database.read() as session:
        known = [canary.key_id for canary in canaries.everyone(session)]
    turned = len(known) > 1 and known[-1] == source.load().id
    key = source.load() if turned else source.make_next()
    failpoint("keys.made")
    if known == [key.id]:
        raise Conflict(f"{key.id} is the key of this database already")
    with database.write() as session:
        known = [canary.key_id for canary in canaries.everyone(session)]
        if key.id not in known:
            unlock.sing(session, key)
    failpoint("keys.begun")
    return Turn(custodian, source, key, tuple(one for one in known if one != key.id))


def reseal(database: Database, turn: Turn) -> int:
    """Seal everything with the new key, some values at a time, so that others can write in between."""
    total = 0
    for sealed in SEALED:
        after: int | None = 0
        while after is not None:
            with database.write() as session:
                after, number = _some(session, turn, sealed, after)
            total += number
            failpoint("keys.some")
    return total


def end(writer: Writer, turn: Turn) -> list[Place]:
    """Let the new key be the only one; return where values are that no key of ours opens."""
    turn.source.promote(turn.key)
    turn.custodian.turn_to(turn.key)
    failpoint("keys.promoted")
    with writer.write() as session:
        for sealed in SEALED:
            after: int | None = 0
            while after is not None:
                after, _ = _some(session, turn, sealed, after)
        canaries.remove(session, turn.former)
        left = list(_left(session, turn))
        failpoint("keys.uncommitted")
    failpoint("keys.ended")
    return left


def usage(session: Session) -> dict[str, Counter[str]]:
    """Return how many values of which column are sealed with which key."""
    return {f"{one.table}.{one.column}": seals.counts(session, one) for one in SEALED}


def forget(database: Database, source: KekSource) -> list[str]:
    """Remove the files of former keys that nothing is sealed with; return their names."""
    with database.read() as session:
        used = {key_id for counted in usage(session).values() for key_id in counted}
        used |= {canary.key_id for canary in canaries.everyone(session)}
    gone = [path for path in source.former() if path.name.rpartition("-")[2] not in used]
    for path in gone:
        path.unlink()
    return [path.name for path in gone]


def _some(session: Session, turn: Turn, sealed: Sealed, after: int) -> tuple[int | None, int]:
    """Seal some values of a column anew; return behind which row to go on, and how many they were."""
    found = seals.under_others(session, sealed, turn.key.id, after)
    done = 0
    for row, value in found:
        try:
            put = turn.custodian.reseal(value, Place(sealed.table, row, sealed.column), turn.key)
        except CustodyError:
            continue  # it opens with no key, before and after; the end names it
        seals.put(session, sealed, row, put)
        done += 1
    return (found[-1][0] if found else None), done


def _left(session: Session, turn: Turn) -> Iterator[Place]:
    for sealed in SEALED:
        for row, _ in seals.under_others(session, sealed, turn.key.id, 0):
            yield Place(sealed.table, row, sealed.column)
