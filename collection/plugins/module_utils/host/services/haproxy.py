# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy: the files that each running process was started with, read as HAProxy reads them."""

import functools
import os
import re
import shlex
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

if TYPE_CHECKING:
    from ._haproxy_syntax import Reading

# Options of the command line that are followed by a value.
_VALUED = ("-C", "-L", "-N", "-S", "-f", "-m", "-n", "-p", "-x")
_DEFAULTS = ("/etc/default/haproxy", "/etc/sysconfig/haproxy")


class Instance(NamedTuple):
    """One process (or none yet): the program, its options, its files and where it was started."""

    program: Optional[str]
    options: List[str]
    files: List[str]
    folder: str
    environment: Dict[str, str]
    process: Optional[Process]


class HAProxy(Service):
    """Reads the configuration; HAProxy has no command that prints it."""

    name = "haproxy"
    process_names = ("haproxy",)
    traces = ("haproxy", "/etc/haproxy/haproxy.cfg", "/opt/haproxy/sbin/*", "/usr/local/haproxy/sbin/*")
    usual = True
    config = "/etc/haproxy/haproxy.cfg"
    defaults = _DEFAULTS

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names, ("/opt/haproxy/sbin", "/usr/local/haproxy/sbin"))

    def found(self) -> bool:
        installed = self.program() is not None or os.path.exists(self.config)
        return installed or bool(self.paths) or self.running()

    def version(self) -> Optional[str]:
        program = self.instances()[0].program
        if program is None:
            return None
        written = self.written_version(program, b", released ", r"version (\S+), released ")
        return written or self.told_version([program, "-v"], r"version (\S+)")

    def instances(self) -> List[Instance]:
        """Every process with files of its own; that of the system's service when none runs."""
        found: List[Instance] = []
        for process in self.masters():
            options = given(process.arguments[1:])
            folder = self.machine.folder(process) or "/"
            program = self.machine.executable(process) or self.program()
            folder = os.path.join(folder, _last(options, "-C"))
            files = [os.path.join(folder, file) for file in _files(options)]
            if files and not any(one.files == files and one.folder == folder for one in found):
                environment = self.machine.environment(process)
                found.append(Instance(program, options, files, folder, environment, process))
        return found or [self._idle()]

    def _idle(self) -> Instance:
        """What the system's service would start."""
        environment = {"CONFIG": self.config}
        for path in self.defaults:
            environment.update(_assignments(path))
        options = ["-f", environment["CONFIG"]] + given(_split(environment.get("EXTRAOPTS", "")))
        return Instance(self.program(), options, _files(options), "/", environment, None)

    def scan(self, report: Report) -> None:
        from ._haproxy_binds import Binds  # noqa: PLC0415 - compiled only where there is an HAProxy

        known = self.instances()
        files = [file for one in known for file in one.files]
        asked_for = [path for path in self.asked_for(report, ".cfg") if path not in files]
        further = [Instance(self.program(), ["-f", path], [path], "/", {}, None) for path in asked_for]

        def work(instance: Instance) -> None:
            reading = self._reading(instance, report)
            Binds(reading, instance.folder, report, self.name).report_bindings()

        report.in_turn(work, known + further)

    def _reading(self, instance: Instance, report: Report) -> "Reading":
        from ._haproxy_syntax import Reading  # noqa: PLC0415

        def warn(message: str, file: str, line: int) -> None:
            report.warning(message, file, line)

        reading = Reading(instance.environment, _Predicate(self, instance), warn)
        report.partly(functools.partial(self._read_all, instance, report, reading))
        return reading

    def _read_all(self, instance: Instance, report: Report, reading: "Reading") -> None:
        for file in instance.files:
            for path in self._expanded(report, file):
                self._read(report, reading, path)

    @staticmethod
    def _expanded(report: Report, path: str) -> List[str]:
        """A folder stands for the .cfg files in it."""
        if not os.path.isdir(_reading.raw(path)):
            return [path]
        names = report.reader.names(path)
        return [
            os.path.join(path, name) for name in names if name.endswith(".cfg") and not name.startswith(".")
        ]

    @staticmethod
    def _read(report: Report, reading: "Reading", path: str) -> None:
        try:
            reading.read(report.reader.config(path), path)
        except _reading.Unreadable as error:
            report.warning("%s is not read: %s" % (path, error.message), path)

    def test_commands(self) -> List[List[str]]:
        return [
            self.machine.as_owner(
                one.process,
                [one.program or "haproxy", "-c", "-C", one.folder]
                + [word for file in one.files for word in ("-f", file)],
            )
            for one in self.instances()
        ]

    def challenge_advice(self, thumbprint: str) -> str:
        return (
            "its frontend on port 80 needs the line `http-request return status 200 content-type text/plain "
            'lf-string "%%[path,field(-1,/)].%s" if { path_beg /.well-known/acme-challenge/ }`' % thumbprint
        )

    def reload_commands(self) -> List[List[str]]:
        """The reload of systemd; a master is told by SIGUSR2; a single process is followed by a new one."""
        commands = []
        for one in self.instances():
            if one.process is None:
                continue
            by_systemd = self.machine.reload_by_systemd(one.process)
            if by_systemd is not None:
                commands.append(by_systemd)
            elif self._is_master(one.process):
                commands.append(["kill", "-USR2", str(one.process.pid)])
            else:
                daemon = [] if "-D" in one.options else ["-D"]
                again = [one.program or "haproxy"] + one.options + daemon + ["-sf", str(one.process.pid)]
                commands.append(self.machine.as_owner(one.process, again))
        return commands

    def _is_master(self, process: Process) -> bool:
        if any(word in ("-W", "-Ws") for word in process.arguments):
            return True
        return any(one.parent == process.pid for one in self.machine.processes(self.process_names))

    def command_environment(self) -> Dict[str, str]:
        """Those variables of the running process that its configuration uses, and no others."""
        instance = self.instances()[0]
        asked = self._reading(instance, Report(_reading.Reader())).asked
        return {name: value for name, value in instance.environment.items() if name in asked}


