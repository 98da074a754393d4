"""Holds what is kept of findings against what the facts say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notafter.lifecycle import findings
from notafter.store import findings as kept
from notafter.store import servers
from notafter.store.findings import Wanted

if TYPE_CHECKING:
    from datetime import datetime

    from notafter.domain.finding import Finding
    from notafter.store.database import Database


def check(database: Database, now: datetime) -> None:
    """Whatever has happened: what is not marked as outdated is what the facts say, and is counted."""
    findings.refresh(database, now, rounds=10_000)
    with database.read() as session:
        late = {row.name for row in kept.outdated(session, now, 10_000)}
        told = findings.everything(session, now, Wanted())
        for row in servers.everyone(session):
            if row.name in late:
                continue
            derived = [
                replace(one, sentence=one.told(now)) for one in findings.derive(session, row, now).findings
            ]
            mine = [replace(one, since=None) for one in told if one.server == row.name]
            assert _sorted(mine) == _sorted(derived), f"what is kept of {row.name} is not what the facts say"
        counted = findings.page(session, now, Wanted(), None, 1)
        assert (counted.levels, counted.kinds) == findings.counts(told)


def _sorted(found: list[Finding]) -> list[str]:
    return sorted(map(repr, found))
