"""Virtual hosts by the hundred or the thousand, for each kind of server: their files as one archive."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.authority import Authority, Issued
    from tests.lab.host import LabHost

Files = dict[str, str]


def nginx(number: int, name: str, issued: Issued) -> Files:
    """One file a server, as Debian does it."""
    server = (
        f"server {{\n    listen 443 ssl;\n    server_name {name} www.{name};\n"
        f"    ssl_certificate /etc/ssl/bench/{name}.pem;\n"
        f"    ssl_certificate_key /etc/ssl/bench/{name}.key;\n"
        "    root /var/www/html;\n    location / { try_files $uri =404; }\n}\n"
        f"server {{\n    listen 80;\n    server_name {name};\n    return 301 https://$host$request_uri;\n}}\n"
    )
    return {f"etc/nginx/sites-enabled/bench-{number:05}.conf": server, **_apart(name, issued)}


def apache(number: int, name: str, issued: Issued) -> Files:
    """One file a virtual host, as Debian does it."""
    host = (
        f"<VirtualHost *:443>\n    ServerName {name}\n    ServerAlias www.{name}\n    SSLEngine on\n"
        f"    SSLCertificateFile /etc/ssl/bench/{name}.pem\n"
        f"    SSLCertificateKeyFile /etc/ssl/bench/{name}.key\n</VirtualHost>\n"
    )
    return {f"etc/apache2/sites-enabled/bench-{number:05}.conf": host, **_apart(name, issued)}


def haproxy(_number: int, name: str, issued: Issued) -> Files:
    """One combined file in the folder that a bind line names."""
    return {f"etc/haproxy/bench/{name}.pem": issued.certificate + issued.chain + issued.private_key}


def _apart(name: str, issued: Issued) -> Files:
    folder = "etc/ssl/bench"
    return {
        f"{folder}/{name}.pem": issued.certificate + issued.chain,
        f"{folder}/{name}.key": issued.private_key,
    }


KINDS: dict[str, Callable[[int, str, Issued], Files]] = {
    "nginx": nginx,
    "apache": apache,
    "haproxy": haproxy,
}


def write(host: LabHost, kind: str, authority: Authority, count: int, first: int = 0) -> None:
    """Puts virtual hosts with certificates of their own on a host; its server is not told."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in _files(host.name, kind, authority, range(first, first + count)):
            data = content.encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o600 if path.endswith(".key") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    command = [*host.enter_prefix(), "tar", "-x", "-f", "-", "-C", "/"]
    subprocess.run(command, input=archive.getvalue(), check=True, timeout=300)


def _files(place: str, kind: str, authority: Authority, numbers: range) -> Iterator[tuple[str, str]]:
    for number in numbers:
        name = f"s{number:05}.{place}.lab.test"
        yield from KINDS[kind](number, name, authority.issue(name, f"www.{name}")).items()
