# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB and MySQL: each running server, by its own word on its options and by the files that it reads."""

import os
import pwd
import re
from typing import Iterator, List, NamedTuple, Optional, Tuple

from ..errors import HostError
from . import _reading
from ._base import Service
from ._machine import Process
from ._report import Report

_FOLDERS = ("/usr/libexec", "/usr/local/mysql/bin", "/opt/mysql/bin", "/usr/local/libexec")
_CONFIGS = ("/etc/my.cnf", "/etc/mysql/my.cnf")
_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108 - MySQL's own
_RELOADS = (10, 4)  # the first MariaDB with FLUSH SSL
_MYSQL_RELOADS = (8, 0)  # the first MySQL with ALTER INSTANCE RELOAD TLS (8.0.16)


class Instance(NamedTuple):
    """One server: its program, its arguments, and the account that it runs as."""

    program: Optional[str]
    arguments: List[str]
    owner: Optional[int]
    process: Optional[Process]


class MariaDB(Service):
    """Asks `my_print_defaults`, and has the certificate read anew by FLUSH SSL."""

    name = "mariadb"
    process_names = ("mariadbd", "mysqld")
    traces = (
        "mariadbd",
        "mysqld",
        "/usr/libexec/mariadbd",
        "/usr/libexec/mysqld",
        "/usr/local/libexec/m*d",
        "/usr/local/mysql/bin/*",
        "/opt/mysql/bin/*",
    )
    configs = _CONFIGS
    account = "mysql"

    def program(self) -> Optional[str]:
        return self.machine.find(self.process_names, _FOLDERS)

    def found(self) -> bool:
        return self.program() is not None or self.running()

    def version(self) -> Optional[str]:
        return self._version(self.instances()[0].program)

    def _version(self, program: Optional[str]) -> Optional[str]:
        return None if program is None else self.told_version([program, "--version"], r"Ver (\d[^\s-]*)")

    def is_mysql(self, program: Optional[str]) -> bool:
        """Whether a program is Oracle's (or Percona's) and not MariaDB."""
        return program is not None and "MariaDB" not in self.machine.told([program, "--version"])

    def numbers(self, program: Optional[str]) -> Tuple[int, ...]:
        """A program's version as numbers."""
        return tuple(int(number) for number in re.findall(r"\d+", self._version(program) or "")[:3])

    def instances(self) -> List[Instance]:
        """Every running server; what the system's service would start when none runs."""
        found = []
        for process in self.masters():
            words = [word for word in process.arguments[1:] if word not in ("--daemonize", "-D")]
            program = self.machine.executable(process) or self.program()
            found.append(Instance(program, words, process.user, process))
        return found or [Instance(self.program(), [], self._account(), None)]

    def _account(self) -> Optional[int]:
        try:
            return pwd.getpwnam(self.account).pw_uid
        except KeyError:
            return None

    def as_owner(self, instance: Instance, argv: List[str]) -> Optional[List[str]]:
        """A command with the rights of a server's account; it reads what the server would read."""
        if instance.owner is None:
            return None
        return self.machine.as_user(instance.owner, argv)

    def home(self, instance: Instance) -> Optional[str]:
        """The home of a server's account, where its own option file would be."""
        try:
            return None if instance.owner is None else pwd.getpwuid(instance.owner).pw_dir
        except KeyError:
            return None

    def scan(self, report: Report) -> None:
        from ._mariadb_servers import write  # noqa: PLC0415 - compiled only where there is a MariaDB

        self.name_strangers(report)
        report.in_turn(lambda instance: write(self, report, instance), self.instances())

    def test_commands(self) -> List[List[str]]:
        """The server reads its options and ends; neither MariaDB nor MySQL tests a certificate."""
        found = []
        for one in self.instances():
            mysql = self.is_mysql(one.program) and self.numbers(one.program) >= (8, 0, 16)
            what = ["--validate-config"] if mysql else ["--help", "--verbose"]
            command = self.as_owner(one, [one.program or "mariadbd"] + one.arguments + what)
            found.append(command or [one.program or "mariadbd", "--version"])
        return found

    def reload_commands(self) -> List[List[str]]:
        """FLUSH SSL where the server lets us, else a restart by systemd; told before anything is touched."""
        return [self._reload(one, one.process) for one in self.instances() if one.process is not None]

    def _reload(self, instance: Instance, process: Process) -> List[str]:
        flush = self._flush(instance, process)
        if flush is not None:
            return flush
        unit = self.machine.unit(process)
        if unit is None:
            message = (
                "process %d lets neither root nor its own account in over its socket, and no service runs it"
            )
            raise HostError("no_reload", message % process.pid)
        return ["systemctl", "restart", unit]

    def _flush(self, instance: Instance, process: Process) -> Optional[List[str]]:
        """The client's command that makes a server read its certificate, as the first account that may."""
        mysql = self.is_mysql(instance.program)
        if self.numbers(instance.program) < (_MYSQL_RELOADS if mysql else _RELOADS):
            return None
        client = self.machine.find(("mysql",) if mysql else ("mariadb-admin", "mysqladmin"), _FOLDERS)
        socket = self.socket(instance)
        if client is None or socket is None:
            return None
        words = [client, "--protocol=socket", "--socket=" + socket, "--connect-timeout=5"]
        greeting, order = ["status"], ["flush-ssl"]
        if mysql:
            greeting, order = ["--execute=DO 1"], ["--execute=ALTER INSTANCE RELOAD TLS"]
        for way in (self.machine.as_user(process.user, words), words):
            answer = None if way is None else self.machine.ask(way + greeting, 10.0)
            if answer is not None and answer.returncode == 0 and way is not None:
                return way + order
        return None

    def socket(self, instance: Instance) -> Optional[str]:
        """Where a server's own socket is; None where nothing says so."""
        from ._mariadb_options import arguments  # noqa: PLC0415

        said = dict(arguments((self.told(instance) or []) + instance.arguments, ""))
        named = said["socket"].value if "socket" in said else None
        return next((path for path in (named, *_SOCKETS) if path and os.path.exists(path)), None)

    def told(self, instance: Instance, seconds: float = 20.0) -> Optional[List[str]]:
        """The options that come out of a server's files by its own parser; None where it cannot be asked."""
        parser = self.machine.find(("my_print_defaults",), _FOLDERS)
        start = [word for word in instance.arguments if word.startswith(("--defaults-", "--no-defaults"))]
        if parser is None:
            return None
        for command in self._ways(instance, [parser] + start + ["--mysqld"]):
            answer = self.machine.ask(command, seconds)
            if answer is not None and answer.returncode == 0:
                return _reading.text(answer.stdout).splitlines()
        return None

    def _ways(self, instance: Instance, argv: List[str]) -> Iterator[List[str]]:
        """A command with the rights of a server's account, if possible where the server sees its files.

        systemd may hide homes from a service, and shows it /etc as read-only: then MariaDB reads
        files there that everybody can write, which it else does not.
        """
        if os.geteuid() == 0 and instance.process is not None and instance.owner:
            account = ["--setuid", str(instance.owner), "--setgid", str(self._group(instance.owner))]
            yield ["nsenter", "--target", str(instance.process.pid), "--mount"] + account + ["--"] + argv
        command = self.as_owner(instance, argv)
        if command is not None:
            yield command

    @staticmethod
    def _group(user: int) -> int:
        try:
            return pwd.getpwuid(user).pw_gid
        except KeyError:
            return user


SERVICE = MariaDB