class _Predicate:
    """Judges what a condition asks of HAProxy itself; asks it when a condition asks at all."""

    def __init__(self, service: HAProxy, instance: Instance) -> None:
        self.service = service
        self.program = instance.program

    def __call__(self, name: str, arguments: List[str]) -> Optional[bool]:
        from ._haproxy_syntax import newer  # noqa: PLC0415

        if name not in ("feature", "version_atleast", "version_before") or not arguments or not self.program:
            return None
        said = self.service.machine.told([self.program, "-vv"])
        match = re.search(r"version (\S+)", said)
        if match is None:
            return None
        if name == "feature":
            return ("+" + arguments[0]) in said.split()
        return (newer(match.group(1)) >= newer(arguments[0])) == (name == "version_atleast")


def given(words: List[str]) -> List[str]:
    """The options of a command line without those that tell of the processes before it."""
    found: List[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("-sf", "-st"):
            while at < len(words) and words[at].isdigit():
                at += 1
        elif word == "-x":
            at += 1
        elif word == "--":
            return found + [part for file in words[at:] for part in ("-f", file)]
        elif word in _VALUED:
            found.extend(words[at - 1 : at + 1])
            at += 1
        else:
            found.append(word)
    return found


def _files(options: List[str]) -> List[str]:
    return [value for option, value in zip(options, options[1:]) if option == "-f"]  # noqa: RUF007 - Python 3.6


def _last(options: List[str], name: str) -> str:
    found = [value for option, value in zip(options, options[1:]) if option == name]  # noqa: RUF007
    return found[-1] if found else ""


def _split(value: str) -> List[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()


def _assignments(path: str) -> Dict[str, str]:
    """The NAME=VALUE lines of a file that systemd reads as an environment."""
    found = {}
    for line in _reading.small(path).splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.isidentifier():
            found[name] = " ".join(_split(value))
    return found


SERVICE = HAProxy
