"""Apache: one file a virtual host in sites-available, modules and sites enabled by links."""

from __future__ import annotations

from itertools import groupby

from tests.lab.fleet import ZONE, Fleet, Host, Layout, Service, Site
from tests.lab.seed import SeedFile, link

_MODULES = ("ssl.load", "ssl.conf", "socache_shmcb.load")

_SECURE = """\
<VirtualHost *:{port}>
    ServerName {name}
{aliases}    DocumentRoot {root}

    SSLEngine on
{certificates}
    ErrorLog ${{APACHE_LOG_DIR}}/{key}-error.log
</VirtualHost>
"""

_PLAIN = """
<VirtualHost *:80>
    ServerName {name}
{aliases}    DocumentRoot {root}
</VirtualHost>
"""


def render(fleet: Fleet, host: Host) -> list[SeedFile]:
    sites = sorted(fleet.sites_of(host.name, Service.APACHE), key=_virtual_host)
    #: A second server on the host has port 80 for itself.
    plain = Service.NGINX not in host.services
    files = [
        SeedFile("/etc/apache2/ports.conf", _ports(sites, plain=plain)),
        SeedFile("/etc/apache2/conf-available/fqdn.conf", f"ServerName {host.name}.{ZONE}\n"),
        link("/etc/apache2/conf-enabled/fqdn.conf", "../conf-available/fqdn.conf"),
    ]
    files += [
        link(f"/etc/apache2/mods-enabled/{module}", f"../mods-available/{module}") for module in _MODULES
    ]
    for _, members in groupby(sites, key=_virtual_host):
        files += _files_of(list(members), plain=plain)
    return files


def _virtual_host(site: Site) -> tuple[int, tuple[str, ...]]:
    return (site.port, site.names)


def _ports(sites: list[Site], *, plain: bool) -> str:
    secure = sorted({site.port for site in sites} or {443})
    listens = "".join(f"    Listen {port}\n" for port in secure)
    return ("Listen 80\n\n" if plain else "") + f"<IfModule ssl_module>\n{listens}</IfModule>\n"


def _files_of(sites: list[Site], *, plain: bool) -> list[SeedFile]:
    """The files of one virtual host; several sites are several certificates of it."""
    first = sites[0]
    aliases = f"    ServerAlias {' '.join(first.names[1:])}\n" if first.names[1:] else ""
    values = {
        "port": first.port,
        "name": first.names[0],
        "aliases": aliases,
        "root": first.document_root,
        "key": first.key,
        "certificates": "".join(_certificate_lines(site) for site in sites),
    }
    text = _SECURE.format(**values) + (_PLAIN.format(**values) if plain else "")
    return [
        SeedFile(f"/etc/apache2/sites-available/{first.key}.conf", text),
        link(f"/etc/apache2/sites-enabled/{first.key}.conf", f"../sites-available/{first.key}.conf"),
        SeedFile(f"{first.document_root}/index.html", f"{first.names[0]}\n"),
    ]


def _certificate_lines(site: Site) -> str:
    if site.layout is Layout.SEPARATE_CHAIN:
        leaf, chain, key = site.files
        return (
            f"    SSLCertificateFile      {leaf.path}\n"
            f"    SSLCertificateChainFile {chain.path}\n"
            f"    SSLCertificateKeyFile   {key.path}\n"
        )
    fullchain, key = site.files
    return f"    SSLCertificateFile    {fullchain.path}\n    SSLCertificateKeyFile {key.path}\n"
