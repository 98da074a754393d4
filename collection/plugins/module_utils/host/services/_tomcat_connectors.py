# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connectors of a server.xml that speak TLS: where they listen and what they show for which name.

For a name a connector takes the SSLHostConfig of that name, else that of `*` in the place of the
first label, else the default one, without which it shows nothing at all. A client is shown the
Certificate whose kind of key it can use.
"""

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple
from urllib.parse import unquote

from . import _reach, _reading
from ._keystore import Opening
from ._report import Report
from ._tomcat_server import Node, Values, parse, properties, uses_environment

if TYPE_CHECKING:
    from .tomcat import Instance

_DEFAULT = "_default_"
_PASSWORD = "changeit"  # noqa: S105 - what Java and Tomcat take where nobody gives another
_KEYSTORE_ATTRIBUTES = ("certificateKeystoreFile", "certificateKeystorePassword", "certificateKeystoreType")
_FILES = ("certificateFile", *_KEYSTORE_ATTRIBUTES)
#: What a connector could say of its certificate itself until Tomcat 10.0, and how it is called now.
_OLD = {
    "keystoreFile": "certificateKeystoreFile",
    "keystorePass": "certificateKeystorePassword",
    "keystoreType": "certificateKeystoreType",
    "keyAlias": "certificateKeyAlias",
    "keyPass": "certificateKeyPassword",
    "SSLCertificateFile": "certificateFile",
    "SSLCertificateKeyFile": "certificateKeyFile",
    "SSLCertificateChainFile": "certificateChainFile",
}
_SINCE = (10, 1)
#: Kinds of keystore that are no files, or none that can be read here.
_ELSEWHERE = ("PKCS11", "WINDOWS-MY", "WINDOWS-ROOT", "KEYCHAINSTORE", "DKS", "NONE")
_PROPERTIES_LIMIT = 1024 * 1024


class _Host(NamedTuple):
    """One SSLHostConfig: its name, and the attributes and line of each of its certificates."""

    name: str
    certificates: List[Tuple[Dict[str, str], int]]


class Connectors:
    """Reads the connectors of one Tomcat into a report."""

    def __init__(
        self,
        instance: "Instance",
        known: Mapping[str, str],
        environment: Mapping[str, str],
        version: Optional[str],
        report: Report,
    ) -> None:
        self.instance = instance
        self.environment = environment
        self.version = tuple(int(part) for part in version.split(".")) if version else None
        self.report = report
        self.known = dict(known)
        self.values = Values(self.known)
        self._taken: Set[str] = set()

    def warn(self, message: str, line: Optional[int] = None) -> None:
        self.report.warning(message, self.instance.config, line)

    def report_bindings(self) -> None:
        """Every certificate of every connector."""
        try:
            data = self.report.reader.read(self.instance.config, _reading.CONFIG_LIMIT).data
        except _reading.Unreadable as error:
            self.warn("%s is not read: %s" % (self.instance.config, error.message))
            return
        self.report.partly(self._read_properties)
        for server in parse(data, self.warn).all("Server"):
            offset = self._number(server, "portOffset", "0") or 0
            for connector in server.all("Connector"):
                self.report.reader.tick()
                self._connector(connector, offset)

    def _read_properties(self) -> None:
        """catalina.properties become system properties, and win over those of the command line."""
        path: Optional[str] = self.instance.base + "/conf/catalina.properties"
        if "catalina.config" in self.known:
            path = self._path(self.known["catalina.config"])
        try:
            if path is None:
                self.warn("the properties in %s are not read" % self.known["catalina.config"])
                return
            found = properties(_reading.text(self.report.reader.read(path, _PROPERTIES_LIMIT).data))
        except _reading.Unreadable as error:
            if error.kind != "missing":
                self.report.warning("%s is not read: %s" % (path, error.message), path)
            return
        self.known.update(found)
        if uses_environment(self.known):
            for name, value in self.environment.items():
                self.known.setdefault(name, value)

    def _get(self, node: Node, name: str, default: str = "") -> str:
        return self.values.of(node.attributes.get(name, default))

    def _number(self, node: Node, name: str, default: str) -> Optional[int]:
        text = self._get(node, name, default)
        try:
            return int(text)
        except ValueError:
            self.warn("%s=%r is no number that could be found out" % (name, text), node.line)
            return None

    def _connector(self, node: Node, offset: int) -> None:
        if self._get(node, "protocol").upper().startswith("AJP") or "Ajp" in self._get(node, "protocol"):
            return
        secure = self._get(node, "SSLEnabled").lower() == "true"
        hosts = self._hosts(node)
        listener = self._listener(node, offset)
        if listener is not None:
            self.report.listens("tomcat", [listener])
        if not secure:
            if hosts and "${" in self._get(node, "SSLEnabled"):
                self.warn(
                    "whether the connector speaks TLS (%s) is not known" % node.attributes["SSLEnabled"],
                    node.line,
                )
            elif hosts:
                self.warn('the connector has certificates and no SSLEnabled="true": it shows none', node.line)
            listener = None
        elif not hosts:
            self.warn("the connector has no SSLHostConfig: it shows no certificate", node.line)
        default = self._get(node, "defaultSSLHostConfigName", _DEFAULT).lower()
        if secure and hosts and default not in [host.name for host in hosts]:
            message = "no SSLHostConfig is called %s, which is the default: the connector does not start"
            self.warn(message % default, node.line)
            listener = None
        for host in hosts:
            self._bindings(host, host.name == default, listener)

    def _listener(self, node: Node, offset: int) -> Optional[str]:
        """Where a connector listens; the first of two with one address has it."""
        if "unixDomainSocketPath" in node.attributes:
            self.warn("the connector listens on a unix socket, where nothing can be verified", node.line)
            return None
        port = self._number(node, "port", "-1")
        if port is None or not 0 < port + offset < 65536:
            if port == 0:
                self.warn("the connector takes any free port: nobody knows where to ask", node.line)
            return None
        address = self._get(node, "address")
        if "${" in address:
            self.warn("the address %s is not known" % address, node.line)
            return None
        place = "*" if address in ("", "0.0.0.0", "::") else address.strip("[]")  # noqa: S104 - read, not bound
        listener = "%s:%d" % ("[%s]" % place if ":" in place else place, port + offset)
        if listener in self._taken:
            self.warn("another connector before this one has %s" % listener, node.line)
            return None
        self._taken.add(listener)
        return listener

    def _hosts(self, node: Node) -> List[_Host]:
        """The SSLHostConfigs of a connector, that of its own old attributes first."""
        hosts: List[_Host] = []
        old = {_OLD[name]: value for name, value in node.attributes.items() if name in _OLD}
        if old and self.version is not None and self.version >= _SINCE:
            told = ", ".join(name for name in node.attributes if name in _OLD)
            about = ".".join(map(str, self.version[:2]))
            self.warn("Tomcat %s does not know %s any more" % (about, told), node.line)
        elif old:
            hosts.append(
                _Host(self._get(node, "defaultSSLHostConfigName", _DEFAULT).lower(), [(old, node.line)])
            )
        for config in node.all("SSLHostConfig"):
            name = self._get(config, "hostName", _DEFAULT).lower()
            if name in [host.name for host in hosts]:
                self.warn(
                    "there is more than one SSLHostConfig for %s: Tomcat does not start so" % name,
                    config.line,
                )
            found = [(one.attributes, one.line) for one in config.all("Certificate")]
            if any(name in config.attributes for name in _FILES):
                found.append((config.attributes, config.line))  # until Tomcat 10.0
            if not found:
                self.warn("the SSLHostConfig for %s has no Certificate: it shows none" % name, config.line)
            hosts.append(_Host(name, found))
        return hosts

    def _bindings(self, host: _Host, is_default: bool, listener: Optional[str]) -> None:
        names: List[str] = []
        listeners = [] if listener is None else [listener]
        if host.name != _DEFAULT:
            name = _reach.plain(host.name)
            if name is not None:
                names = [name]
            elif not is_default:
                line = host.certificates[0][1] if host.certificates else None
                self.warn("hostName=%r is no name that a client could ask for" % host.name, line)
                listeners = []
        for attributes, line in host.certificates:
            known = {key: self.values.of(value) for key, value in attributes.items()}
            self._binding(known, line, names, listeners)

    def _binding(self, known: Dict[str, str], line: int, names: List[str], listeners: List[str]) -> None:
        found = self._files(known, line)
        self.report.binding("tomcat", self.instance.config, line, names=names, listeners=listeners, **found)

    def _files(self, known: Dict[str, str], line: int) -> Dict[str, Any]:
        """What is to be reported of the files of one Certificate."""
        if known.get("certificateFile"):
            keys = ("certificateFile", "certificateKeyFile", "certificateChainFile")
            paths = [self._path(known[key]) if known.get(key) else "" for key in keys]
            if None in paths:
                return _unresolved([known.get(key, "") for key in keys])
            return {"certificate": paths[0], "key": paths[1] or None, "chain": paths[2] or None}
        if not any(known.get(key) for key in _KEYSTORE_ATTRIBUTES):
            return _unresolved(["the Certificate names no file"])
        kind = known.get("certificateKeystoreType", "")
        path = self._path(known.get("certificateKeystoreFile") or self._own_keystore())
        if kind.upper() in _ELSEWHERE or path is None or "${" in kind:
            return _unresolved([kind, known.get("certificateKeystoreFile", "")])
        alias = known.get("certificateKeyAlias") or None
        where = "%s, line %d" % (self.instance.config, line)
        password, own = self._password(known), self._secret(known, "certificateKeyPassword", "")
        opening = Opening(password, alias, where, own)
        if alias is not None and "${" in alias:
            return _unresolved([alias])
        return {"certificate": path, "keystore": opening}

    def _own_keystore(self) -> str:
        return self.known.get("user.home", "${user.home}") + "/.keystore"

    def _password(self, known: Dict[str, str]) -> Optional[str]:
        """The password of a keystore: of its own file, else as given, else Java's own."""
        return self._secret(known, "certificateKeystorePassword", _PASSWORD)

    def _secret(self, known: Dict[str, str], name: str, default: str) -> Optional[str]:
        """A password that stands in an attribute, or in the first line of a file that another names."""
        named = known.get(name + "File")
        if named:
            path = self._path(named)
            try:
                data = b"" if path is None else self.report.reader.read(path, 4096).data
            except _reading.Unreadable:
                return None
            lines = _reading.text(data).splitlines()
            return lines[0] if lines else None
        given = known.get(name, default)
        return given if given and "${" not in given else None

    def _path(self, value: str) -> Optional[str]:
        """A file as Tomcat finds it: an absolute path, one below catalina.base, or a URI of a file."""
        if "${" in value:
            return None
        if value.startswith("file:"):
            rest = value[len("file:") :]
            return "/" + unquote(rest).lstrip("/") if rest.startswith("/") else None
        if "://" in value or value.startswith("classpath:"):
            return None
        return value if value.startswith("/") else self.instance.base + "/" + value


def _unresolved(values: List[str]) -> Dict[str, Any]:
    told = ", ".join(value for value in values if value)
    return {"certificate": None, "problems": [("unresolved", "which file is meant is not known: %s" % told)]}
