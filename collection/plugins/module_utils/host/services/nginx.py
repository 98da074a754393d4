# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx and its kin (OpenResty, Tengine, Angie): each running master with its own configuration."""

import os
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Set, Tuple, Union

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

if TYPE_CHECKING:
    from ._nginx_files import Tree

_TITLES = ("nginx: master process ", "angie: master process ")
_FOLDERS = (
    "/usr/local/nginx/sbin",
    "/usr/local/openresty/nginx/sbin",
    "/usr/local/openresty/bin",
    "/usr/local/tengine/sbin",
    "/opt/nginx/sbin",
    "/www/server/nginx/sbin",
)
_CONFIGURED = re.compile(r"--(conf-path|prefix)=('[^']*'|\S+)")


class Instance(NamedTuple):
    """One configuration in use: the program, the options it was given, and its first file."""

    program: Optional[str]
    options: List[str]
    config: str
    master: Optional[Process]


class Nginx(Service):
    """Reads the files of every master, and asks `nginx -T` where they leave a doubt."""

    name = "nginx"
    process_names = ("nginx", "openresty", "tengine", "angie")
    traces = (
        "nginx",
        "openresty",
        "tengine",
        "angie",
        "/etc/nginx/nginx.conf",
        "/usr/local/nginx/sbin/*",
        "/usr/local/openresty/nginx/sbin/*",
        "/usr/local/openresty/bin/*",
        "/usr/local/tengine/sbin/*",
        "/opt/nginx/sbin/*",
        "/www/server/nginx/sbin/*",
    )
    usual = True
    config = "/etc/nginx/nginx.conf"

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names, _FOLDERS)

    def found(self) -> bool:
        installed = self.program() is not None or os.path.exists(self.config)
        return installed or bool(self.paths) or self.running()

    def version(self) -> Optional[str]:
        instance = self.instances()[0]
        if instance.program is None:
            return None
        pattern = r"version: \S*?/(\S+)"
        written = self.written_version(instance.program, b" version: ", pattern)
        return written or self.told_version([instance.program, "-V"], pattern)

    def masters(self) -> List[Process]:
        """Masters by their title: after an upgrade in flight a new master is the child of the old."""
        found = self.machine.processes(self.process_names)
        numbers = {one.pid for one in found}
        return [
            one for one in found if _is_master(one, numbers) and self.machine.trusted(one, self.process_names)
        ]

    def instances(self) -> List[Instance]:
        """Every configuration in use; the built-in one when no master runs."""
        found: Dict[Tuple[Optional[str], str], Instance] = {}
        for master in self.masters():
            program = self.machine.executable(master) or self.program()
            options = given(master.arguments)
            config = self._config(program, options, self.machine.folder(master))
            found.setdefault((program, config), Instance(program, _words(options), config, master))
        if not found:
            program = self.program()
            return [Instance(program, [], self._config(program, {}, None), None)]
        return list(found.values())

    def _config(self, program: Optional[str], options: Dict[str, str], folder: Optional[str]) -> str:
        """The first file: `-c` is relative to the prefix, which is built in or `-p`."""
        built_in = self._built_in(program) if program and not options.get("c", "").startswith("/") else {}
        prefix = os.path.join(folder or "/", options.get("p") or built_in.get("prefix", "/etc/nginx"))
        return os.path.normpath(
            os.path.join(prefix, options.get("c") or built_in.get("conf-path", self.config))
        )

    def _built_in(self, program: str) -> Dict[str, str]:
        written = next(self.machine.written(program, b"configure arguments:"), None)
        said = written or self.machine.told([program, "-V"])
        found = {key: value.strip("'") for key, value in _CONFIGURED.findall(said)}
        if "configure arguments" in said:
            found.setdefault("prefix", "/usr/local/nginx")
            found.setdefault("conf-path", "conf/nginx.conf")
        return found

    def scan(self, report: Report) -> None:
        from . import _nginx_files  # noqa: PLC0415 - compiled only where there is an nginx

        used = [
            one
            for one in self.instances()
            if one.program is not None or os.path.exists(_reading.raw(one.config))
        ]
        known = {_reading.real(one.config) for one in used}
        parts = [path for path in self.asked_for(report, ".conf") if _reading.real(path) not in known]

        def work(one: Union[Instance, str]) -> None:
            tree = _nginx_files.from_part(report, one) if isinstance(one, str) else self._tree(report, one)
            self._report(report, tree)

        report.in_turn(work, [*used, *parts])

    def _report(self, report: Report, tree: "Tree") -> None:
        from ._nginx_servers import Servers  # noqa: PLC0415 - as above

        for message, file, line in tree.warnings:
            report.warning(message, file, line)
        Servers(tree, report, self.name).report_bindings()
        report.cut = report.cut or tree.cut

    def _tree(self, report: Report, instance: Instance) -> "Tree":
        """What the files say; where they leave a doubt, what nginx says of them.

        `nginx -T` tells no more than the files: it is no word of the running master, but a
        test of what lies on the disk. It loads every certificate, which takes longer than all
        the rest, and it opens logs and makes folders where there are none yet.
        """
        from . import _nginx_files  # noqa: PLC0415

        tree = _nginx_files.from_disk(report, instance.config)
        master = instance.master
        if not (tree.warnings or tree.cut) or master is None or instance.program is None:
            return tree
        if not self.machine.may_ask_as(master):
            return tree
        absent = _nginx_files.made_by_a_test(tree)
        if absent:
            message = "nginx -T is not asked, for it would make %s" % absent
            report.warning(message, instance.config)
            return tree
        return self._asked(report, instance) or tree

    def _asked(self, report: Report, instance: Instance) -> Optional["Tree"]:
        from . import _nginx_files  # noqa: PLC0415

        argv = [instance.program or "nginx", "-T", "-q"] + instance.options
        seconds = min(30.0, report.reader.seconds_left() / 3)  # it may wait where we did not
        answer = self.machine.ask(self.machine.as_owner(instance.master, argv), seconds)
        if answer is None or answer.returncode != 0 or answer.timed_out or answer.overflowed:
            said = "nothing" if answer is None else answer.said()
            report.warning("nginx -T fails, so its files are read: %s" % said, instance.config)
            return None
        return _nginx_files.from_dump(report, _reading.text(answer.stdout))

    def test_commands(self) -> List[List[str]]:
        return [
            self.machine.as_owner(one.master, [one.program or "nginx", "-t"] + one.options)
            for one in self.instances()
        ]

    def challenge_answer(self, thumbprint: str) -> Tuple[str, str]:
        text = (
            'location ~ "^/\\.well-known/acme-challenge/([-_a-zA-Z0-9]+)$" {\n'
            "    default_type text/plain;\n"
            '    return 200 "$1.%s";\n'
            "}\n"
        )
        return "/etc/nginx/snippets/notafter-acme-challenge.conf", text % thumbprint

    def challenge_advice(self, thumbprint: str) -> str:
        return (
            "its server block on port 80 needs the line "
            "`include /etc/nginx/snippets/notafter-acme-challenge*.conf;`"
        )

    def reload_commands(self) -> List[List[str]]:
        return [
            self.machine.reload_by_systemd(one.master)
            or self.machine.as_owner(one.master, [one.program or "nginx", "-s", "reload"] + one.options)
            for one in self.instances()
            if one.master is not None
        ]


