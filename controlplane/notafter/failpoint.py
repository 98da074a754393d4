"""Named places where a test can kill, break or hold this process; without the variable they do nothing."""

import os
import signal
import time
from pathlib import Path

_VARIABLE = "NOTAFTER_FAILPOINT"
_PAUSE_SECONDS = 0.05
_met: list[str] = []


class FailpointReached(RuntimeError):
    """A test asked for a failure here."""


def failpoint(name: str) -> None:
    """Do what `NOTAFTER_FAILPOINT=name:kill|raise|hold=FILE[:2]` asks for, here or the second time.

    Who is held makes the file, and goes on when it is taken away.
    """
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
    elif action.startswith("hold="):
        _hold(Path(action.removeprefix("hold=")))
    else:
        raise FailpointReached(name)


def _hold(sign: Path) -> None:
    sign.touch()
    while sign.exists():
        time.sleep(_PAUSE_SECONDS)
