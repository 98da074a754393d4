"""nginx: one file a virtual host in sites-available, a link to it in sites-enabled."""

from __future__ import annotations

from itertools import groupby

from tests.lab.fleet import Challenge, Fleet, Host, Layout, Service, Site
from tests.lab.seed import SeedFile, link

#: A glob, so that nginx does not mind while no such file is there.
CHALLENGE_SNIPPETS = "/etc/nginx/snippets/notafter-acme-challenge*.conf"


def render(fleet: Fleet, host: Host) -> list[SeedFile]:
    sites = sorted(fleet.sites_of(host.name, Service.NGINX), key=_virtual_host)
    files: list[SeedFile] = []
    for _, members in groupby(sites, key=_virtual_host):
        files += _files_of(list(members))
    return files


def _virtual_host(site: Site) -> tuple[int, tuple[str, ...]]:
    return (site.port, site.names)


def _files_of(sites: list[Site]) -> list[SeedFile]:
    """The files of one virtual host; several sites are several certificates of it."""
    first = sites[0]
    available = f"/etc/nginx/sites-available/{first.key}.conf"
    files = [
        SeedFile(available, _secure_server(sites) + _plain_server(first)),
        link(f"/etc/nginx/sites-enabled/{first.key}.conf", available),
        SeedFile(f"{first.document_root}/index.html", f"{first.names[0]}\n"),
    ]
    files += [
        SeedFile(_snippet_path(site), "\n".join(_certificate_lines(site)) + "\n")
        for site in sites
        if site.layout is Layout.SNIPPET
    ]
    return files


def _snippet_path(site: Site) -> str:
    return f"/etc/nginx/snippets/{site.key}-tls.conf"


def _certificate_lines(site: Site) -> list[str]:
    fullchain, key = site.files
    return [f"ssl_certificate     {fullchain.path};", f"ssl_certificate_key {key.path};"]


def _secure_server(sites: list[Site]) -> str:
    first = sites[0]
    lines = [f"listen {first.port} ssl;", f"server_name {' '.join(first.names)};", ""]
    for site in sites:
        if site.layout is Layout.SNIPPET:
            lines.append(f"include snippets/{site.key}-tls.conf;")
        else:
            lines += _certificate_lines(site)
    lines += ["ssl_protocols TLSv1.2 TLSv1.3;", "", f"root {first.document_root};"]
    lines += ["index index.html;"]
    return _block("server", lines)


def _plain_server(site: Site) -> str:
    lines = ["listen 80;", f"server_name {' '.join(site.names)};", ""]
    if site.challenge is Challenge.HTTP_01 and site.webroot:
        lines += [f"location /.well-known/acme-challenge/ {{ root {site.document_root}; }}"]
    elif site.challenge is Challenge.HTTP_01:
        lines += [f"include {CHALLENGE_SNIPPETS};"]
    lines += ["location / { return 301 https://$host$request_uri; }"]
    return "\n" + _block("server", lines)


def _block(head: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" if line else "\n" for line in lines)
    return f"{head} {{\n{body}}}\n"
