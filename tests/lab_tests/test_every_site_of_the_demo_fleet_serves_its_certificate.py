"""The demo fleet is what its description says: every certificate serves, from the right files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.lab import DEMO, Challenge, Layout, Service
from tests.lab.handshake import fingerprint

if TYPE_CHECKING:
    from tests.lab import Lab, Site

_PLACES = [(site, host) for site in DEMO.sites for host in site.hosts]
_IDS = [f"{site.key}-{host}" for site, host in _PLACES]

each_place = pytest.mark.parametrize(("site", "host"), _PLACES, ids=_IDS)


def test_the_demo_fleet_has_one_of_everything() -> None:
    sites = DEMO.sites
    layouts = {(site.service, site.layout) for site in sites}

    assert len(DEMO.hosts) >= 6
    assert len(sites) >= 14
    assert any(site.names[0].startswith("*.") for site in sites)
    assert any(len(site.names) == 5 for site in sites)
    assert any(len(site.hosts) == 2 for site in sites)
    assert {Service.NGINX, Service.APACHE, Service.HAPROXY} == {site.service for site in sites}
    assert {(Service.APACHE, Layout.SEPARATE_CHAIN), (Service.HAPROXY, Layout.DIRECTORY)} <= layouts
    assert {(Service.NGINX, Layout.SNIPPET), (Service.NGINX, Layout.LINEAGE)} <= layouts
    stateless = [s for s in sites if s.challenge is Challenge.HTTP_01 and not s.webroot]
    assert len(stateless) >= 3
    assert any(len(host.services) == 2 for host in DEMO.hosts)


@each_place
def test_a_client_is_shown_the_first_certificate(demo_lab: Lab, site: Site, host: str) -> None:
    assert demo_lab.served_site(site, host) == demo_lab.first_fingerprints[site.key]


@each_place
def test_a_client_that_trusts_the_old_root_gets_the_page(demo_lab: Lab, site: Site, host: str) -> None:
    address = demo_lab.hosts[host].address
    # A wildcard's page names the wildcard; HAProxy says what it was asked for.
    page = site.probe_name if site.service is Service.HAPROXY else site.names[0]
    for name in (site.probe_name, *site.names[1:]):
        resolve = f"{name}:{site.port}:{address}"
        curl = ["curl", "--silent", "--show-error", "--noproxy", "*", "--resolve", resolve]
        curl += ["--cacert", str(demo_lab.old_root), "--write-out", " %{http_code}"]
        done = demo_lab.run([*curl, f"https://{name}:{site.port}/"])
        assert done.stdout.replace(f":{site.port}", "") == f"{page}\n 200"


@each_place
def test_the_files_on_the_host_are_those_of_the_description(demo_lab: Lab, site: Site, host: str) -> None:
    machine = demo_lab.hosts[host]
    for file in site.files:
        wanted = f"root:{file.group} {file.mode:o}"
        said = machine.run(["stat", "--dereference", "--format", "%U:%G %a", file.path])
        assert said.stdout.strip() == wanted
        link = machine.run(["readlink", file.path], check=False).stdout.strip()
        assert (link or None) == file.target
        text = machine.read(file.path)
        assert ("PRIVATE KEY" in text) == (file.kind in {"key", "combined"})
        certificates = text.count("BEGIN CERTIFICATE")
        assert certificates == {"leaf": 1, "chain": 1, "fullchain": 2, "combined": 2, "key": 0}[file.kind]
        if file.kind in {"leaf", "fullchain", "combined"}:
            assert fingerprint(text) == demo_lab.first_fingerprints[site.key]


def test_one_virtual_host_has_an_rsa_and_an_ecdsa_certificate(demo_lab: Lab) -> None:
    rsa = demo_lab.served("web3", 443, "api.lab.test", "rsa")
    ecdsa = demo_lab.served("web3", 443, "api.lab.test", "ecdsa")

    assert rsa == demo_lab.first_fingerprints["api-rsa"]
    assert ecdsa == demo_lab.first_fingerprints["api-ec"]
    assert rsa != ecdsa


def test_the_snippet_is_included_by_a_relative_path(demo_lab: Lab) -> None:
    vhost = demo_lab.hosts["web2"].read("/etc/nginx/sites-enabled/docs.conf")

    assert "include snippets/docs-tls.conf;" in vhost
    assert "ssl_certificate" not in re.sub(r"include .*;", "", vhost)


def test_a_challenge_snippet_is_served_as_soon_as_it_is_there(demo_lab: Lab) -> None:
    web1 = demo_lab.hosts["web1"]
    ask = ["curl", "--silent", "--noproxy", "*", "--resolve", f"www.lab.test:80:{web1.address}"]
    url = "http://www.lab.test/.well-known/acme-challenge/x"
    snippet = "/etc/nginx/snippets/notafter-acme-challenge-test.conf"
    assert "301 Moved" in demo_lab.run([*ask, url]).stdout

    web1.write(snippet, 'location ^~ /.well-known/acme-challenge/ { return 200 "proof"; }\n')
    try:
        web1.run(["systemctl", "reload", "nginx"])
        web1.wait_until(lambda: demo_lab.run([*ask, url]).stdout == "proof", "no proof", 60)
    finally:
        web1.run(["rm", snippet])
        web1.run(["systemctl", "reload", "nginx"])


@pytest.mark.parametrize("host", ["ca", *(host.name for host in DEMO.hosts)])
def test_systemd_is_content(demo_lab: Lab, host: str) -> None:
    machine = demo_lab.hosts[host]
    done = machine.run(["systemctl", "is-system-running", "--wait"], check=False)
    failed = machine.run(["systemctl", "--failed", "--no-legend"]).stdout

    assert (done.stdout.strip(), failed) == ("running", "")
