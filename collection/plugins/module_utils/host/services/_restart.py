# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts by systemd, for servers that read certificates only when they start."""

from typing import Any, List, Optional

from ..errors import HostError
from ._machine import Process


class Restarts:
    """Remembers which services ran, so that one that did not come up again is started once more."""

    def __init__(self, machine: Any, name: str) -> None:
        self.machine = machine
        self.name = name
        self.units: List[str] = []

    def unit(self, process: Process) -> Optional[str]:
        """The service whose main process this is; one started by hand only lies in somebody's service."""
        unit: Optional[str] = self.machine.unit(process)
        if unit is None:
            return None
        answer = self.machine.ask(["systemctl", "show", "--property=MainPID", unit], 10.0)
        if answer is None or answer.stdout.strip() != b"MainPID=%d" % process.pid:
            return None
        if unit not in self.units:
            self.units.append(unit)
        return unit

    def needed(self, process: Process) -> str:
        """The same; without a service nobody can say how a process is started."""
        unit = self.unit(process)
        if unit is None:
            message = "%s must be started anew to load certificates, and process %d is no service of systemd"
            raise HostError("cannot_restart", message % (self.name, process.pid))
        return unit

    def commands(self, units: List[str]) -> List[List[str]]:
        """What restarts these services."""
        return [["systemctl", verb, unit] for unit in units for verb in self._verbs(unit)]

    def _verbs(self, unit: str) -> List[str]:
        """A service that has failed several times is given up by systemd, until somebody says otherwise."""
        answer = self.machine.ask(["systemctl", "is-failed", "--quiet", unit], 10.0)
        given_up = answer is not None and answer.returncode == 0
        return ["reset-failed", "restart"] if given_up else ["restart"]
