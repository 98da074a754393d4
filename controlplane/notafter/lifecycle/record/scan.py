"""What a scan saw becomes servers, certificates, versions and deployments."""

import itertools
from dataclasses import dataclass, replace
from datetime import datetime

from notafter.domain.deployment import FileKind
from notafter.domain.difference import Cause, Sight, difference
from notafter.domain.errors import Conflict, UnreadableCertificate
from notafter.domain.job import ItemState, Subject
from notafter.domain.outcome import FoundCertificate, FoundFile, Scanned
from notafter.domain.place import Place, joined, leaf_path, places
from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.version import Origin
from notafter.domain.x509 import Leaf, read_leaf
from notafter.lifecycle.adopt import schedule
from notafter.lifecycle.record import identity, pages
from notafter.lifecycle.record.ending import deployment_settled, end, is_open
from notafter.lifecycle.record.host import scan_failed
from notafter.lifecycle.record.pages import Arrivals
from notafter.store import certificates, deployments, items, servers, sights, versions
from notafter.store.database import Session
from notafter.store.tables import CertificateRow, DeploymentRow, JobRow, ServerRow

Leaves = dict[str, tuple[Leaf, str]]
#: What is wrong or could not be looked at, as a server's row keeps it.
Told = dict[str, object]
#: How many names of a certificate that is shown and lies in no file are kept.
_NAMED = 5
#: How many characters of problems, and of warnings, a server's row keeps: a host may say anything.
MOST_TOLD = 5_000_000


def scanned(session: Session, job: JobRow, outcome: Scanned, now: datetime) -> None:
    """Record one host's findings for the job that asked for them."""
    named = servers.by_name(session, outcome.host)
    own = [item for item in items.of_job(session, job.id, Subject.SERVER) if item.server_id == named.id]
    if not own or not is_open(own[0]):
        return
    try:
        seen = observe(session, named, outcome, now)
    except Conflict as error:
        reason = Reason(ReasonCode.OTHER_MACHINE, str(error))
        scan_failed(named, reason, now)
        end(own[0], ItemState.FAILED, reason, now)
        return
    if seen.whole:
        end(own[0], ItemState.SUCCEEDED, seen.reason, now)


@dataclass(frozen=True)
class Seen:
    """What became of what somebody saw, and whether there is more of it to come."""

    reason: Reason
    whole: bool


def observe(session: Session, named: ServerRow, outcome: Scanned, now: datetime) -> Seen:
    """Put on record what somebody saw on a host, whoever asked for it: a whole scan, or a page of one."""
    server = identity.whose(session, named, outcome, now)
    arrivals = Arrivals.of(server, outcome)
    if arrivals.known:
        told = f"page {arrivals.page.number} of {arrivals.page.of} was on record before"
        return Seen(Reason(ReasonCode.SCANNED, told), arrivals.whole)
    leaves, broken = _leaves(outcome.certificates)
    found = places(outcome.bindings)
    known = deployments.at(session, server.id, found)
    for key, place in found.items():
        _place(session, server, known.get(key), place, leaves, arrivals, now)
    arrivals.take(partial=outcome.partial)
    _server(server, outcome, broken, arrivals, now)
    server.scan_pages = arrivals.kept()
    if lost := pages.missing(server):
        server.warnings = [*server.warnings, {"file": None, "line": None, "message": lost}]
    if arrivals.whole:
        _absent(session, server, arrivals, now)
        _live(session, server, now)
    return Seen(_reason(named, server, len(found), len(leaves), arrivals), arrivals.whole)


def _absent(session: Session, server: ServerRow, arrivals: Arrivals, now: datetime) -> None:
    """Note which places are gone; what is not in a partial scan may still be there."""
    if not arrivals.partial:
        for row in deployments.present(session, server.id):
            if row.id not in arrivals.named:
                row.absent_since = now


