"""Named places where a test can kill, break or hold this process; without the variable they do nothing."""

import os
import signal
import time

_VARIABLE = "NOTAFTER_FAILPOINT"
_HOLD_SECONDS = 3600


class FailpointReached(RuntimeError):
    """A test asked for a failure here."""


def failpoint(name: str) -> None:
    """Do what `NOTAFTER_FAILPOINT=name:kill|raise|sleep` asks for, if it names this place."""
    wish = os.environ.get(_VARIABLE)
    if not wish:
        return
    place, _, action = wish.partition(":")
    if place != name:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        time.sleep(_HOLD_SECONDS)
    else:
        raise FailpointReached(name)
