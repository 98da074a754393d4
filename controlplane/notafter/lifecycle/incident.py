"""A CA has taken certificates back by itself, and an operator has its list before its windows say so."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from notafter.domain.errors import InvalidInput
from notafter.lifecycle.adopt import schedule
from notafter.store import certificates, versions
from notafter.store.database import Session

_HEX = re.compile(r"[0-9a-f]{1,64}")
_MOST = 100_000


@dataclass(frozen=True)
class Incident:
    """What a list of revoked certificates means here."""

    #: The certificates whose newest version is on the list: they are renewed before all others.
    renewed: tuple[str, ...]
    #: Versions on the list that were replaced before.
    replaced: int
    #: How many on the list are not ours.
    unknown: int


def parse(text: str) -> list[str]:
    """Return the serial numbers or fingerprints of a text, one a line, in hex; `#` begins a remark."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        mark = line.partition("#")[0].strip().lower().removeprefix("0x").replace(":", "")
        if mark and not _HEX.fullmatch(mark):
            raise InvalidInput(f"line {number} is neither a serial number nor a fingerprint in hex")
        if mark:
            found.append(mark.lstrip("0") if len(mark) < 64 else mark)  # noqa: PLR2004 -- a SHA-256 has 64
    return found


def revoked(session: Session, marks: Iterable[str], now: datetime) -> Incident:
    """Put on record that these were revoked; what still serves of them is due at once."""
    wanted = set(marks)
    if len(wanted) > _MOST:
        raise InvalidInput(f"a list has {_MOST} certificates at most, not {len(wanted)}")
    rows = versions.by_marks(session, wanted)
    current = []
    for row in rows:
        row.revoked_at = row.revoked_at or now
        certificate = certificates.get(session, row.certificate_id)
        if certificate.current_version_id == row.id and certificate.adopted_at is not None:
            certificate.next_attempt_at = None
            session.flush()
            schedule(session, certificate)
            current.append(certificate.key)
    return Incident(tuple(current), len(rows) - len(current), len(wanted) - len(rows))
