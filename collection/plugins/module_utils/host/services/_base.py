# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every kind of server promises, and the report into which it writes what it finds."""

import re
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from . import _managers, _material, _reading
from ._machine import Machine, Process

BINDINGS_LIMIT = 100000
WARNINGS_LIMIT = 500


class Service:
    """One kind of server on this machine: found, read, tested and reloaded.

    A server may run several times, each master with a configuration of its own. So the
    commands come as lists; `test_command` and `reload_command` are those of the first master,
    `test_commands` and `reload_commands` those of every one.
    """

    name = ""
    process_names = ()  # type: Tuple[str, ...]

    def __init__(self, machine=None):
        # type: (Optional[Machine]) -> None
        self.machine = machine or Machine()

    def masters(self):
        # type: () -> List[Process]
        """The running masters, by process number; asked anew each time."""
        return self.machine.masters(self.process_names)

    def running(self):
        # type: () -> bool
        """Whether a master of this kind runs here now."""
        return bool(self.masters())

    def found(self):
        # type: () -> bool
        """Whether it is installed or running here."""
        raise NotImplementedError

    def version(self):
        # type: () -> Optional[str]
        """Its version as it names it, such as "1.22.1"."""
        raise NotImplementedError

    def scan(self, report):
        # type: (Report) -> None
        """Writes every certificate that its configuration names into the report."""
        raise NotImplementedError

    def test_commands(self):
        # type: () -> List[List[str]]
        """The server's own configuration test, once for each configuration in use."""
        raise NotImplementedError

    def reload_commands(self):
        # type: () -> List[List[str]]
        """What makes each running master read its files again; empty when none runs."""
        raise NotImplementedError

    def challenge_answer(self, thumbprint):
        # type: (str) -> Optional[Tuple[str, str]]
        """The file, and what belongs in it, that makes the server answer http-01; None where none can."""
        return None

    def challenge_advice(self, thumbprint):
        # type: (str) -> str
        """What an administrator must still do where the server does not answer."""
        return "%s cannot answer by itself; use dns-01" % self.name

    def test_command(self):
        # type: () -> List[str]
        return self.test_commands()[0]

    def reload_command(self):
        # type: () -> List[str]
        commands = self.reload_commands()
        return commands[0] if commands else self.test_command()

    def command_environment(self):
        # type: () -> Dict[str, str]
        """What the commands need in their environment beside the usual."""
        return {}

    def ask_version(self, argv, pattern):
        # type: (List[str], str) -> Optional[str]
        """The first group of a pattern in what a program says of itself."""
        answer = self.machine.ask(argv, 10.0)
        said = b"" if answer is None else answer.stdout + b"\n" + answer.stderr
        match = re.search(pattern, said.decode("utf-8", "replace"))
        return match.group(1) if match else None

    def name_strangers(self, report):
        # type: (Report) -> None
        """Says which processes were not believed."""
        for process in self.machine.strangers(self.process_names):
            report.warning(
                "process %d is called %s but is not root's: its configuration is not read by root"
                % (process.pid, process.name)
            )


class Report:
    """Collects what a scan finds; whoever finds something twice says it once."""

    def __init__(self, reader, managers=None):
        # type: (_reading.Reader, Optional[_managers.Managers]) -> None
        self.reader = reader
        self.materials = _material.Materials(reader)
        self.managers = managers or _managers.Managers(reader)
        self.bindings = []  # type: List[Dict[str, Any]]
        self.warnings = []  # type: List[Dict[str, Any]]
        self.unsaid = 0
        self._said = set()  # type: set

    def warning(self, message, file=None, line=None):
        # type: (str, Optional[str], Optional[int]) -> None
        """Notes something that a reader of the report must know."""
        key = (message, file, line)
        if key in self._said:
            return
        if len(self.warnings) >= WARNINGS_LIMIT:
            self.unsaid += 1
            return
        self._said.add(key)
        place = None if file is None else _reading.shown(file)
        self.warnings.append({"file": place, "line": line, "message": _reading.shown(message)[:1000]})

    def binding(
        self,
        service,
        config_file,
        line,
        certificate,
        key=None,
        chain=None,
        names=(),
        listeners=(),
        problems=(),
        managed_by=None,
    ):
        # type: (str, str, int, Optional[str], Optional[str], Optional[str], Iterable[str], Iterable[str], Sequence[Tuple[str, str]], Optional[str]) -> None
        """Notes a certificate that a configuration names, with what its files say of it.

        Without `key` the private key is looked for in the certificate's own file. A
        `certificate` of None is one that could not be found out: then `problems` say why.
        """
        self.reader.tick()
        if len(self.bindings) >= BINDINGS_LIMIT:
            raise _reading.Exhausted("the configuration names too many certificates")
        place = _material.Place([], None, None, [])
        if certificate is not None:
            certificate = _reading.tidy(certificate)
            key = certificate if key is None else _reading.tidy(key)
            place = self.materials.place(certificate, key, chain and _reading.tidy(chain))
            managed_by = managed_by or self.managers.of([certificate, key])
        self.bindings.append(
            {
                "service": service,
                "config_file": _reading.shown(config_file),
                "line": line,
                "names": [_reading.shown(name) for name in names],
                "listeners": list(listeners),
                "files": place.files,
                "certificate": place.leaf,
                "chain": place.chain,
                "managed_by": managed_by,
                "problems": [
                    {"kind": kind, "message": _reading.shown(message)}
                    for kind, message in list(problems) + place.problems
                ],
            }
        )
