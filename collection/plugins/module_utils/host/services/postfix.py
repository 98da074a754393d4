# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix: each running master with its own configuration directory."""

import os
from typing import TYPE_CHECKING, List, NamedTuple, Optional

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

if TYPE_CHECKING:
    from ._postfix_settings import Settings

_SIBLINGS = ("qmgr", "smtpd")


class Instance(NamedTuple):
    """One configuration directory, and the master that runs with it."""

    folder: str
    process: Optional[Process]


class Postfix(Service):
    """Asks postconf for what is in effect, and reads main.cf and master.cf where it cannot."""

    name = "postfix"
    process_names = ("master",)
    traces = ("postconf", "/etc/postfix/main.cf")
    config = "/etc/postfix"

    def program(self, name: str = "postconf") -> Optional[str]:
        return self.machine.find((name,))

    def found(self) -> bool:
        return self.program() is not None or self.running() or os.path.exists(self.config + "/main.cf")

    def version(self) -> Optional[str]:
        program = self.program()
        return None if program is None else self.told_version([program, "-d", "mail_version"], r"= (\S+)")

    def masters(self) -> List[Process]:
        """Those of the many programs called `master` that have Postfix's others beside them."""
        return [one for one in super().masters() if self._has_siblings(one)]

    def _has_siblings(self, process: Process) -> bool:
        program = self.machine.executable(process) or "".join(process.arguments[:1])
        folder = os.path.dirname(program)
        return all(os.path.exists(_reading.raw(os.path.join(folder, name))) for name in _SIBLINGS)

    def strangers(self) -> List[Process]:
        return [one for one in super().strangers() if self._has_siblings(one)]

    def name_strangers(self, report: Report) -> None:
        """As elsewhere, but other programs called `master` are no concern of ours."""
        for pid in self.machine.contained(self.process_names):
            if "MAIL_CONFIG" in self.machine.environment(Process(pid, 0, 0, "master", [])):
                report.warning(
                    "postfix runs in a container (process %d): its configuration is not read here" % pid
                )
        for process in self.strangers():
            report.warning(
                "process %d is a Postfix that is not root's: its configuration is not read by root"
                % process.pid
            )

    def instances(self) -> List[Instance]:
        """Every configuration directory: those of running masters, then those that only stand ready."""
        found: List[Instance] = []
        untold = []
        for process in self.masters():
            folder = self._folder(process)
            if folder is None:
                untold.append(process)
            elif not any(one.folder == folder for one in found):
                found.append(Instance(folder, process))
        for folder in self._configured():
            if not any(one.folder == folder for one in found):
                found.append(Instance(folder, untold.pop(0) if untold else None))
        return found

    def _folder(self, process: Process) -> Optional[str]:
        """The directory that a master was started with; None where only root may know."""
        arguments = process.arguments
        if "-c" in arguments[:-1]:
            return os.path.normpath(arguments[arguments.index("-c") + 1])
        told = self.machine.environment(process)
        folder = told.get("MAIL_CONFIG") or (self.config if told else None)
        return folder and os.path.normpath(folder)

    def _configured(self) -> List[str]:
        """The default directory and those that postmulti manages with it."""
        from ._postfix_syntax import assignments, listed  # noqa: PLC0415 - compiled only where there is a Postfix

        folders = [self.config]
        try:
            main = assignments(_reading.Reader().config(self.config + "/main.cf"))
        except (_reading.Unreadable, _reading.Exhausted):
            return folders
        more = main.get("multi_instance_directories")
        return folders + (listed(more.value) if more else [])

    def used(self) -> List[Instance]:
        """The instances that run; where none does, the one that would."""
        instances = self.instances()
        return [one for one in instances if one.process is not None] or instances[:1]

    def scan(self, report: Report) -> None:
        from ._postfix_services import Services  # noqa: PLC0415

        used = self.used()

        def work(instance: Instance) -> None:
            settings = self._settings(report, instance)
            if instance not in used:
                report.warning("this instance does not run: nothing listens for it", settings.main_file)
            Services(settings, report, self.name, listens=instance in used).report_bindings()

        report.in_turn(work, self.instances())

    def _settings(self, report: Report, instance: Instance) -> "Settings":
        from ._postfix_settings import Settings  # noqa: PLC0415

        def ask(words: List[str]) -> Optional[str]:
            program = self.program()
            if program is None:
                return None
            argv = self.machine.as_owner(instance.process, [program, "-c", instance.folder] + words)
            answer = self.machine.ask(argv, min(20.0, report.reader.seconds_left()))
            if answer is None or answer.returncode != 0 or answer.timed_out:
                said = "it does not start" if answer is None else answer.said()
                report.warning("postconf fails, so the files are read: %s" % said, instance.folder)
                return None
            return _reading.text(answer.stdout)

        return Settings(instance.folder, report, ask)

    def _command(self, instance: Instance, verb: str) -> List[str]:
        program = self.program("postfix") or "postfix"
        return self.machine.as_owner(instance.process, [program, "-c", instance.folder, verb])

    def test_commands(self) -> List[List[str]]:
        return [self._command(one, "check") for one in self.used()]

    def reload_commands(self) -> List[List[str]]:
        """First the maps that hold copies of certificates are made anew, then each master reloads."""
        running = [one for one in self.instances() if one.process is not None]
        commands = [command for one in running for command in self._map_commands(one)]
        for one in running:
            by_systemd = one.process and self.machine.reload_by_systemd(one.process)
            commands.append(by_systemd or self._command(one, "reload"))
        return commands

    def _map_commands(self, instance: Instance) -> List[List[str]]:
        from ._postfix_maps import copied  # noqa: PLC0415

        report = Report(_reading.Reader(20.0))
        settings = self._settings(report, instance)
        program = self.program("postmap") or "postmap"
        return [
            self.machine.as_owner(instance.process, [program, "-c", instance.folder, "-F", one])
            for one in copied(settings, report.reader)
        ]


SERVICE = Postfix
