"""Findings as they were derived last: kept for lists, in the order in which they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_

from notafter.domain.finding import REMEDIES, Finding, Kind, Level
from notafter.store.database import Session
from notafter.store.tables import FindingCountRow, FindingRow, ServerRow

#: Where a page begins: after the finding of this level, server and id.
Mark = tuple[Level, str, int]
#: What tells a finding from others of its server; what else it says may change.
_Identity = tuple[Kind, str | None, str | None, int | None, str | None]


@dataclass(frozen=True)
class Wanted:
    """Which findings somebody wants; none given: all."""

    server: str | None = None
    kind: Kind | None = None
    level: Level | None = None
    service: str | None = None
    text: str | None = None
    certificate: str | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What the rows have to meet."""
        equal = (
            (FindingRow.server, self.server),
            (FindingRow.kind, self.kind),
            (FindingRow.level, self.level),
            (FindingRow.service, self.service),
            (FindingRow.certificate, self.certificate),
        )
        found = [column == value for column, value in equal if value is not None]
        if self.text is not None:
            found.append(FindingRow.said.contains(self.text.casefold(), autoescape=True))
        return found

    @property
    def counted(self) -> bool:
        """Tell whether how many there are is on record, and need not be counted."""
        return not any((self.server, self.service, self.text, self.certificate))


def outdated(session: Session, now: datetime, limit: int) -> list[ServerRow]:
    """Return some of the servers whose findings no longer hold; in no order, which would want all of them."""
    return list(session.scalars(select(ServerRow).where(_outdated(now)).limit(limit)))


def count_outdated(session: Session, now: datetime) -> int:
    """Return how many servers there are whose findings no longer hold."""
    return session.scalar(select(func.count()).select_from(ServerRow).where(_outdated(now))) or 0


def _outdated(now: datetime) -> ColumnElement[bool]:
    return or_(ServerRow.findings_until <= now, ServerRow.findings_at > now)


def keep(session: Session, server: ServerRow, derived: Iterable[Finding], now: datetime) -> None:
    """Let what is kept of a server be these: one that was known keeps its id and since when it is known."""
    query = select(FindingRow).where(FindingRow.server_id == server.id).order_by(FindingRow.id.desc())
    known: dict[_Identity, list[FindingRow]] = {}
    change: Counter[tuple[Level, Kind]] = Counter()
    for row in session.scalars(query):
        known.setdefault((row.kind, row.service, row.file, row.line, row.certificate), []).append(row)
        change[row.level, row.kind] -= 1
    for one in derived:
        change[one.level, one.kind] += 1
        same = known.get((one.kind, one.service, one.file, one.line, one.certificate))
        row = same.pop() if same else FindingRow(server_id=server.id, kind=one.kind, since=now)
        _put(row, one)
        session.add(row)
    for gone in known.values():
        for row in gone:
            session.delete(row)
    _count(session, change)


def _put(row: FindingRow, one: Finding) -> None:
    row.level = one.level
    row.server = one.server
    row.sentence = one.sentence
    row.service, row.file, row.line = one.service, one.file, one.line
    row.names = list(one.names)
    row.certificate, row.fingerprint = one.certificate, one.fingerprint
    row.moment = one.moment
    row.said = one.said


def forget(session: Session, server: ServerRow) -> None:
    """Keep nothing of a server that goes."""
    keep(session, server, (), server.enrolled_at)


def _count(session: Session, change: Counter[tuple[Level, Kind]]) -> None:
    for (level, kind), number in change.items():
        if number:
            row = session.get(FindingCountRow, (level, kind))
            if row is None:
                row = FindingCountRow(level=level, kind=kind, number=0)
                session.add(row)
            row.number += number


def page(session: Session, wanted: Wanted, after: Mark | None, limit: int) -> list[FindingRow]:
    """Return some findings: the worst first, then by server."""
    query = _ordered(wanted)
    if after is not None:
        query = query.where(tuple_(FindingRow.level, FindingRow.server, FindingRow.id) > after)
    return list(session.scalars(query.limit(limit)))


def everything(session: Session, wanted: Wanted) -> Iterator[FindingRow]:
    """Return all of them, one after the other."""
    yield from session.scalars(_ordered(wanted).execution_options(yield_per=1000))


def _ordered(wanted: Wanted) -> Select[FindingRow]:
    query = select(FindingRow).where(*wanted.conditions)
    return query.order_by(FindingRow.level, FindingRow.server, FindingRow.id)


def counts(session: Session, wanted: Wanted) -> Sequence[tuple[Level, Kind, int]]:
    """Return how many there are of each level and kind."""
    if wanted.counted:
        query = select(FindingCountRow.level, FindingCountRow.kind, FindingCountRow.number).where(
            FindingCountRow.number > 0
        )
        if wanted.level is not None:
            query = query.where(FindingCountRow.level == wanted.level)
        if wanted.kind is not None:
            query = query.where(FindingCountRow.kind == wanted.kind)
    else:
        query = (
            select(FindingRow.level, FindingRow.kind, func.count())
            .where(*wanted.conditions)
            .group_by(FindingRow.level, FindingRow.kind)
        )
    return [(level, kind, number) for level, kind, number in session.execute(query)]


def finding(row: FindingRow) -> Finding:
    """Return what is kept as it was derived."""
    return Finding(
        level=row.level,
        kind=row.kind,
        sentence=row.sentence,
        remedy=REMEDIES.get(row.kind, ""),
        server=row.server,
        service=row.service,
        file=row.file,
        line=row.line,
        names=tuple(row.names),
        certificate=row.certificate,
        fingerprint=row.fingerprint,
        moment=row.moment,
        since=row.since,
    )
