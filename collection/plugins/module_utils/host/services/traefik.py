# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik: its settings, the files of its file provider, and what its own ACME has got."""

import os
import re
from typing import Dict, List, NamedTuple, Optional

from . import _reading
from ._base import Service
from ._machine import Machine, Process
from ._report import Report
from ._restart import Restarts

# Since then the contents of all files are part of what Traefik compares, so that reading again is loading.
_COMPARES_CONTENTS = (2, 4, 10)


class Instance(NamedTuple):
    """One process (or none yet): its arguments, its variables, the folder that it works in."""

    arguments: List[str]
    environment: Dict[str, str]
    folder: Optional[str]
    process: Optional[Process]


class Traefik(Service):
    """Reads what Traefik reads: it tells nobody what certificates it has."""

    name = "traefik"
    process_names = ("traefik",)
    traces = ("traefik",)
    #: It gathers changes for a while before it loads them (two seconds, if nothing else is set).
    settling_seconds = 20.0

    def __init__(self, machine: Optional[Machine] = None) -> None:
        super().__init__(machine)
        self._restarts = Restarts(self.machine, self.name)

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names)

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        running = self.masters()
        program = (self.machine.executable(running[0]) if running else None) or self.program()
        return None if program is None else self._version(program)

    def _version(self, program: str) -> Optional[str]:
        return self.told_version([program, "version"], r"Version:\s*v?(\d[\w.-]*)")

    def instances(self) -> List[Instance]:
        """Every process; the usual file when none runs."""
        found = [
            Instance(one.arguments[1:], self.machine.environment(one), self.machine.folder(one), one)
            for one in self.masters()
        ]
        return found or [Instance([], {}, None, None)]

    def scan(self, report: Report) -> None:
        from ._traefik_settings import settings  # noqa: PLC0415 - compiled only where there is a Traefik
        from ._traefik_sites import Sites  # noqa: PLC0415

        def warn(message: str, file: Optional[str], line: int) -> None:
            report.warning(message, file, line or None)

        for one in self.instances():
            found = settings(one.arguments, one.environment, one.folder, report.reader, warn)
            Sites(found, one.folder, report, self.name).report_bindings()

    def test_commands(self) -> List[List[str]]:
        """None: Traefik has no test, and goes on with what it has where it does not like what it reads."""
        return []

    def reload_commands(self) -> List[List[str]]:
        """What makes the file provider read again, and all certificates with it; else a restart."""
        commands: List[List[str]] = []
        for one in self.instances():
            if one.process is None:
                continue
            touch = self._touch(one) if self._loads_again(one.process) else None
            if touch is not None:
                commands.append(touch)
            else:
                commands.extend(self._restarts.commands([self._restarts.needed(one.process)]))
        return commands or self._restarts.commands(self._restarts.units)

    def _touch(self, one: Instance) -> Optional[List[str]]:
        """A write to a file that Traefik watches, with the rights of its owner; its content stays."""
        path = self._watched(one)
        try:
            owner = None if path is None else os.lstat(_reading.raw(path)).st_uid
        except (OSError, ValueError):
            owner = None
        if path is None or owner is None or one.process is None:
            return None
        if owner == 0 and not self.machine.may_write_for(one.process, path):
            return None
        return self.machine.as_user(owner, ["touch", "-c", "-h", "-m", "--", path])

    def _loads_again(self, process: Process) -> bool:
        """Whether this version takes new contents of a file for a change."""
        program = self.machine.executable(process)
        told = None if program is None else self._version(program)
        parts = re.findall(r"\d+", told or "")[:3]
        return tuple(int(part) for part in parts) >= _COMPARES_CONTENTS

    @staticmethod
    def _watched(one: Instance) -> Optional[str]:
        """A file that Traefik watches, so that it reads everything again when that is written."""
        from ._traefik_settings import settings  # noqa: PLC0415
        from ._traefik_sites import DYNAMIC  # noqa: PLC0415
        from ._traefik_tree import at, is_set, text  # noqa: PLC0415

        reader = _reading.Reader()
        found = settings(one.arguments, one.environment, one.folder, reader, lambda *_told: None)
        provider = at(found.root, "providers", "file")
        watch = at(provider, "watch")
        folder, name = text(at(provider, "directory")), text(at(provider, "filename"))
        if (watch is not None and not is_set(watch)) or one.folder is None:
            return None
        if folder:
            folder = os.path.join(one.folder, folder)
            files = [entry for entry in reader.names(folder) if entry.lower().endswith(DYNAMIC)]
            paths = [os.path.join(folder, entry) for entry in files]
        else:
            paths = [os.path.join(one.folder, name)] if name else []
        return next((path for path in paths if os.path.isfile(_reading.raw(path))), None)


SERVICE = Traefik
