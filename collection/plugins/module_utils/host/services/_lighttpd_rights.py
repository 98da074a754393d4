# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process may read a file with the rights that it has now."""

import os
from typing import Any, List

from . import _reading
from ._machine import Process


def may_read(machine: Any, process: Process, path: str) -> bool:
    """By owner, group and mode of the file and of the folders above it; lists of rights do not count."""
    groups = _groups(machine, process)
    at = _reading.real(path)
    wanted = 4
    while True:
        if not _allowed(at, process.user, groups, wanted):
            return False
        if at == "/":
            return True
        at, wanted = os.path.dirname(at), 1


def _groups(machine: Any, process: Process) -> List[int]:
    try:
        with open("%s/%d/status" % (machine.proc, process.pid), "rb") as handle:
            lines = _reading.text(handle.read(64 * 1024)).splitlines()
    except OSError:
        return []
    found = [line.split()[1:] for line in lines if line.startswith(("Gid:", "Groups:"))]
    return [int(number) for numbers in found for number in numbers if number.isdigit()]


def _allowed(path: str, user: int, groups: List[int], wanted: int) -> bool:
    status = _reading.status(path)
    if status is None:
        return False
    shift = 6 if status.st_uid == user else 3 if status.st_gid in groups else 0
    return bool(status.st_mode >> shift & wanted)