def _reason(
    named: ServerRow, server: ServerRow, found: int, certificates_seen: int, arrivals: Arrivals
) -> Reason:
    page = arrivals.page
    sentence = f"{found} places, {certificates_seen} certificates, {len(server.problems)} problems"
    if page.of > 1 and not arrivals.whole:
        sentence = f"page {page.number} of {page.of}: {found} places, {certificates_seen} certificates"
    elif page.of > 1:
        sentence = f"{len(arrivals.named)} places on {page.of} pages, {len(server.problems)} problems"
    if arrivals.partial:
        sentence += "; not all of it could be looked at, the warnings say why"
    if named.same_as_id is not None:
        sentence += f"; it is the machine that we know as {server.name}, and is on record there"
    return Reason(ReasonCode.SCANNED, sentence)


def _leaves(found: dict[str, FoundCertificate]) -> tuple[Leaves, list[Told]]:
    """Read the certificates ourselves; those that cannot be read are problems, not crashes."""
    leaves: Leaves = {}
    broken: list[Told] = []
    for fingerprint, certificate in found.items():
        try:
            leaf = read_leaf(certificate.pem)
        except UnreadableCertificate as error:
            broken.append({"kind": "malformed", "message": f"{fingerprint[:16]}: {error}"})
            continue
        if leaf.fingerprint == fingerprint:
            leaves[fingerprint] = (leaf, certificate.chain_pem)
        else:
            broken.append({"kind": "malformed", "message": f"{fingerprint[:16]} is another certificate"})
    return leaves, broken


def _server(row: ServerRow, outcome: Scanned, broken: list[Told], arrivals: Arrivals, now: datetime) -> None:
    row.facts = dict(outcome.server)
    identity.note(row, outcome, now)
    row.last_seen_at = now
    row.last_scan_at = now
    if arrivals.whole:
        row.scan_wanted_at = None
        row.scan_failures = 0
        row.last_problem = None
    before = row.warnings if arrivals.begun else []
    problems = row.problems if arrivals.begun else []
    broken = [one for one in broken if one not in problems]  # each page with a place of it tells it
    row.problems = problems + broken + _problems(outcome)
    warnings = [{"file": one.file, "line": one.line, "message": one.message} for one in outcome.warnings]
    row.warnings = [one for one in before if one["message"] != pages.missing(row)] + warnings
    _bound(row)


def _bound(row: ServerRow) -> None:
    """Keep of problems and warnings what has room, and tell where that is not all."""
    kept = _fitting(row.problems), _fitting(row.warnings)
    if kept != (row.problems, row.warnings):
        told = {"file": None, "line": None, "message": "there is too much to tell: not all of it is kept"}
        row.problems, row.warnings = kept[0], [told, *(one for one in kept[1] if one != told)]


def _fitting(rows: list[Told]) -> list[Told]:
    sizes = itertools.accumulate(len(str(one)) for one in rows)
    return [row for row, size in zip(rows, sizes, strict=True) if size <= MOST_TOLD]


def _problems(outcome: Scanned) -> list[Told]:
    return [
        {
            "service": binding.service,
            "config_file": binding.config_file,
            "line": binding.line,
            "path": leaf_path(binding),
            "names": list(binding.names),
            "kind": kind,
            "message": message,
        }
        for binding in outcome.bindings
        for kind, message in binding.problems
    ]


def _place(  # noqa: PLR0913, PLR0917 -- a place, what was known of it, what was seen there
    session: Session,
    server: ServerRow,
    row: DeploymentRow | None,
    place: Place,
    leaves: Leaves,
    arrivals: Arrivals,
    now: datetime,
) -> None:
    if row is not None and row.id in arrivals.named:
        place = joined(_as_place(row), place)
    seen = leaves.get(place.fingerprint or "")
    if row is None:
        if seen is None:
            return
        certificate = _certificate(session, seen, now)
        row = DeploymentRow(
            certificate_id=certificate.id,
            server_id=server.id,
            service=place.service,
            path=place.path,
            created_at=now,
        )
        session.add(row)
    elif seen is not None and row.file_fingerprint != seen[0].fingerprint:
        _changed(session, row, seen, now)
    row.config_file = place.config_file
    row.line = place.line
    row.names = list(place.names)
    row.listeners = list(place.listeners)
    row.files = [_kept(file) for file in place.files]
    row.managed_by = place.managed_by
    row.problems = [{"kind": kind, "message": message} for kind, message in place.problems]
    row.absent_since = None
    if place.fingerprint is not None and place.fingerprint != row.file_fingerprint:
        row.outside = []  # it was held against another file
    row.file_fingerprint = place.fingerprint or row.file_fingerprint
    row.served = sights.rows(dict.fromkeys(_told(sight, leaves) for sight in place.sights))
    session.flush()
    arrivals.named.add(row.id)


