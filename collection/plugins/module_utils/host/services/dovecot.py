# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dovecot: each running master with its own configuration file."""

import functools
import os
from typing import TYPE_CHECKING, List, NamedTuple, Optional

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

if TYPE_CHECKING:
    from ._dovecot_syntax import Section


class Instance(NamedTuple):
    """One configuration file, and the master that runs with it."""

    config: str
    process: Optional[Process]


class Dovecot(Service):
    """Asks doveconf for services and listeners; certificates and keys are read where they are written.

    doveconf hides where a private key lies unless it is to show keys themselves. That is never
    asked of it.
    """

    name = "dovecot"
    process_names = ("dovecot",)
    traces = ("dovecot", "/etc/dovecot/dovecot.conf")
    config = "/etc/dovecot/dovecot.conf"

    def program(self, name: str = "dovecot") -> Optional[str]:
        return self.machine.find((name,))

    def found(self) -> bool:
        return self.program() is not None or self.running() or os.path.exists(self.config)

    def version(self) -> Optional[str]:
        program = self.program()
        return None if program is None else self.told_version([program, "--version"], r"(\d[\w.]*)")

    def instances(self) -> List[Instance]:
        """Every configuration in use; the usual one where no master runs."""
        found: List[Instance] = []
        for process in self.masters():
            words = process.arguments
            config = words[words.index("-c") + 1] if "-c" in words[:-1] else self.config
            config = os.path.normpath(os.path.join(self.machine.folder(process) or "/", config))
            if not any(one.config == config for one in found):
                found.append(Instance(config, process))
        return found or [Instance(self.config, None)]

    def scan(self, report: Report) -> None:
        from ._dovecot_listeners import Listeners  # noqa: PLC0415 - compiled only where there is a Dovecot
        from ._dovecot_syntax import Reading  # noqa: PLC0415

        def work(instance: Instance) -> None:
            written = Reading(report.reader, report.warning)
            report.partly(functools.partial(written.read, instance.config))
            told = self._told(report, instance)
            Listeners(written.root, told, report, self.name).report_bindings()

        report.in_turn(work, self.instances())

    def _told(self, report: Report, instance: Instance) -> "Optional[Section]":
        """What doveconf says is in effect, without the secrets."""
        from ._dovecot_syntax import Reading  # noqa: PLC0415

        program = self.program("doveconf")
        if program is None:
            return None
        argv = self.machine.as_owner(instance.process, [program, "-c", instance.config])
        answer = self.machine.ask(argv, min(20.0, report.reader.seconds_left()))
        if answer is None or answer.returncode != 0 or answer.timed_out:
            said = "it does not start" if answer is None else answer.said()
            report.warning("doveconf fails, so the files are read: %s" % said, instance.config)
            return None
        told = Reading(report.reader, lambda *_: None)
        text = _reading.text(answer.stdout)
        whole = report.partly(functools.partial(told.parse, text, instance.config, told=True))
        return told.root if whole else None

    def test_commands(self) -> List[List[str]]:
        program = self.program("doveconf") or "doveconf"
        return [
            self.machine.as_owner(one.process, [program, "-n", "-c", one.config]) for one in self.instances()
        ]

    def reload_commands(self) -> List[List[str]]:
        program = self.program("doveadm") or "doveadm"
        return [
            self.machine.reload_by_systemd(one.process)
            or self.machine.as_owner(one.process, [program, "-c", one.config, "reload"])
            for one in self.instances()
            if one.process is not None
        ]


SERVICE = Dovecot
