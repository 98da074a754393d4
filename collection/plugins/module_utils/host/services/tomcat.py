# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomcat: the server.xml of each running Java machine that is one, else of the usual places."""

import os
import pwd
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..errors import HostError
from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

MAIN = "org.apache.catalina.startup.Bootstrap"
_PLACES = (
    "/etc/tomcat*/server.xml",
    "/opt/tomcat*/conf/server.xml",
    "/opt/apache-tomcat*/conf/server.xml",
    "/usr/local/tomcat*/conf/server.xml",
    "/usr/local/apache-tomcat*/conf/server.xml",
)
# Options of Java that are followed by a value, and those without which server.xml is read otherwise.
_VALUED = ("-classpath", "-cp", "--class-path", "-p", "--module-path")
_ADDING = ("--add-opens", "--add-exports", "--add-modules", "--add-reads")
# A second Java machine must not want the first one's ports and log files.
_NOT_TESTED = ("-Dcom.sun.management.", "-Djava.util.logging.")


class Instance(NamedTuple):
    """One Tomcat: where its programs and its configuration are, and who runs it."""

    home: str
    base: str
    config: str
    properties: Dict[str, str]
    user: Optional[str]
    process: Optional[Process]


class Tomcat(Service):
    """Reads server.xml as Tomcat does; Tomcat has no command that prints what it has understood."""

    name = "tomcat"
    process_names = ("java",)
    traces = (
        "/etc/tomcat*/server.xml",
        "/opt/tomcat*/conf/server.xml",
        "/opt/apache-tomcat*/conf/server.xml",
        "/usr/local/tomcat*/conf/server.xml",
        "/usr/local/apache-tomcat*/conf/server.xml",
    )
    #: It must be started again to read a certificate, and answers when its applications are up.
    settling_seconds = 90.0
    places = _PLACES

    def masters(self) -> List[Process]:
        """The running Java machines that are Tomcats."""
        return [one for one in self._tomcats() if self.machine.trusted(one, self.process_names)]

    def strangers(self) -> List[Process]:
        return [one for one in self._tomcats() if not self.machine.trusted(one, self.process_names)]

    def _tomcats(self) -> List[Process]:
        return [one for one in self.machine.processes(self.process_names) if MAIN in one.arguments]

    def name_strangers(self, report: Report) -> None:
        for process in self.strangers():
            message = "process %d is a Tomcat of user %d that was started neither by root nor by systemd: "
            report.warning((message + "root does not believe it") % (process.pid, process.user))

    def found(self) -> bool:
        return bool(self.instances())

    def instances(self) -> List[Instance]:
        """Each running Tomcat with a configuration of its own; those of the usual places when none runs."""
        found: List[Instance] = []
        for process in self.masters():
            one = self._running(process)
            if not any(other.config == one.config for other in found):
                found.append(one)
        reader = _reading.Reader()
        patterns = self.paths if found else self.paths + self.places
        for config in [path for pattern in patterns for path in reader.glob(pattern)]:
            one = self._idle(config)
            if os.path.isfile(_reading.raw(one.config)) and one.config not in [
                other.config for other in found
            ]:
                found.append(one)
        return found

    def _running(self, process: Process) -> Instance:
        at = process.arguments.index(MAIN)
        options, given = process.arguments[1:at], process.arguments[at + 1 :]
        properties = _properties(options)
        folder = self.machine.folder(process) or "/"
        home = os.path.join(folder, properties.get("catalina.home", ""))
        base = os.path.join(folder, properties.get("catalina.base", home))
        config = "conf/server.xml"
        if "-config" in given[:-1]:
            config = given[given.index("-config") + 1]
        config = _reading.real(os.path.join(base, config))
        return Instance(home, base, config, properties, _name_of(process.user), process)

    def _idle(self, config: str) -> Instance:
        """What would be started with a server.xml (or a folder that has one in conf/)."""
        if os.path.isdir(_reading.raw(config)):
            config = os.path.join(config, "conf/server.xml")
        folder = os.path.dirname(config)
        name = os.path.basename(folder)
        base = home = os.path.dirname(folder)
        if name != "conf":  # /etc/tomcat10: the folders of distributions have a link to it
            bases = ["/var/lib/" + name, "/usr/share/" + name]
            linked = [one for one in bases if _reading.real(one + "/conf") == _reading.real(folder)]
            base, home = (linked or [folder])[0], "/usr/share/" + name
        return Instance(home, base, _reading.real(config), {}, None, None)

    def version(self) -> Optional[str]:
        found = self.instances()
        return self._version(found[0], _reading.Reader()) if found else None

    @staticmethod
    def _version(instance: Instance, reader: _reading.Reader) -> Optional[str]:
        from ._tomcat_server import version  # noqa: PLC0415 - compiled only where there is a Tomcat

        return version(instance.home, reader)

    def scan(self, report: Report) -> None:
        from ._tomcat_connectors import Connectors  # noqa: PLC0415

        def work(instance: Instance) -> None:
            environment = self.machine.environment(instance.process) if instance.process else {}
            properties = dict(self._builtin(instance), **instance.properties)
            version = self._version(instance, report.reader)
            Connectors(instance, properties, environment, version, report).report_bindings()

        report.in_turn(work, self.instances())

    def _builtin(self, instance: Instance) -> Dict[str, str]:
        """The properties that Java and Tomcat set by themselves and that paths are made of."""
        found = {"catalina.base": instance.base, "catalina.home": instance.home}
        user = instance.user or self._unit_user(instance)
        if user is not None:
            found.update({"user.name": user, "user.home": _home_of(user)})
        return dict(found, **{"file.separator": "/", "path.separator": ":", "user.dir": instance.base})

    def _unit_user(self, instance: Instance) -> Optional[str]:
        """The user that the service of an idle Tomcat has in systemd."""
        if not os.path.isdir(self.machine.systemd):
            return None
        unit = os.path.basename(os.path.dirname(instance.config))
        unit = os.path.basename(instance.base) if unit == "conf" else unit
        answer = self.machine.ask(["systemctl", "show", "--property=User", unit + ".service"], 10.0)
        match = None if answer is None else re.search(rb"^User=(\S+)", answer.stdout, re.MULTILINE)
        return None if match is None else _reading.text(match.group(1))

    def test_commands(self) -> List[List[str]]:
        """Tomcat's own configtest, with the options and the rights of the running one.

        It tells whether server.xml can be read, and no more: a keystore that does not open is a
        message in its log and no failure.
        """
        return [command for command in map(self._test, self.instances()) if command]

    def _test(self, instance: Instance) -> List[str]:
        if instance.process is not None:
            at = instance.process.arguments.index(MAIN)
            java = self.machine.executable(instance.process) or "java"
            options, given = (
                tested_options(instance.process.arguments[1:at]),
                instance.process.arguments[at + 1 :],
            )
            command = [java] + options + [MAIN] + given[:-1] + ["configtest"]
            return self.machine.as_owner(instance.process, command)
        java = self.machine.find(("java",)) or "java"
        jars = ":".join("%s/bin/%s.jar" % (instance.home, name) for name in ("bootstrap", "tomcat-juli"))
        places = ["-Dcatalina.base=" + instance.base, "-Dcatalina.home=" + instance.home]
        command = [java, "-classpath", jars] + places + [MAIN, "configtest"]
        user = self._unit_user(instance)
        if os.geteuid() == 0 and user is None:
            return []  # root would load what may be anybody's, and its service is not known
        return ["runuser", "-u", str(user), "--"] + command if os.geteuid() == 0 else command

    def reload_commands(self) -> List[List[str]]:
        """A restart by systemd: no signal and no command makes a Tomcat read its certificates again."""
        return [self._restart(process) for process in self.masters()]

    def _restart(self, process: Process) -> List[str]:
        unit = self.machine.unit(process)
        answer = (
            None
            if unit is None
            else self.machine.ask(["systemctl", "show", "--property=MainPID", unit], 10.0)
        )
        if unit is None or answer is None or b"MainPID=%d\n" % process.pid not in answer.stdout:
            message = "Tomcat reads certificates at its start alone, and process %d is no service of systemd"
            raise HostError("no_restart", message % process.pid)
        return ["systemctl", "restart", unit]

    def command_environment(self) -> Dict[str, str]:
        """Those variables of the running process that its server.xml names, where it may name any."""
        from ._tomcat_server import asked_of_environment  # noqa: PLC0415

        found: Dict[str, str] = {}
        for one in self.instances():
            if one.process is not None:
                environment = self.machine.environment(one.process)
                found.update(asked_of_environment(one.config, environment, _reading.Reader()))
        return found

    def challenge_advice(self, thumbprint: str) -> str:
        return "%s cannot answer by itself; use dns-01, or a proxy before it" % self.name


def tested_options(options: List[str]) -> List[str]:
    """The options of a running Java machine with which another reads the same configuration.

    Memory, agents, debuggers, management ports and logs are the first one's alone.
    """
    kept: List[str] = []
    at = 0
    while at < len(options):
        word = options[at]
        size = 2 if word in _VALUED + _ADDING else 1
        if size == 2 or (word.startswith(("-D", "--add-", "--enable-")) and not word.startswith(_NOT_TESTED)):
            kept.extend(options[at : at + size])
        at += size
    return kept


def _properties(options: List[str]) -> Dict[str, str]:
    """The system properties of a command line; the last of a name holds."""
    pairs: List[Tuple[str, str, str]] = [word[2:].partition("=") for word in options if word.startswith("-D")]
    return {name: value for name, _equals, value in pairs}


def _name_of(user: int) -> Optional[str]:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def _home_of(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "?"


SERVICE = Tomcat
