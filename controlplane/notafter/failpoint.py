"""Named places where a test can kill, break or hold this process; without the variable they do nothing."""

import os
import signal
import time

_VARIABLE = "NOTAFTER_FAILPOINT"
_HOLD_SECONDS = 3600
_met: list[str] = []


class FailpointReached(RuntimeError):
    """A test asked for a failure here."""


def failpoint(name: str) -> None:
    """Do what `NOTAFTER_FAILPOINT=name:kill|raise|sleep[:2]` asks for, here or the second time."""
    wish = os.environ.get(_VARIABLE)
    if not wish:
        return
    place, action, turn = [*wish.split(":"), "", "1"][:3]
    if place != name:
        return
    _met.append(name)
    if len(_met) != int(turn or 1):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        time.sleep(_HOLD_SECONDS)
    else:
        raise FailpointReached(name)
