# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ProFTPD: the file that each master was started with, and what it includes."""

import functools
import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ._base import Service
from ._machine import Process
from ._report import Report

# Options that are followed by a value, and the long names of those that matter here.
_VALUED = ("-c", "-D", "-d", "-p", "-S")
_LONG = {"--config": "-c", "--define": "-D", "--debug": "-d", "--persistent": "-p", "--serveraddr": "-S"}
_BUILT_IN = re.compile(r"Configuration File:\s+(/\S+)")


class Instance(NamedTuple):
    """One configuration in use: the program, its first file, what is defined for it."""

    program: Optional[str]
    config: str
    defines: List[str]
    process: Optional[Process]

    def options(self) -> List[str]:
        return ["-c", self.config] + [word for name in self.defines for word in ("-D", name)]


class Proftpd(Service):
    """Reads the files; ProFTPD's own dump has names of settings without their values."""

    name = "proftpd"
    process_names = ("proftpd",)
    traces = ("proftpd", "/usr/local/proftpd/sbin/*", "/opt/proftpd/sbin/*")
    config = "/etc/proftpd/proftpd.conf"

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names, ("/usr/local/proftpd/sbin", "/opt/proftpd/sbin"))

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        return self._version(self.instances()[0].program)

    def _version(self, program: Optional[str]) -> Optional[str]:
        return None if program is None else self.told_version([program, "-v"], r"Version (\S+)")

    def instances(self) -> List[Instance]:
        """Every configuration in use; the built-in one when nothing runs."""
        found: Dict[Tuple[str, ...], Instance] = {}
        for process in self.masters():
            program = self.machine.executable(process) or self.program()
            options = given(self._words(process) or [])
            one = self._instance(program, options, self.machine.folder(process) or "/", process)
            found.setdefault(tuple(one.options()), one)
        return list(found.values()) or [self._instance(self.program(), [], "/", None)]

    def _instance(
        self, program: Optional[str], options: List[str], folder: str, process: Optional[Process]
    ) -> Instance:
        pairs = list(zip(options[::2], options[1::2]))
        configs = [value for name, value in pairs if name == "-c"]
        config = os.path.join(folder, configs[-1]) if configs else self._built_in(program)
        return Instance(program, config, [value for name, value in pairs if name == "-D"], process)

    def _built_in(self, program: Optional[str]) -> str:
        found = _BUILT_IN.search(self.machine.told([program, "-V"])) if program else None
        return found.group(1) if found else self.config

    def _words(self, process: Process) -> Optional[List[str]]:
        """The command line; a master writes its title over it, so systemd is asked. None where hidden."""
        if not process.arguments or not process.arguments[0].startswith("proftpd: "):
            return process.arguments[1:]
        from . import _units  # noqa: PLC0415 - compiled only where one runs

        unit = self.machine.unit(process)
        words = [] if unit is None else _units.arguments(self.machine, unit)
        return words[1:] if words else None

    def scan(self, report: Report) -> None:
        from ._proftpd_servers import Servers  # noqa: PLC0415 - compiled only where there is a ProFTPD
        from ._proftpd_syntax import Reading, Start  # noqa: PLC0415

        def warn(message: str, file: str, line: int) -> None:
            report.warning(message, file, line or None)

        def work(one: Instance) -> None:
            environment: Dict[str, str] = {}
            if one.process is not None:
                environment = self.machine.environment(one.process)
                if self._words(one.process) is None:
                    warn("its command line is hidden, so the usual file is read", one.config, 0)
            version = self._version(one.program) or ""
            start = Start(self._modules(one), one.defines, version, environment)
            reading = Reading(report.reader, warn, start)
            report.partly(functools.partial(reading.read, one.config))
            Servers(reading, report, self.name).report_bindings()

        report.in_turn(work, self.instances())

    def _modules(self, instance: Instance) -> List[str]:
        """The modules that are part of the program; the files load others."""
        said = self.machine.told([instance.program, "-l"]) if instance.program else ""
        return re.findall(r"^\s+(mod_\w+\.c)\s*$", said, re.MULTILINE)

    def test_commands(self) -> List[List[str]]:
        return [
            self.machine.as_owner(one.process, [one.program or "proftpd", "-t", *one.options()])
            for one in self.instances()
        ]

    def reload_commands(self) -> List[List[str]]:
        return [
            self.machine.reload_by_systemd(one.process) or ["kill", "-HUP", str(one.process.pid)]
            for one in self.instances()
            if one.process is not None
        ]


def given(words: List[str]) -> List[str]:
    """The options of a command line that have a value, each followed by it."""
    found: List[str] = []
    at = 0
    while at < len(words):
        name, equals, value = words[at].partition("=")
        at += 1
        short = _LONG.get(name)
        if short is None and words[at - 1][:2] in _VALUED:
            short, value, equals = words[at - 1][:2], words[at - 1][2:], words[at - 1][2:]
        if short is None:
            continue
        if not equals and at < len(words):
            value = words[at]
            at += 1
        found.extend((short, value))
    return found


SERVICE = Proftpd
