# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one MariaDB or MySQL shows, and where: it has one certificate, whatever name is asked for."""

import functools
import os
import re
import socket
from typing import TYPE_CHECKING, Dict, List, Tuple

from . import _reading
from ._mariadb_options import Files, Option, arguments, effective, switched_on

if TYPE_CHECKING:
    from ._report import Report
    from .mariadb import Instance, MariaDB

_DATA = "/var/lib/mysql"
_OWN_CERTIFICATE = (11, 4)  # the first MariaDB that makes one for itself when none is configured
_GALERA = re.compile(r"socket\.ssl_cert\s*=\s*([^;]+)")


def write(service: "MariaDB", report: "Report", instance: "Instance") -> None:
    """Writes what one server shows into the report."""
    _Server(service, report, instance).write()


class _Server:
    """The options of one server: what its own parser makes of its files, then its arguments."""

    def __init__(self, service: "MariaDB", report: "Report", instance: "Instance") -> None:
        self.service = service
        self.report = report
        self.instance = instance
        self.mysql = service.is_mysql(instance.program)
        self.numbers = service.numbers(instance.program)
        self.options = self._effective()

    def _effective(self) -> Dict[str, Option]:
        """The server's own parser beats ours, but only ours knows files and lines."""
        files = self._files()
        said = self.service.told(self.instance, min(20.0, self.report.reader.seconds_left()))
        if said is not None:
            places = {(name, option.value): option for name, option in files}
            nowhere = Option(None, self._first_file(), 0)
            theirs = arguments(said, nowhere.file)
            files = [(name, places.get((name, one.value), one)) for name, one in theirs]
        elif self.instance.program is not None and os.geteuid() == 0:
            message = "the server's own parser cannot be asked or refuses the files: they are read here"
            self.report.warning(message, self._first_file())
        return effective(files + arguments(self.instance.arguments, self._first_file()))

    def _first_file(self) -> str:
        return _last(self.instance.arguments, "--defaults-file=") or self.service.configs[-1]

    def _files(self) -> List[Tuple[str, Option]]:
        words = self.instance.arguments
        extra, suffix = (_last(words, "--defaults-%s=" % one) for one in ("extra-file", "group-suffix"))
        groups = self._groups()
        files = Files(self.report, groups + [group + suffix for group in groups if suffix])
        only = _last(words, "--defaults-file=")
        if only:
            self.report.partly(functools.partial(files.take, only))
        elif "--no-defaults" not in words:
            home = self.service.home(self.instance)
            named = list(self.service.configs) + [extra] * bool(extra)
            named += [os.path.join(home, ".my.cnf")] if home else []
            for path in named:
                self.report.partly(functools.partial(files.take, path, optional=path != extra))
        return files.options

    def _groups(self) -> List[str]:
        """The groups that a server reads, where it does not tell."""
        series = ".".join(str(number) for number in self.numbers[:2])
        if self.mysql:
            return ["mysqld", "server", "mysqld-" + series]
        groups = ["mysqld", "server", "mysqld-" + series, "mariadb", "mariadb-" + series]
        return groups + ["mariadbd", "mariadbd-" + series, "client-server", "galera"]

    def _value(self, name: str, missing: str = "") -> str:
        option = self.options.get(name)
        return missing if option is None else ("1" if option.value is None else option.value)

    def write(self) -> None:
        self._tell_galera()
        certificate, key = self._value("ssl-cert"), self._value("ssl-key")
        listeners = self._listeners()
        if not self._on():
            if certificate or key:
                self._warn("TLS is off: this certificate is shown to nobody", "ssl-cert")
                self._bind("ssl-cert", certificate or key, key or certificate, [])
            return
        if not (certificate or key):
            certificate, key = self._made_by_itself()
        if certificate or key:
            if not listeners:
                self._warn("the server listens on no address", "skip-networking")
            self.report.listens(self.service.name, listeners)
            self._bind("ssl-cert", certificate or key, key or certificate, listeners)
        self._write_admin(certificate)

    def _on(self) -> bool:
        """Whether the server has TLS at all; one that has a certificate has, unless it was told not to."""
        versions = self.options.get("tls-version")
        return switched_on(self._value("ssl", "1")) and not (self.mysql and versions and not versions.value)

    def _made_by_itself(self) -> Tuple[str, str]:
        """MySQL makes files in its data directory when none are named, MariaDB 11.4 one in its memory."""
        if self.mysql and os.path.exists(_reading.raw(os.path.join(self._data(), "server-cert.pem"))):
            return "server-cert.pem", "server-key.pem"
        if not self.mysql and self.numbers >= _OWN_CERTIFICATE:
            self._warn(
                "no certificate is configured: the server shows one that it makes at each start", "ssl"
            )
        return "", ""

    def _write_admin(self, certificate: str) -> None:
        """MySQL's administrative port, which may have a certificate of its own."""
        address, own = self._value("admin-address"), self._value("admin-ssl-cert")
        if address and (own or certificate):
            port = self._value("admin-port", "33062")
            listeners = ["%s:%s/mysql" % (_bracketed(address), port)]
            key = self._value("admin-ssl-key") if own else self._value("ssl-key")
            self._bind("admin-ssl-cert" if own else "ssl-cert", own or certificate, key or own, listeners)

    def _tell_galera(self) -> None:
        found = _GALERA.search(self._value("wsrep-provider-options"))
        if found:
            message = "Galera shows %s to the other nodes of its cluster; that is not followed here"
            self._warn(message % found.group(1).strip(), "wsrep-provider-options")

    def _warn(self, message: str, name: str) -> None:
        place = self._place(name)
        self.report.warning(message, place.file, place.line or None)

    def _place(self, name: str) -> Option:
        return self.options.get(name) or Option(None, self._first_file(), 0)

    def _bind(self, name: str, certificate: str, key: str, listeners: List[str]) -> None:
        place = self._place(name)
        paths = [os.path.join(self._data(), path) for path in (certificate, key)]
        self.report.binding(
            self.service.name,
            place.file,
            place.line,
            paths[0],
            paths[1],
            listeners=listeners,
            problems=self._unreadable(paths),
        )

    def _unreadable(self, paths: List[str]) -> List[Tuple[str, str]]:
        """Files that the server's account cannot read: it would not start again."""
        if os.geteuid() != 0:
            return []
        problems = []
        for path in dict.fromkeys(paths):
            command = self.service.as_owner(self.instance, ["test", "-r", path])
            answer = None if command is None else self.service.machine.ask(command, 5.0)
            if answer is not None and answer.returncode == 1 and os.path.exists(_reading.raw(path)):
                problems.append(("unreadable", "the server's own account cannot read %s" % path))
        return problems

    def _data(self) -> str:
        """Where relative paths begin: a server goes into its data directory."""
        home = self.instance.process and self.service.machine.folder(self.instance.process)
        return home or self._value("datadir", _DATA)

    def _listeners(self) -> List[str]:
        if switched_on(self._value("skip-networking", "0")):
            return []
        ports = [
            port for port in (self._value("port", "3306"), self._value("extra-port")) if port not in ("", "0")
        ]
        addresses = self._value("bind-address", "*").split(",")
        bound = [one for address in addresses for one in self._bound(address.strip().partition("/")[0])]
        return ["%s:%s/mysql" % (one, port) for port in ports or ["3306"] for one in dict.fromkeys(bound)]

    def _bound(self, address: str) -> List[str]:
        """The listeners' addresses for one entry of bind-address."""
        if address in ("", "*") or (address == "::" and self.mysql):
            return ["*", "[::]"] if os.path.exists("/proc/net/if_inet6") else ["*"]
        if address == "0.0.0.0":  # noqa: S104 - read, not bound
            return ["*"]
        if address.lower() != "localhost":
            return [_bracketed(address)]
        try:
            found = socket.getaddrinfo(address, None, 0, socket.SOCK_STREAM)
        except OSError:
            return ["127.0.0.1"]
        return [_bracketed(str(entry[4][0])) for entry in found]


def _last(words: List[str], start: str) -> str:
    found = [word[len(start) :] for word in words if word.startswith(start)]
    return found[-1] if found else ""


def _bracketed(address: str) -> str:
    return "[%s]" % address if ":" in address else address
