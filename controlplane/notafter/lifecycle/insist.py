"""What must be put on record is tried until the database can be written again."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from notafter.domain.errors import DatabaseNotWritable

log = structlog.get_logger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Insistence:
    """For how long to try, and how often; who stops the process stops this too."""

    stop: threading.Event = field(default_factory=threading.Event)
    seconds: float = 900.0
    pause: float = 2.0

    def on(self, work: Callable[[], _T]) -> _T:
        """Do what may be done twice, again and again while the database is held or its disk is full."""
        deadline = time.monotonic() + self.seconds
        while True:
            try:
                return work()
            except DatabaseNotWritable as error:
                log.warning("not on record yet, tried again", reason=str(error))
                if self.stop.wait(self.pause) or time.monotonic() > deadline:
                    raise
