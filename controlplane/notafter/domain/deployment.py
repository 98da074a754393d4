"""A deployment: one place on one server where a certificate serves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notafter.domain.reason import Reason, ReasonCode
from notafter.domain.rollout import NotTaken
from notafter.domain.version import Version


class FileKind(StrEnum):
    """What one file of a deployment holds."""

    LEAF = "leaf"
    CHAIN = "chain"
    FULLCHAIN = "fullchain"
    KEY = "key"
    COMBINED = "combined"
    PKCS12 = "pkcs12"
    JKS = "jks"
    DER = "der"
    PKCS7 = "pkcs7"


#: The files that a deployment is known by: each holds the end-entity certificate.
LEAF_KINDS = frozenset(set(FileKind) - {FileKind.CHAIN, FileKind.KEY})


class DeployState(StrEnum):
    """How a deploy ended on the host; the collection's contract describes each."""

    DEPLOYED = "deployed"
    UNCHANGED = "unchanged"
    STAGED = "staged"
    PLANNED = "planned"
    ROLLED_BACK = "rolled_back"
    BLOCKED_BY_HOST = "blocked_by_host"
    CONFLICT = "conflict"
    REFUSED = "refused"
    BUSY = "busy"
    HELD_BACK = "held_back"
    BROKEN = "broken"


#: The states after which the new certificate is where it should be.
GOOD_STATES = frozenset({DeployState.DEPLOYED, DeployState.UNCHANGED, DeployState.STAGED})
#: The new certificate was put there and did not come to serve: the next server may fare no better.
NOT_TAKEN_STATES = frozenset({DeployState.ROLLED_BACK, DeployState.BROKEN})


class Sync(StrEnum):
    """What the facts of a deployment amount to; derived, never stored."""

    UNMANAGED = "unmanaged"
    ABSENT = "absent"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    FAILED = "failed"


@dataclass(frozen=True)
class DeploymentFacts:
    """What the deployment policy knows about one place."""

    adopted: bool
    absent: bool
    in_progress: bool
    wanted: Version | None
    live_fingerprint: str | None
    file_fingerprint: str | None
    next_attempt_at: datetime | None = None
    failures: int = 0
    last_problem: str | None = None
    #: The places that did not take the wanted version, if this one is to wait for them.
    held_back_by: tuple[NotTaken, ...] = ()
    #: When what is served here is near its end, and waits for nobody; none: it is not known what that is.
    urgent_at: datetime | None = None

    def urgent(self, now: datetime) -> bool:
        """Tell whether this place does not wait for others: there is little to lose, or no time."""
        return self.urgent_at is None or self.urgent_at <= now

    @property
    def behind(self) -> bool:
        """Tell whether anything seen there differs from what should be there."""
        if self.wanted is None:
            return False
        seen = [mark for mark in (self.live_fingerprint, self.file_fingerprint) if mark]
        return not seen or any(mark != self.wanted.fingerprint for mark in seen)


@dataclass(frozen=True)
class Decision:
    """Whether something is due, why, and if not: when it will be looked at again."""

    due: bool
    reason: Reason
    at: datetime | None = None


def why_deploy(facts: DeploymentFacts, now: datetime) -> Decision:  # noqa: PLR0911 -- a ladder: the first rung that holds
    """Say whether a deployment is to be brought up to date: the first check that speaks wins."""
    if not facts.adopted:
        return _no(ReasonCode.NOT_ADOPTED, "nobody has adopted this certificate here")
    if facts.absent:
        return _no(ReasonCode.ABSENT, "the last scan no longer found this place")
    if facts.wanted is None or not facts.wanted.has_key:
        return _no(ReasonCode.NO_KEY, "nothing was issued yet that could be deployed")
    if facts.wanted.revoked_at is not None:
        return _no(ReasonCode.REVOKED, "the newest version was revoked: another one comes first")
    if not facts.behind:
        return _no(ReasonCode.IN_SYNC, "the newest version is in place")
    if facts.in_progress:
        return _no(ReasonCode.IN_PROGRESS, "a job is at it")
    if facts.next_attempt_at is not None and facts.next_attempt_at > now:
        sentence = f"tried {facts.failures} times, again at {facts.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
        return _no(ReasonCode.BACKING_OFF, sentence, facts.next_attempt_at)
    if facts.held_back_by and not facts.urgent(now):
        return _held_back(facts.held_back_by, facts.urgent_at)
    seen = facts.live_fingerprint or facts.file_fingerprint or "nothing known"
    sentence = f"serves {seen[:16]} instead of {facts.wanted.fingerprint[:16]}"
    return Decision(due=True, reason=Reason(ReasonCode.BEHIND, sentence))


def _held_back(by: tuple[NotTaken, ...], urgent_at: datetime | None) -> Decision:
    """Say for whom a place waits, and when that is tried again."""
    moments = [one.again_at for one in by if one.again_at is not None]
    first, *others = sorted(by, key=lambda one: one.server)
    more = f" and {len(others)} more" if others else ""
    again = f", tried again at {min(moments):%Y-%m-%d %H:%M:%S} UTC" if moments else ""
    sentence = f"waits for {first.server}{more}, which did not take it{again}: {first.problem}"
    if urgent_at is not None:
        moments.append(urgent_at)
    return _no(ReasonCode.HELD_BACK, sentence, min(moments, default=None))


def sync(facts: DeploymentFacts) -> Sync:
    """Sum a deployment up in one word."""
    if facts.absent:
        return Sync.ABSENT
    if not facts.adopted or facts.wanted is None or not facts.wanted.has_key:
        return Sync.UNMANAGED
    if not facts.behind:
        return Sync.IN_SYNC
    return Sync.FAILED if facts.failures else Sync.BEHIND


def _no(code: ReasonCode, sentence: str, at: datetime | None = None) -> Decision:
    return Decision(due=False, reason=Reason(code, sentence), at=at)
