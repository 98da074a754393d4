# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: every cluster, running or not, by its files and by the server's own parser of them."""

import glob
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

# Where the programs of each version lie, beside the folders that are searched (/usr/bin and the like).
_FOLDERS = ("lib/postgresql/*/bin", "pgsql-*/bin", "pgsql/bin")
#: Where clusters lie that do not run: Debian's, Red Hat's, and those made by hand.
_CLUSTERS = (
    "/etc/postgresql/*/*/postgresql.conf",
    "/var/lib/pgsql/data/postgresql.conf",
    "/var/lib/pgsql/*/data/postgresql.conf",
    "/var/lib/postgres/data/postgresql.conf",
    "/usr/local/pgsql/data/postgresql.conf",
)
# Short options of `postgres` that are followed by a value, and those that stand for a setting.
_VALUED = "BCcDdfhkNprStWo"
_SHORT = {"p": "port", "h": "listen_addresses"}


class Cluster(NamedTuple):
    """One cluster: its program, what it was started with, its files, and whose it is."""

    program: Optional[str]
    arguments: List[str]
    given: Dict[str, str]
    config: Optional[str]
    data: Optional[str]
    owner: Optional[int]
    process: Optional[Process]


class PostgreSQL(Service):
    """Reads the files, and lets `postgres -C` say what they mean."""

    name = "postgresql"
    process_names = ("postgres", "postmaster")
    traces = (
        "postgres",
        "/usr/lib/postgresql/*/bin/postgres",
        "/usr/local/lib/postgresql/*/bin/postgres",
        "/lib/postgresql/*/bin/postgres",
        "/usr/pgsql*/bin/postgres",
        "/usr/local/pgsql*/bin/postgres",
        "/pgsql*/bin/postgres",
    )
    configs = _CLUSTERS

    def program(self, version: str = "*") -> Optional[str]:
        """The newest server program, or that of a version."""
        roots = dict.fromkeys(os.path.dirname(folder) for folder in self.machine.search)
        named = [folder.replace("*", version) for folder in _FOLDERS if version == "*" or "*" in folder]
        found = [path for root in roots for folder in named for path in glob.glob(os.path.join(root, folder))]
        newest = sorted(found, key=_numbers, reverse=True)
        return self.machine.find(("postgres",), newest)

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        program = next((one.program for one in self.clusters() if one.program), None) or self.program()
        return None if program is None else self.told_version([program, "--version"], r"\) (\S+)")

    def clusters(self) -> List[Cluster]:
        """Those that run, by process number, and then the others."""
        running = [self._of(process) for process in self.masters()]
        known = {one.config and _reading.real(one.config) for one in running}
        return running + [one for one in self._idle() if _reading.real(one.config or "") not in known]

    def _of(self, process: Process) -> Cluster:
        folder, given = parsed(process.arguments[1:])
        home = self.machine.folder(process)  # the server goes into its data directory
        start = folder or self.machine.environment(process).get("PGDATA") or home
        start = start and os.path.join(home or "/", start)
        config = given.get("config_file") or (start and os.path.join(start, "postgresql.conf"))
        config = config and os.path.join(home or "/", config)
        program = self.machine.executable(process)
        return Cluster(program, process.arguments[1:], given, config, home, process.user, process)

    def _idle(self) -> List[Cluster]:
        found = []
        named = sorted(os.fsencode(path) for pattern in self.configs for path in glob.glob(pattern))
        for path in map(_reading.text, named):
            version = next((part for part in path.split("/") if part[:1].isdigit()), "*")
            program = self.program(version) or self.program()
            arguments = ["-D", os.path.dirname(path), "-c", "config_file=" + path]
            status = _reading.status(path)
            owner = None if status is None else status.st_uid
            found.append(Cluster(program, arguments, {}, path, None, owner, None))
        return found

    def scan(self, report: Report) -> None:
        from ._postgresql_clusters import write  # noqa: PLC0415 - compiled only where there is a PostgreSQL

        self.name_strangers(report)
        clusters = self.clusters()
        running = any(one.process for one in clusters)
        report.in_turn(
            lambda one: write(self, report, one, served=one.process is not None or not running), clusters
        )

    def ask(self, cluster: Cluster, argv: List[str], seconds: float = 20.0) -> Optional[Tuple[int, str, str]]:
        """What a program answers with the rights of a cluster's owner; None where we may not be him."""
        command = self.as_owner(cluster, argv)
        answer = None if command is None else self.machine.ask(command, seconds)
        if answer is None or answer.timed_out:
            return None
        return answer.returncode, _reading.text(answer.stdout), answer.said()

    def as_owner(self, cluster: Cluster, argv: List[str]) -> Optional[List[str]]:
        """A command with the rights of a cluster's owner: PostgreSQL does not let root run it."""
        return self.machine.as_user(cluster.owner, argv) if cluster.owner else None

    def test_commands(self) -> List[List[str]]:
        """PostgreSQL's own parser reads all files; no command of its would load the certificate."""
        commands = []
        for one in self.clusters():
            argv = [one.program or "postgres"] + one.arguments + ["-C", "ssl_cert_file"]
            command = self.as_owner(one, argv)
            if command is not None:
                commands.append(command)
        return commands or [[self.program() or "postgres", "--version"]]

    def reload_commands(self) -> List[List[str]]:
        """The reload of systemd, else SIGHUP, which is what `pg_ctl reload` sends."""
        return [
            self.machine.reload_by_systemd(one) or ["kill", "-HUP", str(one.pid)] for one in self.masters()
        ]


def parsed(words: List[str]) -> Tuple[Optional[str], Dict[str, str]]:
    """The -D and the settings of a command line: `-c name=value`, `--name=value`, `-p 5433`, `-l`."""
    folder: Optional[str] = None
    settings: Dict[str, str] = {}
    words = list(words)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            settings.update(_assigned(word[2:]))
            continue
        letters = word[1:] if word.startswith("-") else ""
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _VALUED:
                value = letters or (words.pop(0) if words else "")
                letters = ""
                if letter == "D":
                    folder = value
                elif letter == "c":
                    settings.update(_assigned(value))
                elif letter in _SHORT:
                    settings[_SHORT[letter]] = value
            elif letter == "l":
                settings["ssl"] = "on"
            elif letter == "i":
                settings["listen_addresses"] = "*"
    return folder, settings


def _assigned(text: str) -> Dict[str, str]:
    name, equals, value = text.partition("=")
    return {name.strip().lower().replace("-", "_"): value} if equals else {}


def _numbers(path: str) -> List[int]:
    """The numbers in a path, so that 15 comes after 9."""
    digits = "".join(sign if sign.isdigit() else " " for sign in path)
    return [int(number) for number in digits.split()]


SERVICE = PostgreSQL
