"""The report of a fleet: as text for a person, as JSON, or as CSV that a spreadsheet takes as text."""

import csv
import io
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from notafter.cli.answer import as_text, plain, say
from notafter.domain.difference import difference
from notafter.domain.finding import Finding, Kind, Level
from notafter.lifecycle import findings
from notafter.store import deployments, versions
from notafter.store.database import Session
from notafter.store.findings import Wanted

#: How many entries a section of the text has; the other forms have all.
_MOST = 200
_NAMES = 4
_EXPIRY = frozenset({Kind.EXPIRED, Kind.EXPIRES_SOON})
_UNMANAGED = frozenset({Kind.NOT_MANAGED})
#: What a spreadsheet takes for the beginning of a formula, in every width of letters.
_FORMULA = frozenset("=+-@|%")
_COLUMNS = (
    "what",
    "level",
    "kind",
    "server",
    "service",
    "file",
    "line",
    "names",
    "certificate",
    "fingerprint",
    "ends",
    "managed_by",
    "sentence",
    "remedy",
)


class Form(StrEnum):
    """How a report is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class Spot:
    """Where one certificate serves, and how it stands."""

    server: str
    service: str
    file: str
    names: tuple[str, ...]
    listeners: tuple[str, ...]
    certificate: str
    fingerprint: str | None
    ends: datetime | None
    managed_by: str | None
    state: str


@dataclass(frozen=True)
class Report:
    """What is where, and what there is to say about it."""

    findings: list[Finding]
    places: list[Spot] = field(default_factory=list)
    whole: bool = False


def gather(session: Session, now: datetime, names: Collection[str] | None) -> Report:
    """Return the report of these servers, or of all."""
    found = findings.everything(session, now, Wanted())
    surveyed = [(row, view) for row, view in deployments.survey(session) if row.absent_since is None]
    lives = versions.lives(session, (row.file_fingerprint for row, _ in surveyed))
    places = [
        Spot(
            server=row.server.name,
            service=row.service,
            file=row.path,
            names=tuple(row.names),
            listeners=tuple(row.listeners),
            certificate=row.certificate.key,
            fingerprint=row.file_fingerprint,
            ends=lives[row.file_fingerprint][1] if row.file_fingerprint in lives else None,
            managed_by="notafter" if view.issued else row.managed_by,
            state=difference(view).cause.value,
        )
        for row, view in surveyed
    ]
    return Report(
        findings=[one for one in found if names is None or one.server in names],
        places=[one for one in places if names is None or one.server in names],
        whole=True,
    )


def show(report: Report, form: Form) -> None:
    """Print a report."""
    if form is Form.JSON:
        as_text(_json(report))
    elif form is Form.CSV:
        sys.stdout.write(_csv(report))
    elif report.whole:
        _text(report)
    else:
        _listed(report.findings, "nothing is wrong, as far as is known")


def _json(report: Report) -> Any:  # noqa: ANN401 -- JSON
    told = [asdict(one) for one in report.findings]
    if not report.whole:
        return told
    levels, kinds = findings.counts(report.findings)
    return {
        "places": [asdict(one) for one in report.places],
        "findings": told,
        "counts": {"level": levels, "kind": kinds},
    }


def _csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(_COLUMNS)
    for what, rows in (("place", report.places), ("finding", report.findings)):
        for row in rows:
            said = {"what": what, **asdict(row)}
            writer.writerow([_cell(said.get(column)) for column in _COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    """Return a value that no spreadsheet computes (OWASP, CSV injection): a quote before it says text.

    A formula may hide behind blanks, invisible signs or wide letters.
    """
    if isinstance(value, datetime):
        return value.isoformat()
    words = " ".join(str(one) for one in value) if isinstance(value, tuple) else str(value or "")
    text = "".join(sign if sign.isprintable() else " " for sign in words)
    begins = unicodedata.normalize("NFKC", text).lstrip(" \u00a0\u200b'\"")[:1]
    risky = begins in _FORMULA if begins else False
    return f"'{text}" if risky or words[:1] in {"\t", "\r", "\n"} else text


def _text(report: Report) -> None:
    levels, _ = findings.counts(report.findings)
    servers = {one.server for one in report.places}
    certificates = {one.certificate for one in report.places}
    say(f"{len(certificates)} certificates in {len(report.places)} places on {len(servers)} servers")
    say(", ".join(f"{count} {level}" for level, count in levels.items()))
    _places(report.places)
    apart = _EXPIRY | _UNMANAGED
    say("\nWhat is wrong")
    _listed([one for one in report.findings if one.kind not in apart], "nothing that we know of")
    say("\nWhat expires")
    _listed([one for one in report.findings if one.kind in _EXPIRY], "nothing soon")
    say("\nWhat nobody manages")
    _listed([one for one in report.findings if one.kind in _UNMANAGED], "nothing")


def _places(places: list[Spot]) -> None:
    say("\nWhat is where")
    table = Table("server", "service", "file", "names", "ends", "managed by", "state")
    for one in places[:_MOST]:
        ends = f"{one.ends:%Y-%m-%d}" if one.ends else ""
        cells = (one.server, one.service, one.file, _some(one.names), ends, one.managed_by or "", one.state)
        table.add_row(*(Text(plain(cell), overflow="fold") for cell in cells))
    Console().print(table)
    _more(len(places))


def _listed(found: list[Finding], nothing: str) -> None:
    if not found:
        say(f"  {nothing}")
    for one in found[:_MOST]:
        for line in _lines(one):
            say(plain(line))
    _more(len(found))


def _lines(one: Finding) -> Iterator[str]:
    where = " ".join(part for part in (one.server, one.service, _file(one)) if part)
    names = f" ({_some(one.names)})" if one.names else ""
    mark = "!" if one.level is Level.CRITICAL else "*" if one.level is Level.WARNING else "-"
    yield f"  {mark} {one.level} {one.kind}: {where}{names}"
    yield f"      {one.sentence}"
    if one.remedy:
        yield f"      -> {one.remedy}"


def _file(one: Finding) -> str | None:
    return f"{one.file}:{one.line}" if one.file and one.line else one.file


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMES} more" if len(listed) > _NAMES else ""
    return ", ".join(listed[:_NAMES]) + more


def _more(count: int) -> None:
    if count > _MOST:
        say(f"  … and {count - _MOST} more: --json and --csv have all")
