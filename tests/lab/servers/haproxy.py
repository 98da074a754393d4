"""HAProxy: one file with a front end a port; certificates by file or by directory."""

from __future__ import annotations

from pathlib import PurePosixPath

from tests.lab.fleet import Fleet, Host, Layout, Service, Site
from tests.lab.seed import SeedFile

_HEAD = """\
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    daemon
    ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
    log     global
    mode    http
    option  httplog
    option  dontlognull
    timeout connect 5s
    timeout client  50s
    timeout server  50s
"""

_FRONT_END = """
frontend tls-{port}
    bind :{port} ssl {certificates}
    http-request return status 200 content-type text/plain lf-string "%[req.hdr(host)]\\n"
"""

#: HAProxy does not start without anything to listen on.
_IDLE = """
frontend stats
    bind 127.0.0.1:8404
    stats enable
"""


def render(fleet: Fleet, host: Host) -> list[SeedFile]:
    sites = fleet.sites_of(host.name, Service.HAPROXY)
    text = (
        _HEAD
        + ("" if sites else _IDLE)
        + "".join(
            _FRONT_END.format(port=port, certificates=_crt(sites, port))
            for port in sorted({site.port for site in sites})
        )
    )
    return [SeedFile("/etc/haproxy/haproxy.cfg", text)]


def _crt(sites: list[Site], port: int) -> str:
    places = [_place(site) for site in sites if site.port == port]
    return " ".join(f"crt {place}" for place in dict.fromkeys(places))


def _place(site: Site) -> str:
    path = site.files[0].path
    return f"{PurePosixPath(path).parent}/" if site.layout is Layout.DIRECTORY else path
