"""Jobs and their items: one run of one playbook, and what it is to bring about."""

from collections.abc import Mapping
from enum import StrEnum

from notafter.domain.errors import IllegalMove


class JobKind(StrEnum):
    """What a job does; the playbook has the same name."""

    SCAN = "scan"
    RENEW = "renew"
    DEPLOY = "deploy"
    VERIFY = "verify"
    #: The CA takes a certificate back (RFC 8555 §7.6).
    REVOKE = "revoke"
    #: Somebody else ran a playbook and told of it: recorded when it has ended, never queued.
    REPORT = "report"


class JobState(StrEnum):
    """Where a job stands."""

    #: Waits for a worker.
    QUEUED = "queued"
    #: A worker holds it; its fencing token is the current one.
    RUNNING = "running"
    #: Each item succeeded.
    SUCCEEDED = "succeeded"
    #: At least one item did not.
    FAILED = "failed"
    #: The control plane was stopped, or a person stopped the job.
    CANCELLED = "cancelled"
    #: Its worker is gone; what is left to do is due again.
    LOST = "lost"


class ItemState(StrEnum):
    """Where one certificate, deployment or server stands in a job."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: The CA asked to wait: no attempt, and counted as none.
    DEFERRED = "deferred"
    #: Not tried, because something before it failed.
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    LOST = "lost"


class Subject(StrEnum):
    """What an item is about."""

    CERTIFICATE = "certificate"
    DEPLOYMENT = "deployment"
    SERVER = "server"


OPEN_JOB_STATES = frozenset({JobState.QUEUED, JobState.RUNNING})
OPEN_ITEM_STATES = frozenset({ItemState.WAITING, ItemState.RUNNING})
#: It ended, and what it was to bring about is not there.
UNDONE_ITEM_STATES = frozenset(ItemState) - OPEN_ITEM_STATES - {ItemState.SUCCEEDED}

JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST},
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.LOST: frozenset(),
}

_ITEM_ENDS = frozenset(ItemState) - OPEN_ITEM_STATES

ITEM_TRANSITIONS: Mapping[ItemState, frozenset[ItemState]] = {
    ItemState.WAITING: frozenset({ItemState.RUNNING}) | _ITEM_ENDS,
    ItemState.RUNNING: _ITEM_ENDS,
    **{end: frozenset[ItemState]() for end in _ITEM_ENDS},
}


def move_job(current: JobState, to: JobState) -> JobState:
    """Return the new state, or say that there is no such move."""
    if to not in JOB_TRANSITIONS[current]:
        raise IllegalMove(f"a job that is {current} cannot become {to}")
    return to


def move_item(current: ItemState, to: ItemState) -> ItemState:
    """Return the new state, or say that there is no such move."""
    if to not in ITEM_TRANSITIONS[current]:
        raise IllegalMove(f"an item that is {current} cannot become {to}")
    return to


def end_of(states: list[ItemState]) -> JobState:
    """Tell how a job ended from how its items did."""
    if any(state is ItemState.CANCELLED for state in states):
        return JobState.CANCELLED
    if states and all(state is ItemState.SUCCEEDED for state in states):
        return JobState.SUCCEEDED
    return JobState.FAILED
