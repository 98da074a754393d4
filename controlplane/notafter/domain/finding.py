"""Findings: what somebody should know or do about a fleet, derived from facts and `now`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from notafter.domain.difference import Cause, Difference
from notafter.domain.identity import Kin
from notafter.domain.server import Presence


class Level(StrEnum):
    """How much it matters; the first comes first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Kind(StrEnum):
    """What a finding is about."""

    #: What is wrong with a certificate, its files or its configuration; as a scan names it.
    MISSING = "missing"
    UNREADABLE = "unreadable"
    MALFORMED = "malformed"
    NOT_YET_VALID = "not_yet_valid"
    KEY_MISMATCH = "key_mismatch"
    CHAIN_INCOMPLETE = "chain_incomplete"
    NAMES_NOT_COVERED = "names_not_covered"
    KEY_READABLE_BY_OTHERS = "key_readable_by_others"
    WEAK_KEY = "weak_key"
    UNRESOLVED = "unresolved"
    OTHER = "other"
    #: How long it lives.
    EXPIRED = "expired"
    EXPIRES_SOON = "expires_soon"
    RENEWAL_FAILED = "renewal_failed"
    #: Who looks after it.
    NOT_MANAGED = "not_managed"
    MANAGED_BY_ANOTHER = "managed_by_another"
    PLACE_NOT_ADOPTED = "place_not_adopted"
    #: Where disk, handshakes and the newest version differ.
    BEHIND = "behind"
    OVERWRITTEN = "overwritten"
    NOT_RELOADED = "not_reloaded"
    SERVED_BY_ANOTHER = "served_by_another"
    NOT_SERVED = "not_served"
    DIFFERS_OUTSIDE = "differs_outside"
    ABSENT = "absent"
    #: Servers.
    NEVER_SCANNED = "never_scanned"
    NOT_REACHABLE = "not_reachable"
    SCAN_FAILED = "scan_failed"
    CLONE = "clone"
    SAME_MACHINE = "same_machine"
    SAME_MACHINE_ID = "same_machine_id"


_LEVELS = {
    Kind.MISSING: Level.CRITICAL,
    Kind.UNREADABLE: Level.INFO,
    Kind.MALFORMED: Level.CRITICAL,
    Kind.NOT_YET_VALID: Level.CRITICAL,
    Kind.KEY_MISMATCH: Level.CRITICAL,
    Kind.UNRESOLVED: Level.INFO,
    Kind.EXPIRED: Level.CRITICAL,
    Kind.MANAGED_BY_ANOTHER: Level.INFO,
    Kind.BEHIND: Level.INFO,
    Kind.ABSENT: Level.INFO,
    Kind.SAME_MACHINE: Level.INFO,
}

#: What to do, in words; where the sentence itself says it there is no more to say.
REMEDIES = {
    Kind.MISSING: "put the file there, or take the line out of the configuration",
    Kind.UNREADABLE: "let the scan run as root, or mend the rights of the file",
    Kind.MALFORMED: "put a readable certificate and its key there",
    Kind.NOT_YET_VALID: "wait, or set the clock of whoever issued it",
    Kind.KEY_MISMATCH: "put the key there that belongs to the certificate: its server may not start again",
    Kind.CHAIN_INCOMPLETE: "put its issuer's certificate behind it in the file: some clients refuse it so",
    Kind.NAMES_NOT_COVERED: "issue it for these names too, or take them out of the configuration",
    Kind.KEY_READABLE_BY_OTHERS: "chmod 0600 the key; if strangers have accounts there, replace it",
    Kind.WEAK_KEY: "issue it anew with ec-256 or rsa-2048 and more",
    Kind.UNRESOLVED: "look at the line: what it names was not looked at",
    Kind.OTHER: "look at the line",
    Kind.EXPIRED: "renew it now: `notafter renew`, or adopt it first",
    Kind.EXPIRES_SOON: "adopt it (`notafter adopt`), or renew it where it is managed",
    Kind.RENEWAL_FAILED: "mend what the sentence says; it is tried again by itself",
    Kind.NOT_MANAGED: "adopt it: `notafter adopt`",
    Kind.MANAGED_BY_ANOTHER: "leave it to that client, or switch that off before you adopt it",
    Kind.PLACE_NOT_ADOPTED: "adopt the certificate again if this server may have its key",
    Kind.NEVER_SCANNED: "scan it: `notafter scan`",
    Kind.NOT_REACHABLE: "see that Ansible reaches it, or take it out of the inventory",
    Kind.SCAN_FAILED: "mend what the sentence says, then `notafter scan`",
    Kind.CLONE: "give the copy a machine id of its own: `rm /etc/machine-id && systemd-machine-id-setup`",
    Kind.SAME_MACHINE: "keep one of the two names in the inventory",
    Kind.SAME_MACHINE_ID: (
        "take the old name out of the inventory if the server was renamed; if one is a copy, give that"
        " a machine id of its own"
    ),
}

