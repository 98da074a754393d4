# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates the services of a Postfix instance show, and to whom.

smtpd serves a listener itself. Where postscreen holds it, a client reaches the smtpd of type
`pass` after the screening; only a screened client that stays sees tlsproxy's certificates.
"""

import functools
import os
from typing import Any, Dict, List, Optional, Set, Tuple

from ._netbase import Netbase, listener
from ._postfix_maps import Chains, Served
from ._postfix_settings import Settings
from ._postfix_syntax import Entry, listed

_FILES = ("chain_files", "cert_file", "key_file", "eccert_file", "eckey_file", "dcert_file", "dkey_file")
_USE = ("security_level", "wrappermode")
_CERTIFICATES = ("chain_files", "cert_file", "eccert_file", "dcert_file")


def _names(role: str) -> List[str]:
    return ["%s_tls_%s" % (role, part) for part in _FILES]


class Services:
    """All services of master.cf that speak TLS with a certificate."""

    def __init__(self, settings: Settings, report: Any, service: str, listens: bool = True) -> None:
        self.settings = settings
        self.report = report
        self.service = service
        self.listens = listens
        self.net = Netbase(report.reader)
        shared = settings.values(["inet_interfaces", "inet_protocols", "queue_directory"])
        self.folder = shared["queue_directory"] or "/"
        self.protocols = shared["inet_protocols"]
        self.interfaces = shared["inet_interfaces"]
        disabled = settings.values(["master_service_disable"])["master_service_disable"]
        self.disabled = [one.replace(".", "/") for one in listed(disabled)]
        self.chains = Chains(settings, report)

    def report_bindings(self) -> None:
        served: Dict[Tuple[Served, ...], List[str]] = {}

        def look() -> None:
            for entry in self.settings.entries:
                if entry.kind == "inet" and not self._is_disabled(entry):
                    found, listeners = self._inet(entry)
                    if found:
                        served.setdefault(tuple(found), []).extend(listeners)

        whole = self.report.partly(look)
        for group, listeners in served.items():
            for one in group:
                self._bind(one, list(dict.fromkeys(listeners)))
        self._unserved({(one.certificate, one.key) for group in served for one in group}, whole)
        self._outgoing()

    def _unserved(self, seen: Set[Tuple[Optional[str], Optional[str]]], whole: bool) -> None:
        """Certificates that main.cf names for the server and no service shows."""
        for one in self._certificates(None, "smtpd"):
            if (one.certificate, one.key) not in seen:
                if whole:
                    self.report.warning("no service shows this certificate", one.file, one.line)
                self._bind(one, [])

    def _is_disabled(self, entry: Entry) -> bool:
        return any(one in ("*", entry.kind, "%s/%s" % (entry.name, entry.kind)) for one in self.disabled)

    def _bind(self, one: Served, listeners: List[str]) -> None:
        self.report.binding(
            self.service,
            one.file,
            one.line,
            one.certificate,
            key=one.key,
            chain=one.chain,
            names=one.names,
            listeners=listeners if self.listens else [],
            problems=one.problems,
        )
        if one.leaf is not None:  # it is known what is served, but no single file is the certificate's own
            self.report.bindings[-1]["certificate"] = one.leaf

    def _inet(self, entry: Entry) -> Tuple[List[Served], List[str]]:
        """What an inet service shows, and where."""
        server, proxy = entry, "smtpd_upstream_proxy_protocol"
        if entry.command == "postscreen":
            passed = [one for one in self.settings.entries if (one.kind, one.command) == ("pass", "smtpd")]
            if not passed:
                return [], []
            server, proxy = passed[0], "postscreen_upstream_proxy_protocol"
            self._behind_postscreen(entry)
        elif entry.command != "smtpd":
            return [], []
        protocol = self._protocol(server)
        addresses = self._addresses(entry)
        listeners = [listener(address, port, protocol or None) for address, port in addresses]
        if self.listens:
            self.report.listens(self.service, listeners)
        if protocol is None:
            return [], []
        if self.settings.values([proxy], entry)[proxy]:
            self._warn("it expects a proxy before it, so no handshake is made at %s" % entry.name, entry)
            listeners = []
        return self._certificates(server, "smtpd"), listeners

    def _warn(self, message: str, entry: Entry) -> None:
        self.report.warning(message, self.settings.master_file, entry.line)

    def _protocol(self, entry: Entry) -> Optional[str]:
        """`smtp` where STARTTLS is offered, nothing where TLS comes first, None where there is no TLS."""
        values = self.settings.values(
            ["smtpd_tls_security_level", "smtpd_tls_wrappermode", "smtpd_use_tls", "smtpd_enforce_tls"], entry
        )
        said = {name: value.lower() for name, value in values.items()}  # Postfix takes them in any case
        if said["smtpd_tls_wrappermode"] == "yes":
            return ""
        if said["smtpd_tls_security_level"]:
            return None if said["smtpd_tls_security_level"] == "none" else "smtp"
        return "smtp" if "yes" in (said["smtpd_use_tls"], said["smtpd_enforce_tls"]) else None

    def _behind_postscreen(self, entry: Entry) -> None:
        proxies = [one for one in self.settings.entries if one.command == "tlsproxy" and one.kind == "unix"]
        shown = {one.certificate for one in self._certificates(proxies[0], "tlsproxy")} if proxies else set()
        usual = {one.certificate for one in self._certificates(entry, "smtpd")}
        if shown - usual:
            self._warn(
                "while postscreen examines a client, tlsproxy shows it other certificates: %s"
                % ", ".join(sorted(str(one) for one in shown - usual)),
                proxies[0],
            )

    def _certificates(self, entry: Optional[Entry], role: str) -> List[Served]:
        """Those of the parameters, then those that a name in SNI selects."""
        values = self.settings.values([*_names(role), "tls_server_sni_maps"], entry)
        place = self.settings.place(["%s_tls_%s" % (role, part) for part in _CERTIFICATES], entry)
        parts = {part: values["%s_tls_%s" % (role, part)] for part in _FILES}
        found = self._of_parameters(parts, place, role, entry)
        if role in ("smtp", "lmtp"):
            return found
        where = self.settings.place(("tls_server_sni_maps",), entry)
        if not found and not values["%s_tls_cert_file" % role] and entry is not None:
            self.report.warning("TLS is configured without a certificate: Postfix offers none", *place)
            return []
        by_name = self.chains.by_name(values["tls_server_sni_maps"], where)
        self.report.partly(functools.partial(found.extend, by_name))
        return found

    def _of_parameters(
        self, parts: Dict[str, str], place: Tuple[str, int], role: str, entry: Optional[Entry]
    ) -> List[Served]:
        if parts["chain_files"]:
            files = [self._path(one) for one in listed(parts["chain_files"])]
            where = self.settings.place(("%s_tls_chain_files" % role, "smtpd_tls_chain_files"), entry)
            return self.chains.of(files, where, ())
        found = []
        for kind in ("", "ec", "d"):
            certificate = parts[kind + "cert_file"]
            if certificate and certificate.lower() != "none":
                name = "%s_tls_%scert_file" % (role, kind)
                file, line = self.settings.place((name, "smtpd_tls_%scert_file" % kind), entry)
                key = self._path(parts[kind + "key_file"] or certificate)
                found.append(Served(file, line, self._path(certificate), key))
        return found

    def _path(self, path: str) -> str:
        """A path as the daemons see it, which run in the queue directory."""
        return os.path.join(self.folder, path)

    def _addresses(self, entry: Entry) -> List[Tuple[str, int]]:
        """Every address and port of an inet service."""
        host, _colon, name = entry.name.rpartition(":")
        port = self.net.port(name)
        if port is None:
            self._warn("%s is in no list of services: its port is not known" % name, entry)
            return []
        hosts = [host.strip("[]")] if host else listed(self.interfaces)
        found = [address for one in hosts for address in self._of_host(one, entry)]
        return [(address, port) for address in dict.fromkeys(found) if self._has_family(address)]

    def _of_host(self, host: str, entry: Entry) -> List[str]:
        host = host.strip("[]")
        if host in ("all", "loopback-only"):
            return ["*", "::"] if host == "all" else ["127.0.0.1", "::1"]
        if ":" in host or host.replace(".", "").isdigit():
            return [host]
        found = self.net.addresses(host)
        if not found:
            self._warn("%s is not in /etc/hosts: what listens there is not known" % host, entry)
        return found

    def _has_family(self, address: str) -> bool:
        if ":" in address:
            return ("all" in self.protocols or "ipv6" in self.protocols) and self.net.has_ipv6()
        return "all" in self.protocols or "ipv4" in self.protocols

    def _outgoing(self) -> None:
        """Certificates that Postfix shows as a client: they serve nobody here."""
        seen = set()
        for role in ("smtp", "lmtp"):
            entries = [one for one in self.settings.entries if (one.command, one.kind) == (role, "unix")]
            for entry in [None, *entries]:
                for one in self._certificates(entry, role):
                    if (one.certificate, one.key) not in seen:
                        seen.add((one.certificate, one.key))
                        self._bind(one, [])
