"""How a new version comes to the servers of its certificate: to a few first, no further while those fail."""

import re
from dataclasses import dataclass
from datetime import datetime

from notafter.domain.errors import InvalidInput

Step = int | str

#: One server; when its handshakes show the new certificate a tenth of them; then the rest.
DEFAULT_WAVES: tuple[Step, ...] = (1, "10%", "100%")
#: The collection's role has a task for each.
MOST_WAVES = 5

_SHARE = re.compile(r"([1-9][0-9]?|100)%")


@dataclass(frozen=True)
class WavePolicy:
    """How many servers get a version at a time, and how many of a hundred may end without it."""

    waves: tuple[Step, ...] = DEFAULT_WAVES
    max_fail_percentage: int = 0

    def __post_init__(self) -> None:
        """Refuse what no run could follow."""
        if not 0 < len(self.waves) <= MOST_WAVES or not all(map(_is_step, self.waves)):
            raise InvalidInput(
                f"waves must be 1 to {MOST_WAVES} numbers of servers or shares of them, such as 1, 10%, 100%:"
                f" {', '.join(map(str, self.waves)) or 'there is none'}",
            )
        if not 0 <= self.max_fail_percentage <= 100:  # noqa: PLR2004 -- a percentage
            raise InvalidInput(f"max_fail_percentage must be 0 to 100: {self.max_fail_percentage}")


@dataclass(frozen=True)
class NotTaken:
    """A place where a version was put and did not come to serve."""

    place: str
    server: str
    problem: str
    again_at: datetime | None


@dataclass(frozen=True)
class Rollout:
    """How far a version has come."""

    policy: WavePolicy
    arrived: int
    not_taken: tuple[NotTaken, ...]

    def held_back(self, place: str) -> tuple[NotTaken, ...]:
        """Return what a place waits for: the ones that did not take it, if too many did not.

        Where all get it at once nobody waits for anybody, and who has tried himself waits for himself alone.
        """
        tried = self.arrived + len(self.not_taken)
        few = len(self.not_taken) * 100 <= self.policy.max_fail_percentage * tried
        own = any(one.place == place for one in self.not_taken)
        return () if few or own or len(self.policy.waves) == 1 else self.not_taken


def _is_step(step: Step) -> bool:
    if isinstance(step, str):
        return _SHARE.fullmatch(step) is not None
    return not isinstance(step, bool) and step > 0


#: Of a certificate of which nobody has said otherwise.
DEFAULT_POLICY = WavePolicy()
