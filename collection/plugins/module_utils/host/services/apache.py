# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apache httpd: its files, read as it reads them, and held against its own dump of virtual hosts."""

import functools
import os
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Set, Tuple

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

if TYPE_CHECKING:
    from ._apache_syntax import Reading

_CONTROLS = ("apache2ctl", "apachectl")
_LAYOUTS = (
    ("/etc/apache2", "apache2.conf"),
    ("/etc/httpd", "conf/httpd.conf"),
    ("/usr/local/apache2", "conf/httpd.conf"),
)
_PACKAGED = ("/usr/sbin/apache2", "/usr/sbin/httpd")
# The modules that every build has in it, should the server not tell.
_CORE = ("core.c", "http_core.c")
_STATIC = (
    *_CORE,
    "mod_so.c",
    "mod_unixd.c",
    "mod_version.c",
    "mod_log_config.c",
    "mod_watchdog.c",
)
# Beside these there may be one that Debian builds in.
_USUAL = frozenset((*_STATIC, "mod_logio.c"))
_SOURCE = re.compile(r"(?:mod_\w+|prefork|worker|event)\.c$")
_BUILT_IN = re.compile(r'-D (HTTPD_ROOT|SERVER_CONFIG_FILE)="([^"]*)"')
_DUMPED = re.compile(r"\((/[^\n]*):([0-9]+)\)$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class Instance(NamedTuple):
    """One configuration in use: the program, its options, its root, its first file."""

    program: Optional[str]
    options: List[str]
    root: str
    config: str
    defines: List[str]
    environment: Dict[str, str]
    master: Optional[Process]


class Apache(Service):
    """Reads the files, and asks a running server which virtual hosts it has made of them."""

    name = "apache"
    process_names = ("apache2", "httpd")
    traces = ("apache2", "httpd", "/usr/local/apache2/bin/*", "/opt/apache2/bin/*", "/opt/httpd/bin/*")
    usual = True
    layouts = _LAYOUTS

    def program(self) -> Optional[str]:
        return self.machine.find(
            self.process_names, ("/usr/local/apache2/bin", "/opt/apache2/bin", "/opt/httpd/bin")
        )

    def found(self) -> bool:
        return self.program() is not None or bool(self.paths) or self.running()

    def version(self) -> Optional[str]:
        return self._version(self.instances()[0].program)

    def _version(self, program: Optional[str]) -> Optional[str]:
        if program is None:
            return None
        written = self.written_version(program, b"Apache/", r"^Apache/(\d+\.\d+\.\d+\S*)")
        return written or self.told_version([program, "-v"], r"Apache/(\S+)")

    def instances(self) -> List[Instance]:
        """Every configuration in use; the built-in one when nothing runs."""
        found: Dict[Tuple[Optional[str], str], Instance] = {}
        for master in self.masters():
            program = self.machine.executable(master) or self.program()
            one = self._instance(program, master.arguments[1:], master)
            found.setdefault((program, one.config), one)
        return list(found.values()) or [self._instance(self.program(), [], None)]

    def _instance(self, program: Optional[str], words: List[str], master: Optional[Process]) -> Instance:
        options, defines = given(words)
        said = dict(zip(options[::2], options[1::2]))
        built_in = self._built_in(program)
        root = said.get("-d", built_in["HTTPD_ROOT"])
        config = os.path.join(root, said.get("-f", built_in["SERVER_CONFIG_FILE"]))
        environment = self.machine.environment(master) if master is not None else {}
        if not environment:
            environment = _envvars(os.path.join(root, "envvars"), {"APACHE_CONFDIR": root})
        return Instance(program, options, root, config, defines, environment, master)

    def _built_in(self, program: Optional[str]) -> Dict[str, str]:
        """Where the program looks when nobody tells it; asking costs a reading of the configuration."""
        root, config = next(
            (one for one in self.layouts if os.path.isfile(os.path.join(*one))), self.layouts[0]
        )
        found = {}
        if program is not None and program not in _PACKAGED:
            found = dict(_BUILT_IN.findall(self.machine.told([program, "-V"])))
        return {
            "HTTPD_ROOT": found.get("HTTPD_ROOT", root),
            "SERVER_CONFIG_FILE": found.get("SERVER_CONFIG_FILE", config),
        }

    def scan(self, report: Report) -> None:
        from ._apache_hosts import Hosts  # noqa: PLC0415 - compiled only where there is an Apache
        from ._apache_syntax import Reading, Start, lines  # noqa: PLC0415

        def warn(message: str, file: str, line: int) -> None:
            report.warning(message, file or None, line or None)

        def work(instance: Instance) -> None:
            version, modules = self._version(instance.program), self._static(instance)
            start = Start(instance.root, instance.environment, instance.defines, modules, version)
            reading = Reading(report.reader, start, warn)
            # Directives of the command line: -C is read before the files, -c after them.
            reading.obey(lines(_commanded(instance, "-C"), instance.config), reading.main)
            report.partly(functools.partial(reading.file, instance.config))
            reading.obey(lines(_commanded(instance, "-c"), instance.config), reading.main)
            if instance.master is not None and self.machine.may_ask_as(instance.master):
                self._hold_against_dump(instance, reading, report)
            Hosts(reading, report, self.name).report_bindings()

        report.in_turn(work, self._every(report))

    def _every(self, report: Report) -> List[Instance]:
        """Those in use and those that were asked for."""
        found = self.instances()
        configs = [one.config for one in found]
        further = [path for path in self.asked_for(report, ".conf") if path not in configs]
        return found + [self._instance(self.program(), ["-f", path], None) for path in further]

    def _static(self, instance: Instance) -> List[str]:
        """The modules in the program itself; it is asked where its file names others than the usual."""
        texts = self.machine.written(instance.program, b".c\0") if instance.program else ()
        named = {match.group() for match in map(_SOURCE.search, texts) if match}
        if named and named.issubset(_USUAL):
            return [*_CORE, *sorted(named)]
        said = self.machine.told([instance.program, "-l"]) if instance.program else ""
        return re.findall(r"^\s+(\S+\.c)$", said, re.MULTILINE) or list(_STATIC)

    def _hold_against_dump(self, instance: Instance, reading: "Reading", report: Report) -> None:
        """Drops the virtual hosts that the server itself does not have; names those that we missed."""
        dumped = self._dump(instance, report)
        if dumped is None:
            return
        ours = {(os.path.normpath(host.place.file), host.place.number) for host in reading.hosts}
        for file, number in sorted(dumped - ours):
            report.warning("a virtual host that only the server understands", file, number)
        if not dumped & ours:
            return
        kept = []
        for host in reading.hosts:
            if host.by_macro or (os.path.normpath(host.place.file), host.place.number) in dumped:
                kept.append(host)
            else:
                report.warning(
                    "a virtual host that the server does not have", host.place.file, host.place.number
                )
        reading.hosts[:] = kept

    def _dump(self, instance: Instance, report: Report) -> Optional[Set[Tuple[str, int]]]:
        """The places of the virtual hosts as the server tells them."""
        argv = self._direct(instance) + ["-t", "-D", "DUMP_VHOSTS"]
        seconds = min(30.0, report.reader.seconds_left() / 3)  # it may wait where we did not
        answer = self.machine.ask(argv, seconds, instance.environment)
        if answer is None:
            return None
        if answer.timed_out:
            report.warning("its own test of the configuration does not end", instance.config)
            return None
        if answer.returncode != 0:
            report.warning("its own test of the configuration fails: %s" % answer.said(), instance.config)
            return None
        return {
            (os.path.normpath(file), int(line))
            for file, line in _DUMPED.findall(_reading.text(answer.stdout))
        }

    def test_commands(self) -> List[List[str]]:
        return [self._control(one, "configtest") or self._direct(one) + ["-t"] for one in self.instances()]

    def challenge_answer(self, thumbprint: str) -> Tuple[str, str]:
        text = (
            '<LocationMatch "^/\\.well-known/acme-challenge/(?<token>[-_a-zA-Z0-9]+)$">\n'
            "    Require all granted\n"
            '    ErrorDocument 200 "%%{env:MATCH_TOKEN}.%s"\n'
            '    RedirectMatch 200 ".*"\n'
            "</LocationMatch>\n"
        )
        return "/etc/apache2/conf-enabled/notafter-acme-challenge.conf", text % thumbprint

    def challenge_advice(self, thumbprint: str) -> str:
        return "it must listen on port 80 and read conf-enabled/, with the modules alias and authz_core"

    def reload_commands(self) -> List[List[str]]:
        return [
            self.machine.reload_by_systemd(one.master)
            or self._control(one, "graceful")
            or self._direct(one) + ["-k", "graceful"]
            for one in self.instances()
            if one.master is not None
        ]

    def _control(self, instance: Instance, verb: str) -> Optional[List[str]]:
        """The control script, which knows the environment, where it leads to this very configuration."""
        program = self.machine.find(_CONTROLS, (os.path.dirname(instance.program or "/usr/sbin/apache2"),))
        said = dict(zip(instance.options[::2], instance.options[1::2]))
        defines = set(instance.defines) - {"FOREGROUND"}
        if program is None or "-f" in said or "-c" in said or "-C" in said or defines:
            return None
        if "-d" not in said:
            return [program, verb]
        if not os.path.isfile(os.path.join(said["-d"], "envvars")):
            return None
        return ["env", "APACHE_CONFDIR=%s" % said["-d"], program, verb]

    def _direct(self, instance: Instance) -> List[str]:
        return self.machine.as_owner(instance.master, [instance.program or "apache2"] + _words(instance))

    def command_environment(self) -> Dict[str, str]:
        """The variables that the running master was started with: its configuration uses them."""
        environment = self.instances()[0].environment
        return {name: value for name, value in environment.items() if name.startswith("APACHE_")}


def given(words: List[str]) -> Tuple[List[str], List[str]]:
    """The options (each with its value) and the defines that a master was started with."""
    options: List[str] = []
    defines: List[str] = []
    at = 0
    while at < len(words):
        name, value = words[at][:2], words[at][2:]
        at += 1
        if name not in ("-d", "-f", "-C", "-c", "-D", "-k", "-e", "-E") or len(words[at - 1]) < 2:
            continue
        if not value and at < len(words):
            value = words[at]
            at += 1
        if name == "-D":
            defines.append(value)
        elif name in ("-d", "-f", "-C", "-c"):
            options.extend((name, value))
    return options, defines


def _commanded(instance: Instance, option: str) -> str:
    pairs = zip(instance.options[::2], instance.options[1::2])
    return "\n".join(value for name, value in pairs if name == option)


def _words(instance: Instance) -> List[str]:
    return instance.options + [word for name in instance.defines for word in ("-D", name)]


def _envvars(path: str, known: Dict[str, str]) -> Dict[str, str]:
    """The variables that a file of shell assignments sets; its conditions are not followed."""
    found = dict(known, SUFFIX="")
    for line in _reading.small(path).splitlines():
        match = _ASSIGNMENT.fullmatch(line)
        if match is None or (match.group(1) == "SUFFIX"):
            continue
        value = match.group(2).split(" #")[0].strip()
        if value[:1] in ("'", '"') and value[-1:] == value[:1]:
            quote, value = value[0], value[1:-1]
            if quote == "'":
                found[match.group(1)] = value
                continue
        found[match.group(1)] = _REFERENCE.sub(
            lambda reference: found.get(reference.group(1) or reference.group(2), ""), value
        )[:4096]
    return found


SERVICE = Apache
