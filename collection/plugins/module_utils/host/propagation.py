# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until the servers that are authoritative for a TXT record show it, before the CA looks for it.

acme.sh sleeps meanwhile; a `sleep` of ours ends that when the records are there.
"""

import os
import shlex
import shutil
import time
from typing import Dict, List, Optional, Tuple

from . import commands, dns, txt_records
from .authoritative import Circle, Server, Unknown, asked, find

#: Seconds that records have to spread; then the CA is asked all the same.
LONGEST = 120
#: What is waited where no authoritative server can be found or asked.
BLIND = 20
_PAUSE = 1.0
_SLEEPS = b" to wait for the the TXT records"

_SCRIPT = """#!/bin/sh
if [ "$*" != %(longest)d ]; then
  exec %(sleep)s "$@"
fi
left=$1
while [ "$left" -gt 0 ] && [ ! -e %(seen)s ]; do
  %(sleep)s 1
  left=$((left - 1))
done
exit 0
"""


def longest(timeout: float) -> int:
    """How many seconds records have within an attempt of so many."""
    return max(1, min(LONGEST, int(timeout / 2)))


class Propagation:
    """Looks on while acme.sh waits for its TXT records to spread."""

    def __init__(self, folder: str) -> None:
        self._seen = os.path.join(folder, "seen")
        self._since: Optional[float] = None
        self._next = 0.0
        self._done = False
        #: What was not there when it was looked for last, in words.
        self.missing = ""

    def put_before_sleep(self, folder: str, seconds: Optional[int]) -> None:
        """Puts a `sleep` into the attempt's search path that ends when the records are seen."""
        sleep = shutil.which("sleep", path=commands.SEARCH_PATH)
        if seconds is None or sleep is None:
            self._done = True
            return
        values = {"longest": seconds, "sleep": shlex.quote(sleep), "seen": shlex.quote(self._seen)}
        handle = os.open(
            os.path.join(folder, "sleep"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700
        )
        with os.fdopen(handle, "w") as stream:
            stream.write(_SCRIPT % values)

    def look(self, said: bytes) -> None:
        """Asks the authoritative servers, now and then, once acme.sh has begun to wait."""
        if self._done or _SLEEPS not in said or time.monotonic() < self._next:
            return
        if self._since is None:
            self._since = time.monotonic()
        blind = False
        try:
            self.missing = "; ".join(missing(txt_records.added(said)))
        except Circle as error:
            self.missing, blind = str(error), True
        except Unknown as error:
            self.missing, blind = str(error), time.monotonic() - self._since > BLIND
        if blind or not self.missing:
            self._done = True
            with open(self._seen, "w"):
                pass
        self._next = time.monotonic() + _PAUSE


def missing(records: List[Tuple[str, str]]) -> List[str]:
    """Which servers do not show which record; a sentence each."""
    values: Dict[str, List[str]] = {}
    for name, value in records:
        values.setdefault(name, []).append(value)
    found = []
    for name, wanted in values.items():
        for server, shown in shown_by(name):
            if not set(wanted) <= set(shown):
                told = (name, server.name, server.address)
                found.append("the TXT record of %s is not yet to be seen at %s (%s)" % told)
    return found


def shown_by(name: str) -> List[Tuple[Server, List[str]]]:
    """Each authoritative server of a name, or of what it is an alias of, with the TXT records it shows."""
    found = find(name, dns.TXT)
    shown = []
    for server in found.servers:
        answer = asked(server, found.name, dns.TXT)
        if answer is not None:
            shown.append((server, answer.values(found.name, dns.TXT)))
    if not shown:
        raise Unknown("no authoritative server of %s answers" % found.name)
    return shown