def _kept(file: FoundFile) -> dict[str, str | None]:
    kept = {"path": file.path, "kind": file.kind.value, "sha256": file.sha256}
    return kept if file.alias is None else {**kept, "alias": file.alias}


def _as_place(row: DeploymentRow) -> Place:
    """Return what another page of the same scan has said of a place."""
    return Place(
        service=row.service,
        path=row.path,
        config_file=row.config_file,
        line=row.line,
        names=tuple(row.names),
        listeners=tuple(row.listeners),
        files=tuple(
            FoundFile(one["path"], FileKind(one["kind"]), one["sha256"], one.get("alias"))
            for one in row.files
        ),
        fingerprint=row.file_fingerprint,
        managed_by=row.managed_by,
        problems=tuple((one["kind"], one["message"]) for one in row.problems),
        sights=sights.of(row.served),
    )


def _told(sight: Sight, leaves: Leaves) -> Sight:
    """Keep what a certificate says that was shown and may lie in no file."""
    shown = leaves.get(sight.fingerprint or "")
    if shown is None:
        return sight
    leaf, _ = shown
    return replace(sight, names=leaf.names[:_NAMED], not_after=leaf.not_after)


def _live(session: Session, server: ServerRow, now: datetime) -> None:
    """Take over what handshakes showed where the place's own server answered.

    What another one shows is told as a difference; deploying here again would not change it.
    """
    for row, view in deployments.survey(session, server.id):
        if row.absent_since is not None or not view.inside:
            continue
        found = difference(replace(view, outside=(), issued=None))
        if found.cause is Cause.IN_SYNC:
            row.live_fingerprint, row.verified_at = view.disk, now
            current = row.certificate.current
            if current is not None and current.fingerprint == view.disk:
                deployment_settled(row, now)
        elif found.cause is Cause.NOT_RELOADED and found.sight is not None:
            row.live_fingerprint = found.sight.fingerprint


def _changed(session: Session, row: DeploymentRow, seen: tuple[Leaf, str], now: datetime) -> None:
    """Somebody put another certificate there.

    Where the certificate is ours the place is now behind. Where it is not, it is a
    newer version of the same wish, or another wish.
    """
    if row.certificate.adopted_at is not None:
        return
    row.live_fingerprint = None
    leaf = seen[0]
    same_wish = set(leaf.names) == set(row.certificate.names) and leaf.key_type == row.certificate.key_type
    if same_wish and versions.by_fingerprint(session, leaf.fingerprint) is None:
        _add_version(session, row.certificate, seen, now)
    else:
        row.certificate_id = _certificate(session, seen, now).id


def _certificate(session: Session, seen: tuple[Leaf, str], now: datetime) -> CertificateRow:
    """Return the certificate whose version this is: the same bytes are the same certificate."""
    leaf, _ = seen
    known = versions.by_fingerprint(session, leaf.fingerprint)
    if known is not None:
        return certificates.get(session, known.certificate_id)
    row = CertificateRow(names=list(leaf.names), key_type=leaf.key_type, created_at=now)
    session.add(row)
    session.flush()
    _add_version(session, row, seen, now)
    return row


def _add_version(session: Session, row: CertificateRow, seen: tuple[Leaf, str], now: datetime) -> None:
    leaf, chain_pem = seen
    version = versions.add(session, row.id, leaf, chain_pem, Origin.SCANNED, now)
    if row.current is None or row.current.not_before <= leaf.not_before:
        row.current_version_id = version.id
        session.flush()
        session.expire(row, ["current"])
        schedule(session, row)
