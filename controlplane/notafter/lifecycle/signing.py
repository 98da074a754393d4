"""Before a run: each certificate that is to be signed has an attempt with a key and a request."""

from dataclasses import dataclass
from datetime import datetime

from notafter.custody import keys
from notafter.custody.custodian import Place
from notafter.domain.certificate import KeyType
from notafter.domain.errors import Conflict
from notafter.domain.job import JobKind, Subject
from notafter.failpoint import failpoint
from notafter.lifecycle.record import Desk
from notafter.store import certificates, items, jobs, requests
from notafter.store.database import Session
from notafter.store.jobs import Claim
from notafter.store.tables import CertificateRow, ItemRow, RequestRow

#: Bytes: a version with its chain and sealed key, its item, and what the log says of it.
_ROOM_FOR_ONE = 64 * 1024
_ROOM = 512 * 1024


@dataclass(frozen=True)
class _Wanted:
    """What an attempt must be for."""

    certificate_id: int
    account_id: int
    names: tuple[str, ...]
    key_type: KeyType


def prepare(desk: Desk, claim: Claim, now: datetime) -> None:
    """Make the attempts of a job; one that is open and still fits is used again."""
    with desk.database.read() as session:
        signs = jobs.get(session, claim.job_id).kind is JobKind.RENEW
        number = len(items.of_job(session, claim.job_id, Subject.CERTIFICATE)) if signs else 0
        missing = _missing(session, claim.job_id) if signs else []
    if number:  # what the CA signs must find room on record
        desk.database.require_room(_ROOM + number * _ROOM_FOR_ONE)
    for wanted in missing:
        key = keys.make_key(wanted.key_type)
        csr = keys.make_request(key, wanted.names)
        failpoint("signing.made")
        with desk.database.write() as session:
            jobs.holding(session, claim)
            _store(session, desk, wanted, csr, keys.private_pem(key), now)
        failpoint("signing.stored")


def _missing(session: Session, job_id: int) -> list[_Wanted]:
    found = []
    for item in items.of_job(session, job_id, Subject.CERTIFICATE):
        row = certificates.get(session, item.certificate_id or 0)
        wanted = _wanted(row, item)
        request = requests.open_of(session, row.id)
        if request is None or not _fits(request, wanted):
            found.append(wanted)
    return found


def _wanted(row: CertificateRow, item: ItemRow) -> _Wanted:
    if item.account_id is None:
        raise Conflict(f"{row.key} has no CA account")
    return _Wanted(row.id, item.account_id, tuple(row.names), KeyType(row.key_type))


def _fits(request: RequestRow, wanted: _Wanted) -> bool:
    mine = (request.account_id, tuple(request.names), request.key_type)
    return mine == (wanted.account_id, wanted.names, wanted.key_type.value)


def _store(  # noqa: PLR0913, PLR0917 -- all that an attempt is made of
    session: Session,
    desk: Desk,
    wanted: _Wanted,
    csr: str,
    private: bytes,
    now: datetime,
) -> None:
    old = requests.open_of(session, wanted.certificate_id)
    if old is not None:
        requests.abandon(old, now)
        session.flush()
    row = RequestRow(
        certificate_id=wanted.certificate_id,
        account_id=wanted.account_id,
        names=list(wanted.names),
        key_type=wanted.key_type.value,
        csr_pem=csr,
        created_at=now,
    )
    session.add(row)
    session.flush()
    row.sealed_key = desk.custodian.seal(private, Place("request", row.id, "sealed_key"))
    failpoint("signing.sealed")
