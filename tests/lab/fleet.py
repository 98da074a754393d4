"""A fleet as data: which hosts there are, what they serve, and where each certificate lies."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from tests.lab.errors import FleetError
from tests.lab.layers import Layer

ZONE = "lab.test"
CA = "ca"


class Service(StrEnum):
    NGINX = "nginx"
    APACHE = "apache"
    HAPROXY = "haproxy"


class Challenge(StrEnum):
    """How the CA is to be convinced; what a name's owner would have chosen."""

    DNS_01 = "dns-01"
    HTTP_01 = "http-01"


class KeyType(StrEnum):
    EC_256 = "ec-256"
    EC_384 = "ec-384"
    RSA_2048 = "rsa-2048"


class Layout(StrEnum):
    """How a certificate's files lie on the host and how the configuration names them."""

    USUAL = "usual"  #: fullchain and key; HAProxy: one combined file
    SNIPPET = "snippet"  #: nginx: the two lines stand in an included file
    LINEAGE = "lineage"  #: nginx: links live/ -> archive/ as certbot makes them
    SEPARATE_CHAIN = "separate-chain"  #: Apache: leaf, chain and key in three files
    DIRECTORY = "directory"  #: HAProxy: `crt` names a directory of combined files


_LAYOUTS = {
    Service.NGINX: {Layout.USUAL, Layout.SNIPPET, Layout.LINEAGE},
    Service.APACHE: {Layout.USUAL, Layout.SEPARATE_CHAIN},
    Service.HAPROXY: {Layout.USUAL, Layout.DIRECTORY},
}


@dataclass(frozen=True)
class SiteFile:
    """One file of a certificate on a host; `target` is where a symbolic link points."""

    path: str
    kind: str  # leaf, chain, fullchain, key or combined
    mode: int = 0o644
    group: str = "root"
    target: str | None = None


@dataclass(frozen=True)
class Site:
    """One certificate and the places where it serves.

    Two sites with the same names, host and port are two certificates of one
    virtual host: an RSA and an ECDSA one.
    """

    key: str
    names: tuple[str, ...]
    hosts: tuple[str, ...]
    service: Service = Service.NGINX
    port: int = 443
    key_type: KeyType = KeyType.EC_256
    challenge: Challenge = Challenge.DNS_01
    webroot: bool = False  #: http-01 by files below /var/www/<key>; otherwise stateless
    layout: Layout = Layout.USUAL
    validity: int | None = None  #: seconds; None is what the whole lab was asked for

    @property
    def probe_name(self) -> str:
        """A name that a client can ask for: a wildcard's stands for any below it."""
        return re.sub(r"^\*\.", "notafter-probe.", self.names[0])

    @property
    def document_root(self) -> str:
        return f"/var/www/{self.key}"

    @property
    def files(self) -> tuple[SiteFile, ...]:
        if self.service is Service.HAPROXY:
            folder = "sites" if self.layout is Layout.DIRECTORY else "certs"
            return (SiteFile(f"/etc/haproxy/{folder}/{self.key}.pem", "combined", 0o600),)
        if self.service is Service.APACHE:
            return self._apache_files()
        if self.layout is Layout.LINEAGE:
            return self._lineage_files()
        return (
            SiteFile(f"/etc/ssl/{self.key}/fullchain.pem", "fullchain"),
            SiteFile(f"/etc/ssl/{self.key}/privkey.pem", "key", 0o600),
        )

    def _apache_files(self) -> tuple[SiteFile, ...]:
        key = SiteFile(f"/etc/ssl/private/{self.key}.key", "key", 0o640, "ssl-cert")
        if self.layout is Layout.SEPARATE_CHAIN:
            return (
                SiteFile(f"/etc/ssl/certs/{self.key}.crt", "leaf"),
                SiteFile(f"/etc/ssl/certs/{self.key}.chain.crt", "chain"),
                key,
            )
        return (SiteFile(f"/etc/ssl/certs/{self.key}.pem", "fullchain"), key)

    def _lineage_files(self) -> tuple[SiteFile, ...]:
        live = f"/etc/letsencrypt/live/{self.names[0]}"
        archive = f"../../archive/{self.names[0]}"
        return (
            SiteFile(f"{live}/fullchain.pem", "fullchain", target=f"{archive}/fullchain1.pem"),
            SiteFile(f"{live}/privkey.pem", "key", 0o640, "ssl-cert", f"{archive}/privkey1.pem"),
        )


@dataclass(frozen=True)
class Host:
    """One machine of the fleet and the servers that run on it."""

    name: str
    services: tuple[Service, ...] = ()
    issuer: bool = False
    layer: Layer | None = None  #: further servers that are installed there, and started by nobody


@dataclass(frozen=True)
class Fleet:
    """Hosts and what they serve. The CA's own host is not listed: every lab has it."""

    name: str
    hosts: tuple[Host, ...]
    sites: tuple[Site, ...] = ()

    def __post_init__(self) -> None:
        _unique("host", [CA, *(host.name for host in self.hosts)])
        _unique("site", [site.key for site in self.sites])
        for host in self.hosts:
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", host.name):
                raise FleetError(f"{host.name!r} is no name for a host of the lab")
        for site in self.sites:
            self._check(site)

    def _check(self, site: Site) -> None:
        if not site.names or not site.hosts:
            raise FleetError(f"site {site.key} needs at least one name and one host")
        services = {host.name: host.services for host in self.hosts}
        for host in site.hosts:
            if site.service not in services.get(host, ()):
                raise FleetError(f"site {site.key}: there is no {site.service} on a host named {host}")
        if site.layout not in _LAYOUTS[site.service]:
            raise FleetError(f"site {site.key}: {site.service} has no layout {site.layout}")
        for name in site.names:
            if not name.endswith(f".{ZONE}"):
                raise FleetError(f"site {site.key}: {name} is not below {ZONE}")

    def sites_of(self, host: str, service: Service) -> list[Site]:
        return [site for site in self.sites if host in site.hosts and site.service is service]

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fleet:
        hosts = tuple(
            Host(
                item["name"],
                tuple(map(Service, item["services"])),
                item["issuer"],
                item["layer"] and Layer(item["layer"]),
            )
            for item in data["hosts"]
        )
        return cls(data["name"], hosts, tuple(_site(item) for item in data["sites"]))


def _site(data: dict[str, Any]) -> Site:
    return Site(
        key=data["key"],
        names=tuple(data["names"]),
        hosts=tuple(data["hosts"]),
        service=Service(data["service"]),
        port=data["port"],
        key_type=KeyType(data["key_type"]),
        challenge=Challenge(data["challenge"]),
        webroot=data["webroot"],
        layout=Layout(data["layout"]),
        validity=data["validity"],
    )


def _unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise FleetError(f"two {what}s are named {name}")
