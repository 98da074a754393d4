"""Deployments, and the facts that the deploy policy asks for."""

from datetime import datetime

from sqlalchemy import exists, or_, select

from notafter.domain.deployment import DeploymentFacts
from notafter.domain.job import OPEN_ITEM_STATES
from notafter.domain.names import numbered
from notafter.store import versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, ItemRow, VersionRow


def by_key(session: Session, key: str) -> DeploymentRow | None:
    """Return the deployment that a plan calls `dep-5`."""
    number = numbered("dep", key)
    return None if number is None else session.get(DeploymentRow, number)


def of_server(session: Session, server_id: int) -> dict[tuple[str, str], DeploymentRow]:
    """Return the places of a server by service and path."""
    rows = session.scalars(select(DeploymentRow).where(DeploymentRow.server_id == server_id))
    return {(row.service, row.path): row for row in rows}


def behind(session: Session, now: datetime) -> list[DeploymentRow]:
    """Return the places that may not show the newest version and that no job is at."""
    wanted = VersionRow.fingerprint
    live, file = DeploymentRow.live_fingerprint, DeploymentRow.file_fingerprint
    open_item = exists().where(
        ItemRow.deployment_id == DeploymentRow.id,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    query = (
        select(DeploymentRow)
        .join(CertificateRow, CertificateRow.id == DeploymentRow.certificate_id)
        .join(VersionRow, VersionRow.id == CertificateRow.current_version_id)
        .where(
            CertificateRow.adopted_at.is_not(None),
            DeploymentRow.adopted_at.is_not(None),
            VersionRow.sealed_key.is_not(None),
            DeploymentRow.absent_since.is_(None),
            or_(live != wanted, file != wanted, live.is_(None) & file.is_(None)),
            or_(DeploymentRow.next_attempt_at.is_(None), DeploymentRow.next_attempt_at <= now),
            ~open_item,
        )
        .order_by(VersionRow.not_after)
    )
    return list(session.scalars(query))


def busy(session: Session, row: DeploymentRow) -> bool:
    """Tell whether a job is at it."""
    query = select(ItemRow.id).where(
        ItemRow.deployment_id == row.id,
        ItemRow.state.in_(OPEN_ITEM_STATES),
    )
    return session.scalar(query.limit(1)) is not None


def facts(session: Session, row: DeploymentRow) -> DeploymentFacts:
    """Return what the deploy policy looks at."""
    current = row.certificate.current
    return DeploymentFacts(
        adopted=row.certificate.adopted_at is not None and row.adopted_at is not None,
        absent=row.absent_since is not None,
        in_progress=busy(session, row),
        wanted=versions.facts(current) if current else None,
        live_fingerprint=row.live_fingerprint,
        file_fingerprint=row.file_fingerprint,
        next_attempt_at=row.next_attempt_at,
        failures=row.failures,
        last_problem=row.last_problem,
    )
