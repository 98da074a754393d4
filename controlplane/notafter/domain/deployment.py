"""A deployment: one place on one server where a certificate serves."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notafter.domain.reason import Reason, ReasonCode
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
    BROKEN = "broken"


#: The states after which the new certificate is where it should be.
GOOD_STATES = frozenset({DeployState.DEPLOYED, DeployState.UNCHANGED, DeployState.STAGED})


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
    if not facts.behind:
        return _no(ReasonCode.IN_SYNC, "the newest version is in place")
    if facts.in_progress:
        return _no(ReasonCode.IN_PROGRESS, "a job is at it")
    if facts.next_attempt_at is not None and facts.next_attempt_at > now:
        sentence = f"tried {facts.failures} times, again at {facts.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
        return _no(ReasonCode.BACKING_OFF, sentence, facts.next_attempt_at)
    seen = facts.live_fingerprint or facts.file_fingerprint or "nothing known"
    sentence = f"serves {seen[:16]} instead of {facts.wanted.fingerprint[:16]}"
    return Decision(due=True, reason=Reason(ReasonCode.BEHIND, sentence))


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
