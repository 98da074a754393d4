"""Counts over whole tables, for metrics."""

from datetime import datetime, timedelta

from sqlalchemy import case, func, select

from notafter.domain.job import OPEN_JOB_STATES, ItemState, JobState
from notafter.domain.server import Presence, presence
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, ItemRow, JobRow, ServerRow, VersionRow

#: Upper ends in days; what has more is "more".
_DAYS = (0, 1, 3, 7, 14, 30, 60)


def days_left(session: Session, now: datetime) -> dict[str, int]:
    """Return how many adopted certificates end within so many days, each counted once; 0 has ended."""
    bucket = case(
        *((VersionRow.not_after <= now + timedelta(days=days), str(days)) for days in _DAYS),
        else_="more",
    )
    query = (
        select(bucket, func.count())
        .select_from(CertificateRow)
        .join(VersionRow, CertificateRow.current_version_id == VersionRow.id)
        .where(CertificateRow.adopted_at.is_not(None))
        .group_by(bucket)
    )
    found = {row[0]: row[1] for row in session.execute(query)}
    return {name: found.get(name, 0) for name in (*map(str, _DAYS), "more")}


def overdue(session: Session, now: datetime) -> int:
    """Return how many adopted certificates should have been renewed by now."""
    query = select(func.count()).where(
        CertificateRow.renew_at <= now, CertificateRow.adopted_at.is_not(None), CertificateRow.auto_renew
    )
    return session.scalar(query) or 0


def failures(session: Session, since: datetime) -> dict[str, int]:
    """Return how many items have failed since then, by reason."""
    query = (
        select(ItemRow.reason, func.count())
        .where(ItemRow.finished_at >= since, ItemRow.state == ItemState.FAILED)
        .group_by(ItemRow.reason)
    )
    return {reason or "unknown": count for reason, count in session.execute(query)}


def jobs(session: Session) -> dict[str, int]:
    """Return how many jobs there are in each open state."""
    query = select(JobRow.state, func.count()).where(JobRow.state.in_(OPEN_JOB_STATES)).group_by(JobRow.state)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {state.value: found.get(state, 0) for state in sorted(OPEN_JOB_STATES)}


def oldest_queued_at(session: Session) -> datetime | None:
    """Return when the job that has waited longest was made."""
    return session.scalar(select(func.min(JobRow.created_at)).where(JobRow.state == JobState.QUEUED))


def servers(session: Session) -> dict[str, int]:
    """Return how many servers were reached and how many were not."""
    counts = dict.fromkeys((one.value for one in Presence), 0)
    query = select(ServerRow.last_seen_at, ServerRow.last_missed_at).where(ServerRow.left_at.is_(None))
    for seen, missed in session.execute(query):
        counts[presence(seen, missed).value] += 1
    return counts
