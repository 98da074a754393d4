"""Debian 11, with its Python 3.9 and its servers: scanned, and deployed to for real."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import Corpus, deploy, scan
from tests.lab.fleet import Fleet, Host
from tests.lab.image import install
from tests.lab.lab import Lab
from tests.lab.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.host import LabHost

NGINX = """server { listen 8443 ssl; server_name one.test; ssl_certificate %C/one.crt;
  ssl_certificate_key %C/one.key; }
server { listen 8443 ssl; server_name two.test; ssl_certificate %C/two.crt; ssl_certificate_key %C/two.key; }
"""
APACHE = """Listen 9443
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
<VirtualHost *:9443>
  ServerName three.test
  SSLEngine on
  SSLCertificateFile %C/three.pem
</VirtualHost>
"""


@pytest.fixture(scope="module")
def old() -> Iterator[LabHost]:
    """A host of the release before the lab's own."""
    install(say=lambda _: None)
    with Lab.up(f"s{os.getpid()}-old", Fleet("debian11", (Host("debian11", layer=Layer.DEBIAN_11),))) as lab:
        yield lab.hosts["debian11"]


@pytest.fixture(scope="module")
def corpus(old: LabHost, corpus_authority: Authority) -> Iterator[Corpus]:
    """Two servers side by side: nginx and Apache."""
    corpus = Corpus(old, corpus_authority)
    corpus.certificates("one", "two", "three")
    corpus.write("/etc/nginx/conf.d/corpus.conf", NGINX)
    corpus.write("/etc/apache2/ports.conf", "")
    corpus.write("/etc/apache2/sites-enabled/corpus.conf", APACHE)
    old.run(["systemctl", "start", "nginx", "apache2"])
    yield corpus
    old.run(["systemctl", "stop", "nginx", "apache2"])
    corpus.put_back()


def test_its_python_scans_it_and_its_servers_agree(corpus: Corpus) -> None:
    scanned = scan(corpus.host)
    server = scanned.result["server"]
    assert server["python"].startswith("3.9.")
    assert (server["os"]["id"], server["os"]["version"]) == ("debian", "11")
    running = {one["name"]: one["version"] for one in server["services"] if one["running"]}
    assert set(running) == {"nginx", "apache"}
    assert running["nginx"].startswith("1.18.")
    assert scanned.contradicted() == {}
    assert set(corpus.named(scanned)) == {
        ("one", ("one.test",)),
        ("two", ("two.test",)),
        ("three", ("three.test",)),
    }
    for one in scanned.bindings:
        assert {asked["fingerprint"] for asked in one["served"]} == {one["certificate"]}


@pytest.mark.parametrize("name", ["one", "three"])
def test_a_certificate_is_deployed_and_put_back_when_it_cannot_serve(
    corpus: Corpus, corpus_authority: Authority, name: str
) -> None:
    (binding,) = (one for one in scan(corpus.host).bindings if one["names"] == [f"{name}.test"])
    issued = corpus_authority.issue(f"{name}.test", f"*.{name}.test")
    outcome = deploy(corpus.host, binding, issued)
    corpus.fingerprints[issued.fingerprint] = name
    assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", issued.fingerprint), outcome
    (binding,) = (one for one in scan(corpus.host).bindings if one["names"] == [f"{name}.test"])
    assert binding["certificate"] == issued.fingerprint
    config = "/etc/nginx/conf.d/broken.conf" if name == "one" else "/etc/apache2/sites-enabled/broken.conf"
    corpus.write(config, "nonsense }\n")
    try:
        outcome = deploy(corpus.host, binding, corpus_authority.issue(f"{name}.test", f"*.{name}.test"))
    finally:
        corpus.host.run(["rm", config])
    assert outcome["state"] == "blocked_by_host", outcome
    assert scan(corpus.host).contradicted() == {}