#: Kinds of problems that are told from facts instead: what a scan once said of them may no longer hold.
DERIVED = frozenset({"expired", "not_yet_valid", "not_reloaded", "served_by_another", "not_served"})

_CAUSES = {
    Cause.BEHIND: Kind.BEHIND,
    Cause.OVERWRITTEN: Kind.OVERWRITTEN,
    Cause.NOT_RELOADED: Kind.NOT_RELOADED,
    Cause.SERVED_BY_ANOTHER: Kind.SERVED_BY_ANOTHER,
    Cause.NOT_SERVED: Kind.NOT_SERVED,
    Cause.DIFFERS_OUTSIDE: Kind.DIFFERS_OUTSIDE,
    Cause.ABSENT: Kind.ABSENT,
}

_SOON = timedelta(days=30)
_VERY_SOON = timedelta(days=7)


@dataclass(frozen=True)
class Finding:
    """One thing to know: how bad, what, where, and what to do."""

    level: Level
    kind: Kind
    sentence: str
    remedy: str
    server: str
    service: str | None = None
    file: str | None = None
    line: int | None = None
    names: tuple[str, ...] = ()
    certificate: str | None = None
    fingerprint: str | None = None
    #: When that is of which the sentence tells, if it has a moment.
    moment: datetime | None = None
    #: Since when it is known.
    since: datetime | None = None

    def told(self, now: datetime) -> str:
        """Return the sentence, with how far away its moment is."""
        if self.moment is None:
            return self.sentence
        if self.moment > now:
            return f"{self.sentence}, in {_days(self.moment - now)}"
        return f"{self.sentence}, {_days(now - self.moment)} ago"

    @property
    def said(self) -> str:
        """All that can be searched for in it, in small letters, one a line."""
        parts = (self.sentence, self.server, self.service, self.file, *self.names, self.certificate)
        return "\n".join(one for one in (*parts, self.fingerprint) if one).casefold()


@dataclass(frozen=True)
class Life:
    """From when to when a certificate is valid."""

    begins: datetime
    ends: datetime

    @property
    def span(self) -> timedelta:
        """How long it lives."""
        return self.ends - self.begins


@dataclass(frozen=True)
class PlaceFacts:
    """What is known of one place; `spot` says where it is."""

    spot: Finding
    difference: Difference
    life: Life | None
    adopted: bool
    certificate_adopted: bool
    managed_by: str | None
    failures: int = 0
    last_problem: str | None = None
    renewal_failures: int = 0
    renewal_problem: str | None = None


@dataclass(frozen=True)
class ServerFacts:
    """What is known of one server."""

    name: str
    presence: Presence
    scanned: bool
    last_problem: str | None = None
    left: bool = False
    same_as: str | None = None
    twins: tuple[tuple[str, Kin], ...] = ()


def spot(server: str) -> Finding:
    """Return a finding that only says where; the rest is put in by whoever finds something there."""
    return Finding(Level.INFO, Kind.OTHER, "", "", server)


def of_problem(where: Finding, kind: str, message: str) -> Finding:
    """Make a finding of a problem that a scan named; a kind that we do not know is no less a finding."""
    known = Kind(kind) if kind in _PROBLEMS else Kind.OTHER
    return _at(where, known, message)


def of_place(facts: PlaceFacts, now: datetime) -> Iterator[Finding]:
    """Say all that there is to say of a place, beside the problems that a scan named."""
    where = facts.spot
    told = facts.difference
    kind = _CAUSES.get(told.cause)
    if told.cause is Cause.ABSENT and not facts.adopted:
        return  # what is gone and was never ours is nobody's business
    if kind is not None:
        yield _differs(facts, kind, now)
    if told.cause is Cause.ABSENT:
        return
    yield from _expiry(facts, now)
    yield from _manager(facts)
    if facts.renewal_failures:
        told_why = f"its renewal has failed {facts.renewal_failures} times: {facts.renewal_problem}"
        yield _at(where, Kind.RENEWAL_FAILED, told_why)


def changes_at(facts: PlaceFacts, now: datetime) -> datetime | None:
    """Return when time alone will next change what there is to say of a place; none: never."""
    shown, life = facts.difference.sight, facts.life
    moments = [shown.not_after] if shown is not None and shown.not_after is not None else []
    if life is not None:
        moments += [life.begins, life.ends - _soon(facts, life), life.ends - _very_soon(life), life.ends]
    return min((moment for moment in moments if moment > now), default=None)


