# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of server promises."""

import os
import re
from typing import Dict, List, Optional, Tuple

from . import _reading
from ._machine import Machine, Process
from ._report import Report


class Service:
    """One kind of server on this machine: found, read, tested and reloaded.

    A server may run several times, each master with a configuration of its own. So the
    commands come as lists; `test_command` and `reload_command` are those of the first master,
    `test_commands` and `reload_commands` those of every one.
    """

    name = ""
    process_names: Tuple[str, ...] = ()
    #: Programs by their names, and patterns of paths: one of them lies on every machine that has it. Where
    #: there is none, and no process, a scan does not even load this kind. The carrier reads this line and
    #: the one before in the source, so they are plain literals; without them the kind is always loaded.
    traces: Tuple[str, ...] = ()
    #: Whether so many machines have it that its byte code goes along to each (docs/decisions/0009).
    usual = False
    #: Whether it looks at what the other kinds have left over, and so comes after them.
    last = False
    #: Further places to look at, which only who asks for the scan can know (paths, globs).
    paths: Tuple[str, ...] = ()
    #: Whether anything reads the files again: where nothing does, a deploy swaps them and says so.
    reloads = True
    #: The seconds that it may take until it serves again, where its reload is a restart.
    settling_seconds = 0.0

    def __init__(self, machine: Optional[Machine] = None) -> None:
        self.machine = machine or Machine()

    def asked_for(self, report: Report, ending: str) -> List[str]:
        """The files at the further places: files, patterns, or folders of files with an ending."""
        found: List[str] = []
        for pattern in self.paths:
            before = len(found)
            for path in report.reader.glob(_reading.tidy(pattern)):
                if not os.path.isdir(_reading.raw(path)):
                    found.extend([path] if _reading.status(path) is not None else [])
                    continue
                names = [name for name in report.reader.names(path) if name.endswith(ending)]
                found.extend(os.path.join(path, name) for name in names)
            if len(found) == before:
                report.warning("nothing is found at %s" % pattern, pattern)
        return found

    def masters(self) -> List[Process]:
        """The running masters, by process number; asked anew each time."""
        return self.machine.masters(self.process_names)

    def strangers(self) -> List[Process]:
        """Processes that look like masters and may not be believed."""
        return self.machine.strangers(self.process_names)

    def running(self) -> bool:
        """Whether a master of this kind runs here now."""
        return bool(self.masters())

    def found(self) -> bool:
        """Whether it is installed or running here."""
        raise NotImplementedError

    def version(self) -> Optional[str]:
        """Its version as it names it, such as "1.22.1"."""
        raise NotImplementedError

    def scan(self, report: Report) -> None:
        """Writes every certificate that its configuration names into the report."""
        raise NotImplementedError

    def test_commands(self) -> List[List[str]]:
        """The server's own configuration test, once for each configuration in use."""
        raise NotImplementedError

    def reload_commands(self) -> List[List[str]]:
        """What makes each running master read its files again; empty when none runs."""
        raise NotImplementedError

    def challenge_answer(self, thumbprint: str) -> Optional[Tuple[str, str]]:
        """The file, and what belongs in it, that makes the server answer http-01; None where none can."""
        return None

    def challenge_advice(self, thumbprint: str) -> str:
        """What an administrator must still do where the server does not answer."""
        return "%s cannot answer by itself; use dns-01" % self.name

    def test_command(self) -> List[str]:
        return self.test_commands()[0]

    def reload_command(self) -> List[str]:
        commands = self.reload_commands()
        return commands[0] if commands else self.test_command()

    def command_environment(self) -> Dict[str, str]:
        """What the commands need in their environment beside the usual."""
        return {}

    def told_version(self, argv: List[str], pattern: str) -> Optional[str]:
        """The first group of a pattern in what a program says of itself."""
        match = re.search(pattern, self.machine.told(argv))
        return match.group(1) if match else None

    def written_version(self, program: str, sign: bytes, pattern: str) -> Optional[str]:
        """The first group of a pattern in a text with a sign in it, in the program's own file."""
        found = (re.search(pattern, text) for text in self.machine.written(program, sign))
        return next((match.group(1) for match in found if match), None)

    def name_strangers(self, report: Report) -> None:
        """Says which processes were not believed, and which live where we cannot look."""
        contained = self.machine.contained(self.process_names)
        if contained:
            report.warning(
                "%s runs in a container (process %d): its configuration is not read here"
                % (self.name, contained[0])
            )
        for process in self.strangers():
            report.warning(
                "process %d is called %s but is not root's: its configuration is not read by root"
                % (process.pid, process.name)
            )
