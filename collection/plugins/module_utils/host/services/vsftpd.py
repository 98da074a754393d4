# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vsftpd: the files and options that each process was started with."""

import functools
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from ._base import Service
from ._machine import Machine, Process
from ._report import Report
from ._restart import Restarts

# vsftpd speaks to the client of a session, its standard input: here that is where we listen.
_HEARD = ["sh", "-c", 'exec "$0" "$@" 0>&1']
# With these vsftpd reads all its files, loads the certificates, goes into the background with
# success, and there ends at once, for "-" is no address to listen at.
_NOWHERE = "-olisten_address=-"
_DRY = ["-osetproctitle_enable=NO", "-olisten=YES", "-olisten_ipv6=NO", _NOWHERE, "-obackground=YES"]


class Instance(NamedTuple):
    """One process (or none yet) with what it was told: files, and options that begin with -o."""

    program: Optional[str]
    told: List[str]
    process: Optional[Process]


class Vsftpd(Service):
    """Reads the files; vsftpd has no command that prints its settings."""

    name = "vsftpd"
    process_names = ("vsftpd",)
    traces = ("vsftpd",)
    configs = ("/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf")

    def __init__(self, machine: Optional[Machine] = None) -> None:
        super().__init__(machine)
        self._restarts = Restarts(self.machine, self.name)

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names)

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        program = self.instances()[0].program
        return None if program is None else self.told_version([*_HEARD, program, "-v"], r"version (\S+)")

    def masters(self) -> List[Process]:
        """Without what our own test leaves in the background for another moment."""
        return [one for one in super().masters() if _NOWHERE not in one.arguments]

    def config(self) -> str:
        """The file that is read where none is named."""
        return next((path for path in self.configs if os.path.exists(path)), self.configs[0])

    def instances(self) -> List[Instance]:
        """Every process that listens, once for each set of files; the usual file when none runs."""
        found: Dict[Tuple[str, ...], Instance] = {}
        for process in self.masters():
            program = self.machine.executable(process) or self.program()
            told = self._told(process)
            found.setdefault(tuple(told), Instance(program, told, process))
        return list(found.values()) or [Instance(self.program(), [self.config()], None)]

    def _told(self, process: Process) -> List[str]:
        """Files (with their folder) and options, in their order; a title may stand over them."""
        words = process.arguments[1:]
        if process.arguments[:1] and process.arguments[0].startswith("vsftpd: "):
            words = self._by_unit(process)
        folder = self.machine.folder(process) or "/"
        told = [word if word.startswith("-") else os.path.join(folder, word) for word in words if word]
        return told if any(not word.startswith("-") for word in told) else [*told, self.config()]

    def _by_unit(self, process: Process) -> List[str]:
        from . import _units  # noqa: PLC0415 - only where setproctitle_enable is set

        unit = self.machine.unit(process)
        return [] if unit is None else _units.arguments(self.machine, unit)[1:]

    def scan(self, report: Report) -> None:
        from ._vsftpd_settings import Listener, Settings  # noqa: PLC0415 - compiled only where there is a vsftpd

        def work(instance: Instance) -> None:
            settings = Settings()
            for word in instance.told:
                if word.startswith("-o"):
                    settings.take(word[2:], self.config(), 0)
                elif not word.startswith("-"):
                    report.partly(functools.partial(settings.read, report, word))
            folder = None if instance.process is None else self.machine.folder(instance.process)
            Listener(settings, folder or "/", instance.process is not None).report_bindings(report, self.name)

        report.in_turn(work, self.instances())

    def test_commands(self) -> List[List[str]]:
        """A start that ends before it listens: it reads the settings and loads what they name."""
        return [
            _HEARD + self.machine.as_owner(one.process, [one.program or "vsftpd", *one.told, *_DRY])
            for one in self.instances()
        ]

    def reload_commands(self) -> List[List[str]]:
        """A restart: vsftpd loads certificates once, and a SIGHUP makes it read settings alone.

        What was restarted here before is started again where it did not come up.
        """
        for one in self.instances():
            if one.process is not None:
                self._restarts.needed(one.process)
        return self._restarts.commands(self._restarts.units)


SERVICE = Vsftpd
