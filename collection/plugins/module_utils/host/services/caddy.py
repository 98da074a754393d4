# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caddy: what it runs as it tells at its admin endpoint, else what it makes of its file."""

import functools
import os
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from . import _reading
from ._base import Service
from ._machine import Machine, Process
from ._report import Report
from ._restart import Restarts

if TYPE_CHECKING:
    from ._caddy_admin import Endpoint
    from ._caddy_places import Places

_CONFIGS = ("/etc/caddy/Caddyfile", "/etc/caddy/caddy.json", "/etc/caddy/config.json")
_LONG = {"-c": "--config", "-a": "--adapter", "-r": "--resume"}
# Whatever Caddy is asked, a library in it makes a folder for itself, but where it is told that it has one.
_NO_FOLDER = ("STEPPATH", "/")
_HOME = ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")


class Instance(NamedTuple):
    """One process (or none yet): the program, its file, the adapter that reads it, its variables."""

    program: Optional[str]
    config: Optional[str]
    adapter: Optional[str]
    environment: Dict[str, str]
    process: Optional[Process]


class Caddy(Service):
    """Asks the running process, and reads files only for the lines where things stand."""

    name = "caddy"
    process_names = ("caddy",)
    traces = ("caddy",)
    configs = _CONFIGS

    def __init__(self, machine: Optional[Machine] = None) -> None:
        super().__init__(machine)
        self._restarts = Restarts(self.machine, self.name)

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names)

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        program = self.instances()[0].program
        if program is None:
            return None
        return self.told_version(["env", "=".join(_NO_FOLDER), program, "version"], r"v?(\d[\w.-]*)")

    def instances(self) -> List[Instance]:
        """Every process, each with its own file; the usual file when none runs."""
        found = [self._instance(process) for process in self.masters()]
        config = next((path for path in self.configs if os.path.exists(path)), None)
        return found or [Instance(self.program(), config, None, {}, None)]

    def _instance(self, process: Process) -> Instance:
        program = self.machine.executable(process) or self.program()
        environment = self.machine.environment(process)
        told = given(process.arguments[1:])
        config = told.get("--config")
        folder = self.machine.folder(process) or "/"
        if "--resume" in told or (config is None and not os.path.exists(os.path.join(folder, "Caddyfile"))):
            config = _autosave(environment) or config
        config = os.path.join(folder, config or "Caddyfile")
        return Instance(program, config, told.get("--adapter"), environment, process)

    def scan(self, report: Report) -> None:
        from ._caddy_places import Places  # noqa: PLC0415 - compiled only where there is a Caddy
        from ._caddy_sites import Sites  # noqa: PLC0415

        def work(one: Instance) -> None:
            places = Places(report.reader, report.warning)
            if one.config is not None:
                report.partly(functools.partial(places.read, one.config))
            config = self._running(report, one, places) or self._adapted(report, one, places)
            if config is None:
                report.warning("what Caddy makes of its configuration is not known", one.config)
                return
            storage = _storage(config, one.environment)
            Sites(config, places, storage, report, self.name).report_bindings()

        report.in_turn(work, self.instances())

    def _running(self, report: Report, one: Instance, places: "Places") -> Optional[Any]:
        """What a process runs now, as it tells."""
        from . import _caddy_admin  # noqa: PLC0415

        if one.process is None:
            return None
        for asked in self._endpoints(one, places):
            found = _caddy_admin.running(self.machine, one.process, asked)
            if found is not None:
                return found
        message = "its admin endpoint does not tell what runs, so its file is believed"
        report.warning(message, one.config)
        return None

    def _endpoints(self, one: Instance, places: "Places") -> List["Endpoint"]:
        """Where the admin endpoint may be: where the file says, else where it is by itself."""
        from . import _caddy_admin  # noqa: PLC0415

        texts = [one.environment.get("CADDY_ADMIN") or _caddy_admin.DEFAULT]
        if "admin" in places.words:
            config = self._adapted(Report(_reading.Reader()), one, places)
            admin = config.get("admin") if isinstance(config, dict) else None
            said = admin.get("listen") if isinstance(admin, dict) else None
            texts = [said] + texts if isinstance(said, str) else texts
        return [found for found in map(_caddy_admin.endpoint, texts) if found is not None]

    def _adapted(self, report: Report, one: Instance, places: "Places") -> Optional[Any]:
        """What Caddy makes of its file: `caddy adapt` reads, and neither loads nor starts anything."""
        from . import _caddy_admin  # noqa: PLC0415

        if one.config is None or (one.program is None and not _is_json(one)):
            return None
        if _is_json(one):
            try:
                return _caddy_admin.parsed(report.reader.read(one.config, _reading.CONFIG_LIMIT).data)
            except _reading.Unreadable as error:
                report.warning("%s is not read: %s" % (one.config, error.message), one.config)
                return None
        argv = [one.program or "caddy", "adapt", "--config", one.config]
        argv += ["--adapter", one.adapter] if one.adapter else []
        argv = self.machine.as_owner(one.process, argv)
        seconds = min(30.0, report.reader.seconds_left())
        answer = self.machine.ask(argv, seconds, _needed(one.environment, places))
        if answer is None or answer.returncode != 0 or answer.timed_out:
            said = "no answer" if answer is None else answer.said()
            report.warning("caddy adapt fails: %s" % said, one.config)
            return None
        return _caddy_admin.parsed(answer.stdout)

    def test_commands(self) -> List[List[str]]:
        """A running Caddy's file is loaded as a whole; else it is only read, for loading leaves traces."""
        return [self._test(one) for one in self.instances()]

    def _test(self, one: Instance) -> List[str]:
        verb = "adapt" if one.process is None else "validate"
        argv = [one.program or "caddy", verb, "--config", one.config or self.configs[0]]
        argv += ["--adapter", one.adapter] if one.adapter else []
        return self.machine.as_owner(one.process, argv)

    def reload_commands(self) -> List[List[str]]:
        """What runs is loaded once more, through the admin endpoint; a restart where there is none."""
        from ._caddy_admin import running  # noqa: PLC0415 - only where it is about to be reloaded
        from ._caddy_places import Places  # noqa: PLC0415

        commands: List[List[str]] = []
        for one in self.instances():
            if one.process is None:
                continue
            places = Places(_reading.Reader(), lambda *_said: None)
            if one.config is not None:
                places.read(one.config)
            asked = [
                found
                for found in self._endpoints(one, places)
                if running(self.machine, one.process, found) is not None
            ]
            if asked:
                commands.append(asked[0].again())
            else:
                commands.extend(self._restarts.commands([self._restarts.needed(one.process)]))
        if not commands:
            commands = self._restarts.commands(self._restarts.units)
        return commands

    def command_environment(self) -> Dict[str, str]:
        """Those variables of the process that its files use, and where its own files lie."""
        from ._caddy_places import Places  # noqa: PLC0415

        one = self.instances()[0]
        places = Places(_reading.Reader(), lambda *_said: None)
        if one.config is not None:
            places.read(one.config)
        return _needed(one.environment, places)


