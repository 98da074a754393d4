"""How a run of Ansible ended, as a whole."""

from dataclasses import dataclass
from enum import StrEnum

from notafter.domain.reason import Reason, ReasonCode


class RunState(StrEnum):
    """What became of the process."""

    #: It ran to its end; single hosts may have failed.
    COMPLETED = "completed"
    #: The playbook matched no host, which Ansible calls a success.
    NO_HOSTS = "no_hosts"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    #: Ansible could not start, did not understand its input, or was killed.
    BROKEN = "broken"


ENDED_BY_ITSELF = frozenset({RunState.COMPLETED, RunState.NO_HOSTS, RunState.TIMED_OUT})

_REASONS = {
    RunState.COMPLETED: (ReasonCode.NOT_REACHED, "the run ended without a word about it"),
    RunState.NO_HOSTS: (ReasonCode.NO_HOSTS, "the playbook matched no host"),
    RunState.CANCELLED: (ReasonCode.CANCELLED, "the run was stopped"),
    RunState.TIMED_OUT: (ReasonCode.TIMED_OUT, "the run took too long and was stopped"),
    RunState.BROKEN: (ReasonCode.RUN_FAILED, "the run broke off"),
}


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, with the last words of Ansible where it broke."""

    state: RunState
    message: str | None = None

    def reason(self) -> Reason:
        """Return why an item without an outcome has none."""
        code, sentence = _REASONS[self.state]
        return Reason(code, f"{sentence}: {self.message}" if self.message else sentence)
