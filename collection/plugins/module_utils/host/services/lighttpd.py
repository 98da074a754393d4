# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lighttpd: its files, and what it makes of them itself where they do not say all."""

import functools
import os
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Tuple

from . import _reading
from ._base import Service
from ._machine import Machine, Process
from ._report import Report
from ._restart import Restarts

if TYPE_CHECKING:
    from ._lighttpd_syntax import Reading, Setting

_ANGEL = "lighttpd-angel"


class Instance(NamedTuple):
    """One configuration in use: the program, its first file, where it was started, its modules."""

    program: Optional[str]
    config: str
    folder: str
    modules: Optional[str]
    process: Optional[Process]

    def named(self) -> List[str]:
        """What its command line has a lighttpd read and load."""
        return [self.config] + ([os.path.join(self.folder, self.modules)] if self.modules else [])

    def options(self) -> List[str]:
        return ["-f", self.config] + (["-m", self.modules] if self.modules else [])


class Lighttpd(Service):
    """Reads the files; asks `lighttpd -p` where they leave a doubt."""

    name = "lighttpd"
    process_names = ("lighttpd",)
    traces = (
        "lighttpd",
        "/etc/lighttpd/lighttpd.conf",
        "/opt/lighttpd/sbin/*",
        "/usr/local/lighttpd/sbin/*",
    )
    config = "/etc/lighttpd/lighttpd.conf"

    def __init__(self, machine: Optional[Machine] = None) -> None:
        super().__init__(machine)
        self._restarts = Restarts(self.machine, self.name)

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names, ("/opt/lighttpd/sbin", "/usr/local/lighttpd/sbin"))

    def found(self) -> bool:
        return self.program() is not None or self.running() or os.path.exists(self.config)

    def version(self) -> Optional[str]:
        program = self.instances()[0].program
        return None if program is None else self.told_version([program, "-v"], r"lighttpd/(\S+)")

    def instances(self) -> List[Instance]:
        """Every configuration in use; the usual one when nothing runs."""
        found: Dict[Tuple[str, ...], Instance] = {}
        for process in self.masters():
            program = self.machine.executable(process) or self.program()
            given = _given(process.arguments[1:])
            folder = self.machine.folder(process) or "/"
            config = os.path.join(folder, given.get("-f", self.config))
            one = Instance(program, config, folder, given.get("-m"), process)
            found.setdefault(tuple(one.options()), one)
        return list(found.values()) or [Instance(self.program(), self.config, "/", None, None)]

    def scan(self, report: Report) -> None:
        from ._lighttpd_sockets import Sockets  # noqa: PLC0415 - compiled only where there is a lighttpd

        def work(one: Instance) -> None:
            reading, places = self._reading(report, one)
            Sockets(reading, places, report, self.name).report_bindings()

        report.in_turn(work, self.instances())

    def _reading(self, report: Report, one: Instance) -> Tuple["Reading", Dict[str, "Setting"]]:
        """What the files say; with a doubt what lighttpd says, and where its values stand in the files."""
        from ._lighttpd_syntax import Reading  # noqa: PLC0415

        told: List[Tuple[str, str, int]] = []
        environment = {} if one.process is None else self.machine.environment(one.process)
        reading = Reading(report.reader, lambda *place: told.append(place), environment or None, one.folder)
        whole = report.partly(functools.partial(reading.read, one.config))
        places = {
            str(block.settings["ssl.pemfile"].value): block.settings["ssl.pemfile"]
            for block in reversed(reading.blocks)
            if "ssl.pemfile" in block.settings
        }
        printed = self._printed(report, one, reading) if whole and reading.doubt else None
        if printed is not None:
            return printed, places
        for message, file, line in told:
            report.warning(message, file, line)
        for shell in reading.shells:
            report.warning("what %r prints is part of its configuration, and is not read" % shell, one.config)
        return reading, {}

    def _printed(self, report: Report, one: Instance, reading: "Reading") -> Optional["Reading"]:
        """The configuration as the program prints it, where asking it does no more than it does anyway."""
        from . import _lighttpd_syntax  # noqa: PLC0415

        if one.process is None or one.program is None or not self.machine.may_ask_as(one.process):
            return None
        if not all(_roots_own(path) for path in one.named() + reading.files + _named(reading.shells)):
            report.warning("others than root may change its files, so it is not asked what it makes of them")
            return None
        argv = self.machine.as_owner(one.process, [one.program, "-p", *one.options()])
        environment = self.machine.environment(one.process)
        answer = self.machine.ask(argv, min(30.0, report.reader.seconds_left()), environment)
        if answer is None or answer.returncode != 0 or answer.timed_out:
            said = "no answer" if answer is None else answer.said()
            report.warning("lighttpd -p fails, so its files are read: %s" % said, one.config)
            return None
        text = _reading.text(answer.stdout).strip()
        text = text[text.find("{") + 1 : text.rfind("}")]

        def warn(message: str, file: str, line: int) -> None:
            report.warning("line %d of what lighttpd -p prints: %s" % (line, message), file)

        printed = _lighttpd_syntax.Reading(report.reader, warn, {}, one.folder)
        printed.text(text, one.config)
        for block in printed.blocks:
            for name, setting in block.settings.items():
                block.settings[name] = setting._replace(line=0)
        return printed

    def test_commands(self) -> List[List[str]]:
        return [self._test(one) for one in self.instances()]

    def _test(self, one: Instance) -> List[str]:
        """With root's rights only where root owns, or has said, what is read and loaded.

        A process that has given them away may have written another command line over its own.
        """
        argv = [one.program or "lighttpd", "-tt", *one.options()]
        process = one.process
        if process is None or not process.user or all(map(_roots_own, one.named())):
            return self.machine.as_owner(process, argv)
        from . import _units  # noqa: PLC0415 - only where there is a doubt

        unit = self.machine.unit(process)
        if unit is not None and _units.arguments(self.machine, unit)[1:] == process.arguments[1:]:
            return self.machine.as_owner(process, argv)
        return self.machine.as_user(process.user, argv) or argv

    def reload_commands(self) -> List[List[str]]:
        """SIGUSR1 where the process may read its files again; else a restart.

        A lighttpd that has given root's rights away reads its files again without them: it ends
        where only root may read a key. What was reloaded here before is started again where it
        did not come up.
        """
        commands: List[List[str]] = []
        alive: List[str] = []
        for one in self.instances():
            if one.process is None:
                continue
            angel = [
                parent for parent in self.machine.processes((_ANGEL,)) if parent.pid == one.process.parent
            ]
            unit = self._restarts.unit(one.process)
            alive += [unit] if unit is not None else []
            if angel:
                commands.append(["kill", "-HUP", str(angel[0].pid)])
            elif not self._may_read_again(one):
                commands.extend(self._restarts.commands([self._restarts.needed(one.process)]))
            elif unit is not None and self.machine.reloads(unit):
                commands.append(["systemctl", "reload", unit])
            else:
                commands.append(["kill", "-USR1", str(one.process.pid)])
        return commands + self._restarts.commands([one for one in self._restarts.units if one not in alive])

    def _may_read_again(self, one: Instance) -> bool:
        from ._lighttpd_rights import may_read  # noqa: PLC0415 - only where it is about to be reloaded

        process = one.process
        if process is None or process.user == 0:
            return True
        report = Report(_reading.Reader())
        reading, places = self._reading(report, one)
        from ._lighttpd_sockets import Sockets  # noqa: PLC0415

        Sockets(reading, places, report, self.name).report_bindings()
        paths = {file["path"] for binding in report.bindings for file in binding["files"]}
        return report.cut is None and all(
            may_read(self.machine, process, path) for path in sorted(paths | {one.config})
        )


def _given(words: List[str]) -> Dict[str, str]:
    """The options -f and -m of a command line."""
    found: Dict[str, str] = {}
    for word, after in zip(words, words[1:] + [""]):
        if word[:2] in ("-f", "-m"):
            found[word[:2]] = word[2:] or after
    return found


def _roots_own(path: str) -> bool:
    """Whether nobody but root may change a file, or swap it in the folders above it."""
    at = _reading.real(path)
    while True:
        found = _reading.status(at)
        if found is None or found.st_uid != 0 or found.st_mode & 0o022:
            return False
        if at == "/":
            return True
        at = os.path.dirname(at)


def _named(shells: List[str]) -> List[str]:
    """The programs and files that commands name; a command that needs a shell names what nobody owns."""
    found: List[str] = []
    for shell in shells:
        words = shell.split()
        if not words or not words[0].startswith("/") or set(shell) & set("|&;<>$`\"'\\*?()#~\n"):
            return ["/nowhere to be found"]
        found.extend(word for word in words if word.startswith("/"))
    return found


SERVICE = Lighttpd
