"""Commands that show what is: certificates, deployments, servers, jobs."""

from datetime import datetime
from typing import Annotated, Any

import typer

from notafter.app.rooms import clock
from notafter.cli.answer import AsJson, rooms, show
from notafter.domain.certificate import health
from notafter.domain.deployment import Sync, sync, why_deploy
from notafter.domain.difference import View, difference
from notafter.domain.server import presence
from notafter.lifecycle.ordering import Outlook
from notafter.store import certificates, deployments, jobs, servers, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, JobRow, ServerRow, VersionRow

cli = typer.Typer()

_ALL = 1_000_000


@cli.command("certificates")
def list_certificates(as_json: AsJson = False) -> None:
    """List the certificates and what happens to them next."""
    now = clock()
    with rooms() as opened, opened.database.read() as session:
        outlook = Outlook(session, now)
        rows = [_certificate(outlook, row) for row in certificates.page(session, 0, _ALL)]
    show(rows, as_json)


@cli.command("versions")
def list_versions(
    certificate: Annotated[str, typer.Argument(metavar="CERTIFICATE")], as_json: AsJson = False
) -> None:
    """List the versions of a certificate, the newest first."""
    with rooms() as opened, opened.database.read() as session:
        key = certificate if certificate.startswith("crt-") else f"crt-{certificate}"
        row = certificates.by_key(session, key)
        rows = [_version(row, version) for version in versions.of_certificate(session, row.id)]
    show(rows, as_json)


@cli.command("deployments")
def list_deployments(as_json: AsJson = False) -> None:
    """List the places where certificates serve and what happens there next."""
    now = clock()
    with rooms() as opened, opened.database.read() as session:
        rows = [_deployment(session, place, view, now) for place, view in deployments.survey(session)]
    show(rows, as_json)


@cli.command("servers")
def list_servers(as_json: AsJson = False) -> None:
    """List the servers."""
    with rooms() as opened, opened.database.read() as session:
        rows = [_server(row) for row in servers.page(session, 0, _ALL)]
    show(rows, as_json)


@cli.command("jobs")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest jobs."""
    with rooms() as opened, opened.database.read() as session:
        rows = [_job(row) for row in jobs.page(session, None, limit)]
    show(rows, as_json)


def _certificate(outlook: Outlook, row: CertificateRow) -> dict[str, Any]:
    session, now = outlook.session, outlook.now
    facts = certificates.facts(session, row)
    states = [sync(deployments.facts(session, place)) for place in row.deployments]
    return {
        "certificate": row.key,
        "names": row.names,
        "key": row.key_type,
        "health": health(facts, now).value,
        "ends": row.current.not_after if row.current else None,
        "fingerprint": row.current.fingerprint if row.current else None,
        "in sync": f"{sum(state is Sync.IN_SYNC for state in states)}/{len(states)}",
        "next": outlook.decision(row, facts).reason.sentence,
        "problem": row.last_problem,
    }


def _version(row: CertificateRow, version: VersionRow) -> dict[str, Any]:
    return {
        "fingerprint": version.fingerprint,
        "current": row.current_version_id == version.id,
        "from": version.not_before,
        "until": version.not_after,
        "issuer": version.issuer,
        "origin": version.origin.value,
        "revoked": version.revoked_at,
    }


def _deployment(session: Session, row: DeploymentRow, view: View, now: datetime) -> dict[str, Any]:
    facts = deployments.facts(session, row)
    return {
        "deployment": row.key,
        "certificate": row.certificate.key,
        "server": row.server.name,
        "service": row.service,
        "path": row.path,
        "sync": sync(facts).value,
        "next": why_deploy(facts, now).reason.sentence,
        "difference": difference(view).sentence,
        "live": row.live_fingerprint or row.file_fingerprint,
        "verified": row.verified_at,
        "problem": row.last_problem,
    }


def _server(row: ServerRow) -> dict[str, Any]:
    return {
        "server": row.name,
        "presence": presence(row.last_seen_at, row.last_missed_at).value,
        "scanned": row.last_scan_at,
        "problems": len(row.problems),
        "problem": row.last_problem,
    }


def _job(row: JobRow) -> dict[str, Any]:
    return {
        "job": row.id,
        "kind": row.kind.value,
        "state": row.state.value,
        "reason": row.reason,
        "by": row.requested_by,
        "created": row.created_at,
        "finished": row.finished_at,
        "items": len(row.items),
        "message": row.message,
    }
