"""Why something is done or left: a code for machines, a sentence for people."""

from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """Each reason that a decision or a result can carry."""

    #: Decisions about renewing.
    NOT_ADOPTED = "not_adopted"
    PAUSED = "paused"
    IN_PROGRESS = "in_progress"
    BACKING_OFF = "backing_off"
    DEFERRED = "deferred"
    NO_VERSION = "no_version"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EMERGENCY = "emergency"
    CA_ASKS = "ca_asks"
    CA_HURRIES = "ca_hurries"
    THRESHOLD = "threshold"
    FIRST_RENEWAL = "first_renewal"
    NOT_YET = "not_yet"
    #: Due, and not taken yet.
    QUEUED = "queued"
    OVER_BUDGET = "over_budget"
    BREAKER_OPEN = "breaker_open"
    NO_ACCOUNT = "no_account"
    #: Decisions about deploying.
    ABSENT = "absent"
    NO_KEY = "no_key"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    HELD_BACK = "held_back"
    #: Why a job was made.
    REQUESTED = "requested"
    SCHEDULED = "scheduled"
    SCAN_WANTED = "scan_wanted"
    REPORTED = "reported"
    #: How an item ended without a word from its own module.
    UNREACHABLE = "unreachable"
    HOST_KEY_CHANGED = "host_key_changed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    TASK_FAILED = "task_failed"
    NOT_REACHED = "not_reached"
    NO_HOSTS = "no_hosts"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    RUN_FAILED = "run_failed"
    WORKER_GONE = "worker_gone"
    ISSUE_FAILED = "issue_failed"
    RESULT_UNREADABLE = "result_unreadable"
    OTHER_MACHINE = "other_machine"
    #: How an item ended with one.
    ISSUED = "issued"
    SCANNED = "scanned"
    SERVED = "served"
    NOT_SERVED = "not_served"


#: Nothing was done on the host, because nobody got in.
NOBODY_GOT_IN = frozenset(
    {ReasonCode.UNREACHABLE, ReasonCode.HOST_KEY_CHANGED, ReasonCode.HOST_KEY_UNKNOWN},
)


@dataclass(frozen=True)
class Reason:
    """A decision's reason; the same text goes to log, row, API and screen."""

    code: str
    sentence: str
