# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one cluster of PostgreSQL shows, and where: it has one certificate, whatever name is asked for."""

import functools
import os
import socket
import stat
from typing import TYPE_CHECKING, Dict, List, Tuple

from . import _reading
from ._postgresql_syntax import Files, Setting, switched_on

if TYPE_CHECKING:
    from ._report import Report
    from .postgresql import Cluster, PostgreSQL

_BUILT_IN = {
    "listen_addresses": "localhost",
    "port": "5432",
    "ssl": "off",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "server.key",
}


def write(service: "PostgreSQL", report: "Report", cluster: "Cluster", served: bool) -> None:
    """Writes the certificate of one cluster into the report; `served` is false where it does not run."""
    if cluster.config is None:
        report.warning("a running PostgreSQL whose data directory cannot be found out", "/proc", None)
        return
    _Reading(service, report, cluster).write(served)


class _Reading:
    """The settings of one cluster: those of the files, unless the server's own parser knows better."""

    def __init__(self, service: "PostgreSQL", report: "Report", cluster: "Cluster") -> None:
        self.service = service
        self.report = report
        self.cluster = cluster
        self.config = cluster.config or ""
        self.settings = self._settings()
        self.silent = False

    def _settings(self) -> Dict[str, Setting]:
        """Later ones win: built in, PGPORT, the files, postgresql.auto.conf, the command line."""
        cluster = self.cluster
        found = {name: Setting(value, self.config, 0) for name, value in _BUILT_IN.items()}
        environment = {} if cluster.process is None else self.service.machine.environment(cluster.process)
        if environment.get("PGPORT"):
            found["port"] = Setting(environment["PGPORT"], self.config, 0)
        files = Files(self.report)
        self.report.partly(functools.partial(files.take, self.config))
        self.data = cluster.data or self._data(files.settings)
        told = os.path.join(self.data, "postgresql.auto.conf")
        self.report.partly(functools.partial(files.take, told, optional=True))
        found.update(files.settings)
        found.update({name: Setting(value, self.config, 0) for name, value in cluster.given.items()})
        return found

    def _data(self, settings: Dict[str, Setting]) -> str:
        named = self.cluster.given.get("data_directory")
        if named is None and "data_directory" in settings:
            named = settings["data_directory"].value
        return os.path.join(os.path.dirname(self.config), named or "")

    def _value(self, name: str) -> Setting:
        """A setting as PostgreSQL's own parser gives it, where it can be asked."""
        ours = self.settings[name]
        if self.silent or self.cluster.program is None:
            return ours
        argv = [self.cluster.program] + self.cluster.arguments + ["-C", name]
        answer = self.service.ask(self.cluster, argv, min(20.0, self.report.reader.seconds_left()))
        self.silent = answer is None or answer[0] != 0
        if answer is None:
            return ours
        if answer[0] != 0:
            told = "PostgreSQL refuses the configuration on the disk, so its files are read: %s"
            self.report.warning(told % answer[2], self.config)
            return ours
        value = answer[1].rstrip("\n").rpartition("\n")[2]
        return ours if self._same(name, value) else Setting(value, self.config, 0)

    def _same(self, name: str, value: str) -> bool:
        ours = self.settings[name].value
        return value == ours or (name == "ssl" and switched_on(value) == switched_on(ours))

    def write(self, served: bool) -> None:
        on = switched_on(self._value("ssl").value)
        named = self.settings["ssl_cert_file"].line or "ssl_cert_file" in self.cluster.given
        if not on and not named:
            return
        certificate, key = self._value("ssl_cert_file"), self._value("ssl_key_file")
        listeners = self._listeners() if on and served else []
        self.report.listens(self.service.name, listeners)
        self._tell(certificate, on, served, listeners)
        path, key_path = os.path.join(self.data, certificate.value), os.path.join(self.data, key.value)
        problems = self._key_problems(key_path)
        if not os.path.isabs(path):
            problems, path = [("unresolved", "the data directory is not known")], ""
        self.report.binding(
            self.service.name,
            certificate.file,
            certificate.line,
            path or None,
            key_path,
            listeners=listeners,
            problems=problems,
        )

    def _tell(self, certificate: Setting, on: bool, served: bool, listeners: List[str]) -> None:
        """What a reader must know about a certificate that nobody is shown, or not that one alone."""
        message = None
        if not on:
            message = "ssl is off: this certificate is shown to nobody"
        elif not served:
            message = "this cluster does not run, while others do"
        elif not listeners:
            message = "listen_addresses is empty: it listens on no address, and TLS is not for its sockets"
        if message:
            self.report.warning(message, certificate.file, certificate.line)
        sni = self.settings.get("ssl_sni")
        if on and sni is not None and switched_on(sni.value):
            message = "ssl_sni is on: the certificates in pg_hosts.conf, one for each name, are not read"
            self.report.warning(message, sni.file, sni.line)

    def _listeners(self) -> List[str]:
        port = self._value("port").value.strip()
        addresses = [one.strip().strip('"') for one in self._value("listen_addresses").value.split(",")]
        found = []
        for address in filter(None, addresses):
            found += ["%s:%s/postgres" % (one, port) for one in _bound(address)]
        return found

    def _key_problems(self, path: str) -> List[Tuple[str, str]]:
        """PostgreSQL's own rules for the key's owner and mode, and whether its account can read it."""
        status = _reading.status(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            return []
        mode, owner = stat.S_IMODE(status.st_mode), self.cluster.owner
        problem = None
        if owner is not None and status.st_uid not in (0, owner):
            problem = "it must belong to root or to the server's own account"
        elif status.st_uid == 0 and owner != 0 and mode & 0o037:
            problem = "mode %04o; as root's it must be 0640 or less" % mode
        elif status.st_uid == owner and mode & 0o077:
            problem = "mode %04o; it must be 0600 or less" % mode
        elif self._is_locked_out(path):
            problem = "the server's own account cannot read it"
        return (
            [] if problem is None else [("unreadable", "PostgreSQL does not take %s: %s" % (path, problem))]
        )

    def _is_locked_out(self, path: str) -> bool:
        if os.geteuid() != 0:
            return False
        answer = self.service.ask(self.cluster, ["test", "-r", path], 5.0)
        return answer is not None and answer[0] == 1


def _bound(address: str) -> List[str]:
    """The listeners' addresses for one entry of listen_addresses."""
    if address == "*":
        return ["*", "[::]"] if _has_ipv6() else ["*"]
    if address == "0.0.0.0":  # noqa: S104 - read, not bound
        return ["*"]
    if address.lower() != "localhost":
        return ["[%s]" % address if ":" in address else address]
    try:
        found = socket.getaddrinfo(address, None, 0, socket.SOCK_STREAM)
    except OSError:
        return ["127.0.0.1"]
    addresses = [str(entry[4][0]) for entry in found]
    return ["[%s]" % one if ":" in one else one for one in dict.fromkeys(addresses)]


def _has_ipv6() -> bool:
    return os.path.exists("/proc/net/if_inet6")
