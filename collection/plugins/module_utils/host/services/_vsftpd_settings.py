# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vsftpd's settings say: NAME=VALUE lines, the last one counts; and what follows for TLS."""

import base64
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

from . import _reading

#: What is loaded where nothing is said (vsftpd.conf(5)).
CERTIFICATE = "/usr/share/ssl/certs/vsftpd.pem"
_YES = ("YES", "TRUE", "1")
_ELLIPTIC = b"\x2a\x86\x48\xce\x3d\x02\x01"  # id-ecPublicKey (RFC 5480)
_BIND = "/proc/sys/net/ipv6/bindv6only"
_DOOR = "/etc/hosts.allow"


class Setting(NamedTuple):
    """A value and where it was said."""

    value: str
    file: str
    line: int


class Settings:
    """The settings of one process, from its files and its command line."""

    def __init__(self) -> None:
        self.said: Dict[str, Setting] = {}
        self.file = ""

    def read(self, report: Any, path: str) -> None:
        """Adds the settings of one file."""
        self.file = path
        try:
            text = report.reader.config(path)
        except _reading.Unreadable as error:
            report.warning("%s is not read: %s" % (path, error.message), path)
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip() and not line.startswith("#"):
                self.take(line, path, number)

    def take(self, line: str, file: str, number: int) -> None:
        """Adds one setting; blanks count neither before the name nor after the value."""
        name, _equals, value = line.lstrip().partition("=")
        self.said[name] = Setting(value.rstrip(), file, number)

    def yes(self, name: str, default: bool = False) -> bool:
        said = self.said.get(name)
        return default if said is None else said.value.upper() in _YES

    def text(self, name: str, default: str = "") -> str:
        said = self.said.get(name)
        return default if said is None else said.value

    def number(self, name: str, default: int) -> int:
        """A number as vsftpd reads it: octal where it begins with 0."""
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", value):
            return default
        octal = value.startswith("0") and not set(value) & set("89")
        return int(value, 8 if octal else 10)

    def place(self, name: str) -> Setting:
        """Where a setting stands, else the file in which it is missing."""
        return self.said.get(name, Setting("", self.file, 0))


class Listener:
    """The one place where a process listens, and what it shows there."""

    def __init__(self, settings: Settings, folder: str, runs: bool) -> None:
        self.settings = settings
        self.folder = folder
        self.runs = runs

    def report_bindings(self, report: Any, service: str) -> None:
        said = self.settings
        listeners = self._listeners(report)
        report.listens(service, listeners)
        if not said.yes("ssl_enable"):
            self._warn_of_others(report)
            return
        found = [name for name in ("rsa_cert_file", "dsa_cert_file") if self._certificate(name)]
        if not found:
            place = said.place("ssl_enable")
            report.warning("TLS without a certificate", place.file, place.line)
        for name in found:
            where = listeners if name == found[-1] or not self._alike(report, found) else []
            self._report(report, service, name, where)

    def _certificate(self, name: str) -> str:
        path = self.settings.text(name, CERTIFICATE if name == "rsa_cert_file" else "")
        return path and _reading.tidy(os.path.join(self.folder, path))

    def _report(self, report: Any, service: str, name: str, listeners: List[str]) -> None:
        place = self.settings.place(name if name in self.settings.said else "ssl_enable")
        key = self.settings.text(name.replace("cert_file", "private_key_file"))
        certificate = self._certificate(name)
        if not listeners:
            report.warning("no listener shows %s" % certificate, place.file, place.line)
        key = os.path.join(self.folder, key) if key else certificate
        report.binding(service, place.file, place.line, certificate, key=key, listeners=listeners)

    def _alike(self, report: Any, names: List[str]) -> bool:
        """Whether both certificates have the same kind of key: then the second one replaces the first."""
        kinds = [_elliptic(report, self._certificate(name)) for name in names]
        return len(kinds) == 2 and kinds[0] == kinds[1]

    def _listeners(self, report: Any) -> List[str]:
        said = self.settings
        six = said.yes("listen_ipv6")
        # Nobody said it, and builds differ; what runs without being told not to listen listens.
        four = said.yes("listen", self.runs and not six and "listen_ipv6" not in said.said)
        place = said.place("listen_ipv6" if six else "listen")
        if four == six:
            message = "it does not listen by itself: another program must start it for each session"
            if four:
                message = "it does not start with both listen and listen_ipv6"
            report.warning(message, place.file, place.line)
            return []
        hosts = [said.text("listen_address") or "*"]
        if six:
            hosts = ["[%s]" % (said.text("listen_address6") or "::")]
            hosts += ["*"] if hosts == ["[::]"] and _both() else []
        protocol = "" if said.yes("implicit_ssl") and said.yes("ssl_enable") else "/ftp"
        return ["%s:%d%s" % (host, said.number("listen_port", 21), protocol) for host in hosts]

    def _warn_of_others(self, report: Any) -> None:
        """Settings for some clients alone may switch TLS on (VSFTPD_LOAD_CONF of tcp_wrappers)."""
        if not self.settings.yes("tcp_wrappers"):
            return
        try:
            text = report.reader.config(_DOOR)
        except _reading.Unreadable:
            return
        for number, line in enumerate(text.split("\n"), 1):
            if "VSFTPD_LOAD_CONF" in line and not line.lstrip().startswith("#"):
                report.warning("vsftpd reads further settings for some clients: not read", _DOOR, number)


def _elliptic(report: Any, path: str) -> Optional[bool]:
    """Whether the public key of a file's first certificate lies on a curve; None when there is none."""
    found = report.materials.look(path).certificates
    if not found:
        return None
    body = "".join(report.materials.certificates[found[0]].split("\n")[1:-2])
    return _ELLIPTIC in base64.b64decode(body)


def _both() -> bool:
    """Whether a listener on every IPv6 address of this host has the IPv4 ones too."""
    try:
        with open(_BIND, "rb") as handle:
            return handle.read(8).strip() == b"0"
    except OSError:
        return False
