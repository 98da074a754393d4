"""Asks the CAs for the renewal windows of what serves now, and puts them on record."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from notafter.ca import directory, renewal_info
from notafter.ca.reach import Reach
from notafter.ca.renewal_info import RenewalInfo
from notafter.domain.errors import CaError
from notafter.lifecycle.adopt import schedule
from notafter.store import certificates, versions
from notafter.store.database import Database, Session
from notafter.store.tables import AccountRow, VersionRow

log = structlog.get_logger(__name__)

_AT_ONCE = 100
#: A CA without renewal information may get it one day.
_NO_SUCH_SERVICE = timedelta(days=1)
_CA_SILENT = timedelta(minutes=5)

_Source = tuple[str, str | None]


@dataclass(frozen=True)
class _Question:
    """What is asked about one version; none of it is a secret."""

    version_id: int
    name: str
    source: _Source
    failures: int


def ask(database: Database, now: datetime, reach: Reach) -> int:
    """Ask for the windows that are due to be asked for; return how many came."""
    with database.read() as session:
        questions = [_question(session, row) for row in versions.to_ask(session, now, _AT_ONCE)]
    services: dict[_Source, str | timedelta] = {}
    came = 0
    for question in questions:
        if question.source not in services:
            services[question.source] = _service(question.source, reach)
        info = _answer(question, services[question.source], reach, now)
        _store(database, question.version_id, info)
        came += info.window is not None
    return came


def _question(session: Session, row: VersionRow) -> _Question:
    account = _issuer(session, row)
    source = (account.directory, account.bundle_pem) if account else ("", None)
    name = renewal_info.certificate_id(row.authority_key_id or "", row.serial)
    return _Question(row.id, name, source, row.ari_failures)


def _issuer(session: Session, row: VersionRow) -> AccountRow | None:
    """Return the account at the CA that has issued a version; of one that was found, its certificate's."""
    if row.account_id is not None:
        return session.get_one(AccountRow, row.account_id)
    return certificates.get(session, row.certificate_id).account


def _service(source: _Source, reach: Reach) -> str | timedelta:
    """Return where a CA gives renewal information, or how long not to ask."""
    try:
        found = directory.read(*source, reach).renewal_info
    except CaError as error:
        log.warning("the CA does not answer", directory=source[0], reason=str(error))
        return _CA_SILENT
    return found or _NO_SUCH_SERVICE


def _answer(question: _Question, service: str | timedelta, reach: Reach, now: datetime) -> RenewalInfo:
    if isinstance(service, timedelta):
        return RenewalInfo(None, None, now + service, failed=True)
    return renewal_info.ask(service, question.source[1], reach, question.name, now, question.failures)


def _store(database: Database, version_id: int, info: RenewalInfo) -> None:
    """Keep what came; a CA that is silent today does not take back what it said."""
    with database.write() as session:
        row = session.get_one(VersionRow, version_id)
        row.ari_next_poll_at = info.next_poll_at
        row.ari_failures = row.ari_failures + 1 if info.failed else 0
        if info.window is not None:
            row.ari_start, row.ari_end = info.window.start, info.window.end
            row.ari_explanation = info.explanation_url
        session.flush()
        certificate = certificates.get(session, row.certificate_id)
        if certificate.current_version_id == row.id:
            schedule(session, certificate)
