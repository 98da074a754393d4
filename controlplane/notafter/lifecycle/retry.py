"""What a job has not brought about is tried again at once, because somebody asks for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from notafter.domain.deployment import why_deploy
from notafter.domain.errors import Conflict
from notafter.domain.job import OPEN_JOB_STATES, UNDONE_ITEM_STATES, ItemState, JobKind, Subject
from notafter.domain.reason import ReasonCode
from notafter.lifecycle.request import renew_one
from notafter.store import certificates, deployments, items, jobs, revocations
from notafter.store.database import Session
from notafter.store.tables import ItemRow, JobRow


@dataclass(frozen=True)
class Omitted:
    """What is not tried again, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Retried:
    """The jobs that try again: one of the same kind, and one that deploys what was issued already."""

    jobs: tuple[JobRow, ...]
    omitted: tuple[Omitted, ...]


def retry(session: Session, job_id: int, who: str, now: datetime) -> Retried:
    """Make a job for the items of an ended one that did not succeed; what did is left alone."""
    job = jobs.get(session, job_id)
    if job.state in OPEN_JOB_STATES:
        raise Conflict(f"job {job_id} is {job.state}: wait for its end, or cancel it first")
    if job.kind is JobKind.REPORT:
        raise Conflict(f"job {job_id} is a run that somebody else started: run it again where that was done")
    rows = items.of_job(session, job.id)
    undone = [item for item in rows if item.state in UNDONE_ITEM_STATES]
    attempt = _Attempt(session, job, who, now)
    if not rows and job.whole_fleet:
        attempt.whole_fleet()
    elif not undone:
        raise Conflict(f"nothing of job {job_id} has failed: there is nothing to try again")
    for item in undone:
        attempt.take(item)
    return attempt.made()


@dataclass
class _Attempt:
    """The jobs in the making."""

    session: Session
    job: JobRow
    who: str
    now: datetime
    found: dict[JobKind, JobRow] = field(default_factory=dict)
    omitted: list[Omitted] = field(default_factory=list)

    @property
    def why(self) -> str:
        return f"retry of job {self.job.id} asked by {self.who}"

    def of(self, kind: JobKind) -> JobRow:
        """Return the new job of a kind, made at the first need."""
        if kind not in self.found:
            self.found[kind] = jobs.add(self.session, kind, self.why, self.who, self.now)
        return self.found[kind]

    def whole_fleet(self) -> None:
        """Look at the whole inventory, of which the job had not seen the servers yet."""
        busy = jobs.fleet_scan_open(self.session)
        if busy is not None:
            raise Conflict(f"job {busy.id} is scanning the whole fleet already")
        self.of(JobKind.SCAN).whole_fleet = True

    def take(self, item: ItemRow) -> None:
        """Take an item up again, unless something speaks against it."""
        busy = _open_item(self.session, item)
        if busy is not None:
            if busy.job not in self.found.values():
                self._omit(item, f"job {busy.job_id} is at it")
            return
        against = _TAKE[self.job.kind, item.subject](self, item)
        if against is not None:
            self._omit(item, against)

    def made(self) -> Retried:
        """Return what came of it."""
        if not self.found:
            told = "; ".join(f"{one.what}: {one.why}" for one in self.omitted)
            raise Conflict(f"nothing of job {self.job.id} can be tried again: {told}")
        return Retried(tuple(self.found.values()), tuple(self.omitted))

    def _omit(self, item: ItemRow, why: str) -> None:
        self.omitted.append(Omitted(_called(item), why))

    def renewal(self, item: ItemRow) -> str | None:
        """Renew a certificate, unless it has another version since."""
        row = certificates.get(self.session, item.certificate_id or 0)
        if row.adopted_at is None:
            return "nobody has adopted it"
        if row.current is not None and row.current.fingerprint != item.before_fingerprint:
            return "it has another version since"
        renew_one(self.session, self.of(JobKind.RENEW), row, self.why, self.who, self.now)
        return None

    def deploy(self, item: ItemRow) -> str | None:
        """Bring a place up to date; of a renewal, where the certificate itself is not renewed again."""
        place = item.deployment
        if place is None or self._is_renewed(item):
            return None
        decision = why_deploy(deployments.facts(self.session, place), self.now)
        if not decision.due and decision.reason.code != ReasonCode.BACKING_OFF:
            return decision.reason.sentence
        items.add_deployment(self.session, self.of(JobKind.DEPLOY), place, self.why)
        return None

    def _is_renewed(self, item: ItemRow) -> bool:
        """Tell whether the certificate of a place was to be renewed, and was not: that comes first."""
        if self.job.kind is not JobKind.RENEW:
            return False
        return any(
            one.certificate_id == item.certificate_id and one.state is not ItemState.SUCCEEDED
            for one in items.of_job(self.session, self.job.id, Subject.CERTIFICATE)
        )

    def look(self, item: ItemRow) -> str | None:
        """Look at a place from outside."""
        place = item.deployment
        if place is None or place.adopted_at is None or place.absent_since is not None:
            return "it is no place of ours any more"
        if place.certificate.current is None:
            return "nothing is to be served there"
        items.add_deployment(self.session, self.of(JobKind.VERIFY), place, self.why)
        return None

    def scan(self, item: ItemRow) -> str | None:
        """Look at a server."""
        if item.server is None or item.server.left_at is not None:
            return "the inventory no longer has it"
        items.add_server(self.session, self.of(JobKind.SCAN), item.server, self.why)
        return None

    def revocation(self, item: ItemRow) -> str | None:
        """Ask the CA again, if somebody still wants it to."""
        wish = revocations.of_item(self.session, item)
        if wish is None:
            return "nobody wants it revoked any more"
        if wish.done_at is not None:
            return "it was revoked since"
        items.add_revocation(self.session, self.of(JobKind.REVOKE), wish)
        return None


_TAKE: Mapping[tuple[JobKind, Subject], Callable[[_Attempt, ItemRow], str | None]] = {
    (JobKind.RENEW, Subject.CERTIFICATE): _Attempt.renewal,
    (JobKind.RENEW, Subject.DEPLOYMENT): _Attempt.deploy,
    (JobKind.DEPLOY, Subject.DEPLOYMENT): _Attempt.deploy,
    (JobKind.VERIFY, Subject.DEPLOYMENT): _Attempt.look,
    (JobKind.SCAN, Subject.SERVER): _Attempt.scan,
    (JobKind.REVOKE, Subject.CERTIFICATE): _Attempt.revocation,
}


def _open_item(session: Session, item: ItemRow) -> ItemRow | None:
    """Return the item of an open job that is about the same."""
    if item.subject is Subject.CERTIFICATE and item.certificate_id is not None:
        return items.open_certificate(session, item.certificate_id)
    if item.subject is Subject.DEPLOYMENT and item.deployment_id is not None:
        return items.open_deployment(session, item.deployment_id)
    return items.open_server(session, item.server_id) if item.server_id is not None else None


def _called(item: ItemRow) -> str:
    """Return what people call the subject of an item."""
    if item.subject is Subject.SERVER and item.server is not None:
        return item.server.name
    row = item.deployment if item.subject is Subject.DEPLOYMENT else item.certificate
    return row.key if row is not None else f"item {item.id}"
