"""Every site of the demo fleet is found where it lies, and nothing on its hosts changes by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.hosts import scan
from tests.lab.fleet import Layout, Service

if TYPE_CHECKING:
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

_TREES = ("/etc", "/home", "/opt", "/root", "/srv", "/usr/local", "/var/www")


def test_every_site_is_found_with_its_files_and_its_listeners(demo_lab: Lab) -> None:
    for host in demo_lab.hosts.values():
        scanned = scan(host)
        assert scanned.contradicted() == {}
        assert scanned.warned() == []
        sites = [site for site in demo_lab.sites if host.name in site.hosts]
        for site in sites:
            (binding,) = (
                one
                for one in scanned.bindings
                if one["service"] == site.service
                and {file["path"] for file in one["files"]} == {file.path for file in site.files}
            )
            assert set(binding["names"]) == set(site.names)
            assert binding["listeners"] == [f"*:{site.port}"]
            assert binding["certificate"] == demo_lab.served_site(site, host.name)
            assert binding["problems"] == []
            assert binding["managed_by"] == ("certbot" if site.layout is Layout.LINEAGE else None)
            kinds = {file["path"]: file["kind"] for file in binding["files"]}
            assert kinds == {file.path: file.kind for file in site.files}
            modes = {file["path"]: (file["mode"], file["group"]) for file in binding["files"]}
            assert modes == {file.path: (f"{file.mode:04o}", file.group) for file in site.files}
            assert [bool(file["target"]) for file in binding["files"]] == [
                site.layout is Layout.LINEAGE for _file in binding["files"]
            ]
        assert len(scanned.bindings) == len(sites)


def test_a_host_tells_what_it_is_and_what_runs_on_it(demo_lab: Lab) -> None:
    for host in demo_lab.hosts.values():
        server = scan(host).result["server"]
        assert host.address in server["addresses"]
        assert server["os"]["id"] == "debian"
        assert server["hostname"] == host.name
        running = {service["name"] for service in server["services"] if service["running"]}
        assert running == {str(Service(service)) for service in host.services}
        assert all(service["version"] for service in server["services"] if service["running"])


def _tree(host: LabHost) -> str:
    every = "%p %y %m %u %g %s %T@ %C@ %l\\n"
    find = ["find", *_TREES, "-type", "f", "-printf", f"%A@ {every}", "-o", "-printf", every]
    return host.run(find, check=False).stdout


def test_a_scan_reads_and_changes_nothing(demo_lab: Lab) -> None:
    for name in ("web3", "apache1", "haproxy1"):
        host = demo_lab.hosts[name]
        scan(host)
        before = _tree(host)
        assert scan(host).bindings
        assert _tree(host) == before
