"""How long to wait after a failure: longer each time, never longer than the life that is left allows."""

from datetime import datetime, timedelta

from notafter.domain.breaker import LONGEST_RETRY_AFTER
from notafter.domain.chance import fraction
from notafter.domain.outcome import FailureClass
from notafter.domain.version import Version

STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
)

#: Asking again soon does not help against these: the waiting begins at an hour.
_STUBBORN = frozenset(
    {
        FailureClass.ACCOUNT,
        FailureClass.CAA,
        FailureClass.REJECTED_IDENTIFIER,
        FailureClass.INVALID_REQUEST,
        FailureClass.WRONG_CERTIFICATE,  # each try costs a certificate
    },
)
_STUBBORN_STEPS = (*STEPS[3:], timedelta(days=1))
_JITTER = 0.15
#: After a Retry-After those who were sent away together come back one after the other.
_RETRY_SPREAD = timedelta(minutes=10)
_SHORTEST = timedelta(minutes=1)
_AFTER_THE_END = timedelta(hours=1)


def next_attempt(  # noqa: PLR0913, PLR0917 -- all that the wait depends on
    now: datetime,
    failures: int,
    seed: str,
    version: Version | None,
    failure: FailureClass | None = None,
    retry_after: timedelta | None = None,
) -> datetime:
    """Return when to try again after the given number of failures in a row (at least one)."""
    steps = _STUBBORN_STEPS if failure in _STUBBORN else STEPS
    step = steps[min(max(failures, 1), len(steps)) - 1]
    chance = fraction("backoff", seed, failures)
    wait = step * (1 - _JITTER + 2 * _JITTER * chance)
    if version is not None:
        wait = min(wait, longest_wait(version, now))
    if retry_after is not None:
        asked = min(retry_after, LONGEST_RETRY_AFTER)
        wait = max(wait, asked + min(_RETRY_SPREAD, asked / 10) * chance)
    return now + wait


def longest_wait(version: Version, now: datetime) -> timedelta:
    """Return the wait after which there is still time for more attempts.

    A quarter of what is left. Lives of minutes get waits of seconds; when it is too
    late anyway the CA is not hammered.
    """
    left = version.not_after - now
    floor = min(_SHORTEST, version.life / 24)
    if left > timedelta(0):
        return min(max(left / 4, floor), left)
    return max(min(_AFTER_THE_END, version.life / 12), floor)
