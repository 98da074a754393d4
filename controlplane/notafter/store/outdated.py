"""Marks the servers whose findings no longer say what the facts say, in the transaction that changes those.

Nobody who changes a fact has to think of it: what a session flushes is looked at here.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, event, inspect, or_, select, update
from sqlalchemy.orm import Session

from notafter.store.tables import (
    LONG_AGO,
    Base,
    CertificateRow,
    DeploymentRow,
    ServerRow,
    VersionRow,
)

_MARKS = "outdated"
#: A database takes so many values in one statement.
_AT_ONCE = 400

#: What findings are derived from (lifecycle/findings.py); a change of anything else leaves them as they are.
FACTS: Mapping[type[Base], frozenset[str]] = {
    ServerRow: frozenset(
        {
            "name",
            "facts",
            "problems",
            "warnings",
            "last_seen_at",
            "last_missed_at",
            "last_scan_at",
            "last_problem",
            "machine_id",
            "boot_id",
            "booted_at",
            "same_as_id",
            "left_at",
        }
    ),
    DeploymentRow: frozenset(
        {
            "certificate_id",
            "config_file",
            "line",
            "names",
            "listeners",
            "managed_by",
            "adopted_at",
            "absent_since",
            "file_fingerprint",
            "served",
            "outside",
            "failures",
            "last_problem",
        }
    ),
    CertificateRow: frozenset({"adopted_at", "current_version_id", "failures", "last_problem"}),
    VersionRow: frozenset({"certificate_id", "fingerprint", "not_before", "not_after", "sealed_key"}),
}


class _Marks:
    """What a transaction has changed so far."""

    def __init__(self) -> None:
        self.servers: set[int] = set()
        self.machines: set[str] = set()
        self.certificates: set[int] = set()


def watch(sessions: type[Session]) -> None:
    """Let sessions mark, before they commit, whose findings they have outdated."""
    event.listen(sessions, "after_flush", _note)
    event.listen(sessions, "before_commit", _mark)


def _note(session: Session, _context: object) -> None:
    marks: _Marks = session.info.setdefault(_MARKS, _Marks())
    for row in (*session.new, *session.dirty, *session.deleted):
        changed = _changed(session, row)
        if not changed:
            continue
        if isinstance(row, ServerRow):
            marks.servers.add(row.id)
            marks.machines |= _machines(row)
        elif isinstance(row, DeploymentRow):
            marks.servers.add(row.server_id)
        elif isinstance(row, CertificateRow):
            marks.certificates.add(row.id)
        elif isinstance(row, VersionRow):
            marks.certificates.add(row.certificate_id)


def _changed(session: Session, row: Any) -> bool:  # noqa: ANN401 -- a row of any table
    facts = FACTS.get(type(row))
    if facts is None:
        return False
    if row in session.new or row in session.deleted:
        return True
    attributes = inspect(row).attrs
    return any(attributes[name].history.has_changes() for name in facts)


def _machines(row: ServerRow) -> set[str]:
    """Return the machine ids that a server has and had: others that have them are told of it too."""
    history = inspect(row).attrs.machine_id.history
    return {one for one in (row.machine_id, *(history.deleted or ())) if one is not None}


def _mark(session: Session) -> None:
    session.flush()
    marks: _Marks = session.info.pop(_MARKS, _Marks())
    for ids in _some(marks.servers):
        _outdate(session, ServerRow.id.in_(ids))
    for machines in _some(marks.machines):
        _outdate(session, ServerRow.machine_id.in_(machines))
    for certificates in _some(marks.certificates):
        places = select(DeploymentRow.server_id).where(DeploymentRow.certificate_id.in_(certificates))
        _outdate(session, ServerRow.id.in_(places))


def _outdate(session: Session, which: ColumnElement[bool]) -> None:
    kept = or_(ServerRow.findings_until.is_(None), ServerRow.findings_until > LONG_AGO)
    session.execute(
        update(ServerRow).where(which, kept).values(findings_until=LONG_AGO),
        execution_options={"synchronize_session": False},
    )


def _some(values: Collection[Any]) -> Iterator[list[Any]]:
    rest = iter(sorted(values))
    while some := list(islice(rest, _AT_ONCE)):
        yield some