def _is_master(process: Process, numbers: Set[int]) -> bool:
    """Whether a process is a master, or a single one that has neither title nor workers."""
    title = process.arguments[0] if process.arguments else ""
    if title.startswith(("nginx: ", "angie: ")):
        return title.startswith(_TITLES)
    asks = any(word.startswith("-") and set(word) & set("tTsvVh?") for word in process.arguments[1:2])
    return process.parent not in numbers and not asks


def given(arguments: List[str]) -> Dict[str, str]:
    """The options c, p, g and e that a master was started with.

    nginx writes its arguments into its title, where blanks no longer say where one ends: an
    option's value goes on to the next word that begins with a dash.
    """
    if arguments and arguments[0].startswith(_TITLES):
        words = arguments[0].strip().split(" ")[4:]
    else:
        words = arguments[1:]
    found: Dict[str, str] = {}
    current = ""
    for word in words:
        if (
            word.startswith("-")
            and len(word) > 1
            and not (current == "g" and not found["g"].rstrip().endswith(";"))
        ):
            current = next((letter for letter in word[1:] if letter in "cpgesT"), "")
            if current:
                found[current] = word[word.index(current) + 1 :]
        elif current:
            found[current] = (found[current] + " " + word).strip()
    return {key: value for key, value in found.items() if key in "cpge" and value}


def _words(options: Dict[str, str]) -> List[str]:
    return [word for key, value in sorted(options.items()) for word in ("-" + key, value)]


SERVICE = Nginx