def of_server(facts: ServerFacts) -> Iterator[Finding]:
    """Say what there is to say of a server as such."""
    where = spot(facts.name)
    if facts.same_as is not None:
        told = f"{facts.name} is the same machine as {facts.same_as}: what is on it is listed there"
        yield _at(where, Kind.SAME_MACHINE, told)
    for other, verdict in facts.twins:
        yield _at(where, *_TWINS[verdict](facts.name, other))
    if facts.left:
        return
    if facts.presence is Presence.OFFLINE:
        yield _at(
            where, Kind.NOT_REACHABLE, f"{facts.name} does not answer: {facts.last_problem or 'no reason'}"
        )
    elif not facts.scanned:
        yield _at(where, Kind.NEVER_SCANNED, f"nobody has looked at {facts.name} yet")
    elif facts.last_problem is not None:
        yield _at(where, Kind.SCAN_FAILED, f"the last look at {facts.name} failed: {facts.last_problem}")


def _differs(facts: PlaceFacts, kind: Kind, now: datetime) -> Finding:
    told, sentence = facts.difference, facts.difference.sentence
    if kind in {Kind.BEHIND, Kind.NOT_RELOADED, Kind.OVERWRITTEN} and facts.failures:
        sentence += f"; tried {facts.failures} times: {facts.last_problem}"
    found = _at(facts.spot, kind, sentence)
    shown = told.sight
    if shown is not None and shown.not_after is not None and shown.not_after <= now:
        sentence = f"{sentence}; what is shown ended {_date(shown.not_after)}"
        return replace(found, level=Level.CRITICAL, sentence=sentence)
    if kind is Kind.BEHIND and facts.failures:
        return replace(found, level=Level.WARNING)
    if kind is Kind.NOT_SERVED and not facts.adopted:
        return replace(found, level=Level.INFO)
    return found


def _expiry(facts: PlaceFacts, now: datetime) -> Iterator[Finding]:
    life = facts.life
    if life is None:
        return
    left = life.ends - now
    if life.begins > now:
        yield _at(facts.spot, Kind.NOT_YET_VALID, f"it is valid from {_date(life.begins)}")
    where = replace(facts.spot, moment=life.ends)
    if left <= timedelta(0):
        yield _at(where, Kind.EXPIRED, f"it ended {_date(life.ends)}")
    elif left <= _soon(facts, life):
        found = _at(where, Kind.EXPIRES_SOON, f"it ends {_date(life.ends)}")
        yield replace(found, level=Level.CRITICAL) if left <= _very_soon(life) else found


def _soon(facts: PlaceFacts, life: Life) -> timedelta:
    return min(_SOON, life.span / 5 if facts.adopted else life.span / 3)


def _very_soon(life: Life) -> timedelta:
    return min(_VERY_SOON, life.span / 10)


def _manager(facts: PlaceFacts) -> Iterator[Finding]:
    if facts.managed_by is not None:
        also = " although we renew it too: one of the two will overwrite the other" if facts.adopted else ""
        found = _at(facts.spot, Kind.MANAGED_BY_ANOTHER, f"{facts.managed_by} renews it{also}")
        yield replace(found, level=Level.WARNING) if facts.adopted else found
    elif facts.certificate_adopted and not facts.adopted:
        told = "it is adopted, but not at this place: its key is not brought here"
        yield _at(facts.spot, Kind.PLACE_NOT_ADOPTED, told)
    elif not facts.adopted:
        yield _at(facts.spot, Kind.NOT_MANAGED, "nobody renews it")


_TWINS: Mapping[Kin, Callable[[str, str], tuple[Kind, str]]] = {
    Kin.CLONE: lambda name, other: (
        Kind.CLONE,
        f"{name} and {other} are two machines with one machine id: one is a copy of the other",
    ),
    Kin.SAME: lambda name, other: (Kind.SAME_MACHINE, f"{name} and {other} are the same machine"),
    Kin.UNDECIDED: lambda name, other: (
        Kind.SAME_MACHINE_ID,
        f"{name} has the machine id of {other}: it was renamed and started anew, or one is a copy",
    ),
}

_PROBLEMS = frozenset(
    kind.value
    for kind in (
        Kind.MISSING,
        Kind.UNREADABLE,
        Kind.MALFORMED,
        Kind.NOT_YET_VALID,
        Kind.KEY_MISMATCH,
        Kind.CHAIN_INCOMPLETE,
        Kind.NAMES_NOT_COVERED,
        Kind.KEY_READABLE_BY_OTHERS,
        Kind.WEAK_KEY,
        Kind.UNRESOLVED,
        Kind.EXPIRED,
    )
)


def _at(where: Finding, kind: Kind, sentence: str) -> Finding:
    return replace(
        where,
        level=_LEVELS.get(kind, Level.WARNING),
        kind=kind,
        sentence=sentence,
        remedy=REMEDIES.get(kind, ""),
    )


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _days(span: timedelta) -> str:
    if span >= timedelta(days=2):
        return f"{span.days} days"
    hours = int(span.total_seconds() // 3600)
    return f"{hours} hours" if hours > 1 else f"{int(span.total_seconds() // 60)} minutes"
