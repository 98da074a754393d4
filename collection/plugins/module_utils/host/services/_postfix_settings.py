# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of one Postfix instance: postconf's own word, else what main.cf and master.cf say."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import _reading
from ._postfix_syntax import Entry, Setting, assignments, entries, expand

# What holds where the files say nothing (postconf(5)); the rest is empty.
_DEFAULTS = {
    "inet_interfaces": "all",
    "inet_protocols": "all",
    "queue_directory": "/var/spool/postfix",
    "smtpd_tls_key_file": "$smtpd_tls_cert_file",
    "smtpd_tls_eckey_file": "$smtpd_tls_eccert_file",
    "smtpd_tls_dkey_file": "$smtpd_tls_dcert_file",
    "smtpd_tls_wrappermode": "no",
    "smtpd_use_tls": "no",
    "smtpd_enforce_tls": "no",
}
for _role, _base in (("tlsproxy", "smtpd"), ("smtp", ""), ("lmtp", "")):
    for _part in ("chain_files", "cert_file", "eccert_file", "dcert_file"):
        _DEFAULTS["%s_tls_%s" % (_role, _part)] = "$%s_tls_%s" % (_base, _part) if _base else ""
    for _part in ("", "ec", "d"):
        _own = "$%s_tls_%skey_file" % (_base, _part) if _base else "$%s_tls_%scert_file" % (_role, _part)
        _DEFAULTS["%s_tls_%skey_file" % (_role, _part)] = _own

_USED = (
    *("inet_interfaces", "inet_protocols", "queue_directory", "master_service_disable"),
    *("smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_security_level", "smtpd_tls_wrappermode"),
    *("smtpd_upstream_proxy_protocol", "postscreen_upstream_proxy_protocol", "tls_server_sni_maps"),
    *("smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file"),
    *("smtpd_tls_eckey_file", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file"),
)

Ask = Callable[[List[str]], Optional[str]]


class Settings:
    """Values in effect, for all or for one service, and the lines that they come from."""

    def __init__(self, folder: str, report: Any, ask: Ask) -> None:
        self.folder = folder
        self.report = report
        self.main_file = folder + "/main.cf"
        self.master_file = folder + "/master.cf"
        self.main = assignments(self._text(self.main_file))
        self.entries = entries(self._text(self.master_file))
        self._ask: Optional[Ask] = ask
        self._known: Dict[Tuple[Tuple[str, str], ...], Dict[str, str]] = {}

    def _text(self, path: str) -> str:
        try:
            return str(self.report.reader.config(path))
        except _reading.Unreadable as error:
            self.report.warning("%s is not read: %s" % (path, error.message), path)
            return ""

    def values(self, names: Sequence[str], entry: Optional[Entry] = None) -> Dict[str, str]:
        """The values of these parameters with the options of a service; a missing one is empty."""
        overrides = {} if entry is None else entry.overrides
        key = tuple(sorted((name, one.value) for name, one in overrides.items()))
        known = self._known.setdefault(key, {})
        if any(name not in known for name in names):
            self.report.reader.tick()
            wanted = list(dict.fromkeys([*names, *_USED]))  # all at once: a question costs a process
            known.update(self._told(wanted, key) or self._read(wanted, overrides))
        return {name: known.get(name, "") for name in names}

    def _told(self, names: List[str], overrides: Sequence[Tuple[str, str]]) -> Optional[Dict[str, str]]:
        if self._ask is None:
            return None
        given = [word for name, value in overrides for word in ("-o", "%s=%s" % (name, value))]
        said = self._ask(["-x"] + given + names)
        if said is None:
            self._ask = None
            return None
        pairs = (line.partition(" = " if " = " in line else " =") for line in said.splitlines())
        return {name: value.strip() for name, _equals, value in pairs if name in names}

    def _read(self, names: List[str], overrides: Dict[str, Setting]) -> Dict[str, str]:
        def look(name: str) -> Optional[str]:
            said = overrides.get(name) or self.main.get(name)
            return said.value if said is not None else _DEFAULTS.get(name, "")

        found = {}
        for name in names:
            value = expand(look(name) or "", look)
            if value is None:
                file, line = self.place((name,), None)
                self.report.warning("%s is not resolved without postconf" % name, file, line)
            found[name] = value or ""
        return found

    def place(self, names: Sequence[str], entry: Optional[Entry]) -> Tuple[str, int]:
        """The file and line that set the first of these names that is set at all."""
        for name in names:
            if entry is not None and name in entry.overrides:
                return self.master_file, entry.overrides[name].line
            if name in self.main:
                return self.main_file, self.main[name].line
        return (self.main_file, 1) if entry is None else (self.master_file, entry.line)