def _is_json(one: Instance) -> bool:
    """Whether Caddy takes a file for its own form rather than for a Caddyfile."""
    name = os.path.basename(one.config or "")
    return one.adapter is None and not name.startswith("Caddyfile") and not name.endswith(".caddyfile")


def given(words: List[str]) -> Dict[str, str]:
    """The options of a command line, by their long names."""
    found: Dict[str, str] = {}
    for word, after in zip(words, words[1:] + [""]):
        name, equals, value = word.partition("=")
        if name.startswith("-"):
            found[_LONG.get(name, name)] = value if equals else after
    return found


def _needed(environment: Dict[str, str], places: "Places") -> Dict[str, str]:
    wanted = places.variables.union(_HOME)
    return dict([_NO_FOLDER], **{name: value for name, value in environment.items() if name in wanted})


def _folders(environment: Dict[str, str]) -> Tuple[Optional[str], Optional[str]]:
    """Where a process keeps its data and its configuration."""
    home = environment.get("HOME")
    data = environment.get("XDG_DATA_HOME") or (home and home + "/.local/share")
    config = environment.get("XDG_CONFIG_HOME") or (home and home + "/.config")
    return (data + "/caddy" if data else None), (config + "/caddy" if config else None)


def _autosave(environment: Dict[str, str]) -> Optional[str]:
    folder = _folders(environment)[1]
    path = None if folder is None else folder + "/autosave.json"
    return path if path is not None and os.path.exists(path) else None


def _storage(config: Any, environment: Dict[str, str]) -> Optional[str]:
    """The folder of Caddy's own certificates, where they lie in files."""
    said = config.get("storage") if isinstance(config, dict) else None
    if isinstance(said, dict):
        root = said.get("root")
        if said.get("module", "file_system") != "file_system":
            return None
        if isinstance(root, str) and root.startswith("/"):
            return root
    if not environment:
        return "/var/lib/caddy/.local/share/caddy"
    return _folders(environment)[0]


SERVICE = Caddy
