"""How long to wait after a failure: longer each time, never longer than the life that is left allows."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from notafter.domain.breaker import LONGEST_RETRY_AFTER
from notafter.domain.chance import fraction
from notafter.domain.outcome import FailureClass
from notafter.domain.version import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
)

_DAY = timedelta(days=1)
#: Asking again does not help against these, somebody must act: one look a day whether it has happened.
PERMANENT = frozenset({FailureClass.ACCOUNT, FailureClass.CAA, FailureClass.REJECTED_IDENTIFIER})
#: Asking again soon does not help against these: the waiting begins at an hour.
_STUBBORN = frozenset(
    {
        FailureClass.INVALID_REQUEST,
        FailureClass.WRONG_CERTIFICATE,  # each try costs a certificate
    },
)
_STUBBORN_STEPS = (*STEPS[3:], _DAY)
#: CAs count names that could not be proved, and stop those that fail for weeks.
_UNPROVED_STEPS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=100), _DAY)
#: Five times an hour, as often as Let's Encrypt lets a name fail, and never more.
_UNPROVED_SHORTEST = timedelta(minutes=12)
#: The CA wants to be left alone and does not say how long.
_SENT_AWAY = timedelta(hours=1)
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
    """Return when to try again after the given number of failures in a row; being sent away is none."""
    chance = fraction("backoff", seed, failures)
    if failure in PERMANENT:
        wait = _daily(version) * (1 + _JITTER * chance)
    else:
        wait = _step(failure, failures) * (1 - _JITTER + 2 * _JITTER * chance)
        if version is not None:
            wait = min(wait, _longest(version, now, failure))
    if retry_after is not None:
        asked = min(retry_after, LONGEST_RETRY_AFTER)
        wait = max(wait, asked + min(_RETRY_SPREAD, asked / 10) * chance)
    return now + wait


def _step(failure: FailureClass | None, failures: int) -> timedelta:
    if failure is FailureClass.RATE_LIMITED:
        return _SENT_AWAY
    steps: Sequence[timedelta] = STEPS
    if failure in _STUBBORN:
        steps = _STUBBORN_STEPS
    elif failure is FailureClass.CHALLENGE_FAILED:
        steps = _UNPROVED_STEPS
    return steps[min(max(failures, 1), len(steps)) - 1]


def _daily(version: Version | None) -> timedelta:
    """Return a day; of a life of hours or minutes a quarter."""
    return _DAY if version is None else min(_DAY, max(version.life / 4, timedelta(seconds=1)))


def _longest(version: Version, now: datetime, failure: FailureClass | None) -> timedelta:
    """Return the longest wait that the life allows; names that cannot be proved are not hurried."""
    longest = longest_wait(version, now)
    if failure is not FailureClass.CHALLENGE_FAILED:
        return longest
    if version.not_after <= now:
        return _daily(version)
    return max(longest, min(_UNPROVED_SHORTEST, version.life / 24))


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
