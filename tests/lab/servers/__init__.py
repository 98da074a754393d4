"""Server configurations as an administrator would have written them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.fleet import Fleet, Host, Service
from tests.lab.servers import apache, haproxy, nginx

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.seed import SeedFile

_RENDER: dict[Service, Callable[[Fleet, Host], list[SeedFile]]] = {
    Service.NGINX: nginx.render,
    Service.APACHE: apache.render,
    Service.HAPROXY: haproxy.render,
}

UNITS = {Service.NGINX: "nginx", Service.APACHE: "apache2", Service.HAPROXY: "haproxy"}


def configuration(fleet: Fleet, host: Host) -> list[SeedFile]:
    """Every file that the servers of one host need, apart from certificates and keys."""
    return [file for service in host.services for file in _RENDER[service](fleet, host)]
