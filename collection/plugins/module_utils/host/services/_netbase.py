# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that mail servers listen by: service names of /etc/services, hosts of /etc/hosts, IPv6."""

from typing import Any, Dict, List, Optional

from . import _reading

SERVICES = "/etc/services"
HOSTS = "/etc/hosts"
_USUAL = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465, "ssmtp": 465}


class Netbase:
    """Looks names up in the files of this host, and never asks a network."""

    def __init__(self, reader: _reading.Reader, proc: str = "/proc") -> None:
        self.reader = reader
        self.proc = proc
        self._ports: Optional[Dict[str, int]] = None
        self._hosts: Optional[Dict[str, List[str]]] = None

    def port(self, name: str) -> Optional[int]:
        """The TCP port of a number or of a service name."""
        if name.isdigit():
            return int(name) if 0 < int(name[:6]) < 65536 else None
        if self._ports is None:
            self._ports = self._read_ports()
        return self._ports.get(name, _USUAL.get(name))

    def _read_ports(self) -> Dict[str, int]:
        found: Dict[str, int] = {}
        for fields in self._lines(SERVICES):
            number, _slash, protocol = fields[1].partition("/") if len(fields) > 1 else ("", "", "")
            if protocol == "tcp" and number.isdigit():
                for name in [fields[0]] + fields[2:]:
                    found.setdefault(name, int(number))
        return found

    def addresses(self, name: str) -> List[str]:
        """The addresses that /etc/hosts gives a host."""
        if self._hosts is None:
            self._hosts = {}
            for fields in self._lines(HOSTS):
                for host in fields[1:]:
                    self._hosts.setdefault(host.lower(), []).append(fields[0])
            self._hosts.setdefault("localhost", ["127.0.0.1", "::1"])
        return list(dict.fromkeys(self._hosts.get(name.lower(), [])))

    def _lines(self, path: str) -> List[List[str]]:
        try:
            text = self.reader.config(path)
        except _reading.Unreadable:
            return []
        return [fields for fields in (line.split("#")[0].split() for line in text.splitlines()) if fields]

    def has_ipv6(self) -> bool:
        """Whether this host has an address of IPv6, so that something can listen there."""
        try:
            with open(self.proc + "/net/if_inet6", "rb") as handle:
                return bool(handle.read(1))
        except OSError:
            return False


def listener(address: str, port: Any, protocol: Optional[str] = None) -> str:
    """An address as a listener is written; the wildcards of both families are `*` and `[::]`."""
    host = address.strip("[]").lower()
    shown = {"0.0.0.0": "*", "*": "*"}.get(host) or ("[%s]" % host if ":" in host else host)  # noqa: S104 - read, not bound
    return "%s:%s" % (shown, port) + ("/" + protocol if protocol else "")
