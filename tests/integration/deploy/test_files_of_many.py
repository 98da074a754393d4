"""T13 and T14: one file that several servers read, two certificates of one vhost, forms that are no PEM."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.integration.deploy.conftest import Target
from tests.integration.deploy.test_a_deploy_changes_what_is_served_or_nothing import reload_that_does

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority, Issued
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

SHARED = "/etc/ssl/shared.pem"
NGINX = "/etc/nginx/conf.d/shared.conf"
HAPROXY = "/etc/haproxy/haproxy.cfg"
#: Two places of nginx, of which the plan names the first, and one of HAProxy, which it does not name.
NAMED, SECOND, UNNAMED = 9445, 9446, 9447


def shown(host: LabHost, port: int, key_type: str | None = None) -> str:
    """The fingerprint that a port shows, on the host itself; `key_type` is what the client can use."""
    only = {"rsa": "-tls1_2 -cipher ECDHE+aRSA", "ec": "-tls1_2 -cipher ECDHE+aECDSA", None: ""}[key_type]
    ask = f"openssl s_client -connect 127.0.0.1:{port} {only} </dev/null 2>/dev/null"
    told = host.run(["sh", "-c", f"{ask} | openssl x509 -noout -fingerprint -sha256"]).stdout
    return told.strip().partition("=")[2].replace(":", "").lower()


def everywhere(host: LabHost) -> set[str]:
    """What the three places show."""
    return {shown(host, port) for port in (NAMED, SECOND, UNNAMED)}


@pytest.fixture
def shared(nginx: Target, authority: Authority) -> Iterator[Issued]:
    """A certificate in one file that nginx and HAProxy read on one host."""
    host, issued = nginx.host, authority.issue("shared.lab.test")
    head = host.read(HAPROXY)
    host.write(SHARED, issued.certificate + issued.chain + issued.private_key, 0o600)
    servers = (
        f"server {{ listen {port} ssl; server_name {name}; ssl_certificate {SHARED};"
        f" ssl_certificate_key {SHARED}; }}\n"
        for port, name in ((NAMED, "shared.lab.test"), (SECOND, "second.lab.test"))
    )
    host.write(NGINX, "".join(servers))
    host.write(HAPROXY, f"{head}\nfrontend shared\n    bind :{UNNAMED} ssl crt {SHARED}\n")
    host.run(["systemctl", "reload", "nginx"])
    host.run(["systemctl", "restart", "haproxy"])
    try:
        assert everywhere(host) == {issued.fingerprint}
        yield issued
    finally:
        host.run(["systemctl", "stop", "haproxy"], check=False)
        host.write(HAPROXY, head)
        host.run(["rm", "-f", NGINX, SHARED])
        host.run(["systemctl", "reload", "nginx"])


def wish(nginx: Target) -> dict[str, Any]:
    """The deployment that names one place of nginx alone."""
    files = [{"path": SHARED, "kind": "combined", "sha256": None}]
    return nginx.wish(names=["shared.lab.test"], listeners=[f"*:{NAMED}"], files=files)


def test_t14_servers_that_nobody_named_reload_and_show_the_file_that_they_read(
    nginx: Target, authority: Authority, shared: Issued
) -> None:
    issued = authority.issue("shared.lab.test")
    planned = nginx.deploy(issued, deployments=[wish(nginx)], check=True)
    assert (planned["state"], planned["reloads"]) == ("planned", ["haproxy", "nginx"])
    assert everywhere(nginx.host) == {shared.fingerprint}
    outcome = nginx.deploy(issued, deployments=[wish(nginx)])
    assert (outcome["state"], outcome["reloads"]) == ("deployed", ["haproxy", "nginx"]), outcome
    assert everywhere(nginx.host) == {issued.fingerprint}
    ports = {one["listener"].rpartition(":")[2] for one in outcome["endpoints"]}
    assert ports == {str(NAMED), str(SECOND), str(UNNAMED)}


def test_t14_a_server_that_nobody_named_and_that_shows_the_old_one_brings_all_back(
    nginx: Target, authority: Authority, shared: Issued
) -> None:
    before = nginx.host.sha256(SHARED)
    with reload_that_does(nginx.host, "haproxy", "/bin/true"):
        outcome = nginx.deploy(
            authority.issue("shared.lab.test"), deployments=[wish(nginx)], verify_seconds=1
        )
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    assert f":{UNNAMED} for" in outcome["message"]
    assert nginx.host.sha256(SHARED) == before
    assert everywhere(nginx.host) == {shared.fingerprint}


def test_t14_a_server_that_nobody_named_and_that_could_not_reload_blocks(
    nginx: Target, authority: Authority, shared: Issued
) -> None:
    before = nginx.host.sha256(SHARED)
    nginx.host.write(HAPROXY, nginx.host.read(HAPROXY) + "\nthis is no configuration\n")
    outcome = nginx.deploy(authority.issue("shared.lab.test"), deployments=[wish(nginx)])
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert "haproxy's configuration was broken before we came" in outcome["message"]
    assert nginx.host.sha256(SHARED) == before
    assert everywhere(nginx.host) == {shared.fingerprint}


@pytest.fixture(params=["www", "wiki"], ids=["nginx", "apache"])
def pair(request: pytest.FixtureRequest, small_lab: Lab, authority: Authority) -> Iterator[Target]:
    """A vhost with an RSA and an ECDSA certificate, on port 9448."""
    target = Target(small_lab, request.param, authority)
    for kind in ("rsa-2048", "ec-256"):
        issued = authority.issue("pair.lab.test", key_type=kind)
        text = issued.certificate + issued.chain + issued.private_key
        target.host.write(f"/etc/ssl/pair-{kind}.pem", text, 0o600)
    files = [f"/etc/ssl/pair-{kind}.pem" for kind in ("rsa-2048", "ec-256")]
    if request.param == "www":
        unit, path = "nginx", "/etc/nginx/conf.d/pair.conf"
        lines = "".join(f"ssl_certificate {file}; ssl_certificate_key {file}; " for file in files)
        text = f"server {{ listen 9448 ssl; server_name pair.lab.test; {lines}}}\n"
    else:
        unit, path = "apache2", "/etc/apache2/conf-enabled/pair.conf"
        lines = "".join(f"SSLCertificateFile {file}\nSSLCertificateKeyFile {file}\n" for file in files)
        head = "Listen 9448 https\n<VirtualHost *:9448>\nServerName pair.lab.test\nSSLEngine on\n"
        text = f"{head}{lines}</VirtualHost>\n"
    target.host.write(path, text)
    target.host.run(["systemctl", "reload", unit])
    try:
        yield target
    finally:
        target.host.run(["sh", "-c", f"rm -f {shlex.quote(path)} /etc/ssl/pair-*"])
        target.host.run(["systemctl", "reload", unit])


def test_an_rsa_and_an_ecdsa_certificate_of_one_vhost_change_in_one_transaction(
    pair: Target, authority: Authority
) -> None:
    issued = {kind: authority.issue("pair.lab.test", key_type=kind) for kind in ("rsa-2048", "ec-256")}
    wishes = [
        pair.wish(
            id=f"dep-{kind}",
            certificate=f"pair-{kind}",
            bundle=kind,
            names=["pair.lab.test"],
            listeners=["*:9448"],
            files=[{"path": f"/etc/ssl/pair-{kind}.pem", "kind": "combined", "sha256": None}],
        )
        for kind in issued
    ]
    bundles = {kind: one.bundle() for kind, one in issued.items()}
    request = pair.request(issued["ec-256"], deployments=wishes, bundles=bundles)
    before = transactions(pair.host)
    outcomes = pair.send(request)["deployments"]
    assert [(one["state"], one["live_fingerprint"]) for one in outcomes] == [
        ("deployed", one.fingerprint) for one in issued.values()
    ], outcomes
    for kind, one in issued.items():
        assert shown(pair.host, 9448, kind.partition("-")[0]) == one.fingerprint
    assert len(transactions(pair.host) - before) == 1


def transactions(host: LabHost) -> set[str]:
    """The changes that a host has kept."""
    return set(host.run(["ls", "/var/lib/notafter/transactions"], check=False).stdout.split())


@pytest.mark.parametrize("key_first", [False, True])
def test_t13_one_file_with_certificate_and_key_keeps_the_order_that_it_has(
    small_lab: Lab, authority: Authority, *, key_first: bool
) -> None:
    edge = Target(small_lab, "edge", authority)
    (file,) = edge.site.files
    first, second = edge.issue(), edge.issue()
    chain = first.certificate + first.chain
    edge.host.write(file.path, first.private_key + chain if key_first else chain + first.private_key)
    edge.host.run(["systemctl", "reload", "haproxy"])
    outcome = edge.deploy(second)
    assert (outcome["state"], edge.served()) == ("deployed", second.fingerprint)
    assert edge.host.read(file.path).startswith("-----BEGIN PRIVATE KEY") is key_first


def test_t13_der_and_pkcs7_keep_the_form_that_they_have(nginx: Target, authority: Authority) -> None:
    """Nothing that Debian has reads them for TLS with a plain configuration: openssl does."""
    host, folder = nginx.host, "/etc/ssl/forms"
    old, issued = authority.issue("forms.lab.test"), authority.issue("forms.lab.test", key_type="rsa-2048")
    certificates = x509.load_pem_x509_certificates((old.certificate + old.chain).encode())
    host.run(["mkdir", "-p", folder])
    for name, text, options in (
        ("leaf.der", old.certificate, ["x509", "-outform", "DER"]),
        ("key.der", old.private_key, ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"]),
    ):
        host.run(["openssl", *options, "-out", f"{folder}/{name}"], input=text)
    armoured = pkcs7.serialize_certificates(certificates, serialization.Encoding.PEM).decode()
    host.write(f"{folder}/bundle.p7b", armoured)
    host.run(["openssl", "pkcs7", "-outform", "DER", "-out", f"{folder}/bundle.p7c"], input=armoured)
    kinds = {"leaf.der": "der", "key.der": "key", "bundle.p7b": "pkcs7", "bundle.p7c": "pkcs7"}
    files = [{"path": f"{folder}/{name}", "kind": kind, "sha256": None} for name, kind in kinds.items()]
    deployment = nginx.wish(service="files", names=[], listeners=[], files=files)
    try:
        outcome = nginx.deploy(issued, deployments=[deployment])
        assert (outcome["state"], outcome["reason"]) == ("staged", "nothing_to_reload"), outcome
        leaf = host.run(["openssl", "x509", "-inform", "DER", "-in", f"{folder}/leaf.der"]).stdout
        assert leaf.split() == issued.certificate.split()
        key = host.run(["openssl", "pkey", "-inform", "DER", "-in", f"{folder}/key.der"]).stdout
        assert key.split() == issued.private_key.split()
        for name, form in (("bundle.p7b", "PEM"), ("bundle.p7c", "DER")):
            asked = ["openssl", "pkcs7", "-print_certs", "-inform", form, "-in", f"{folder}/{name}"]
            told = host.run(asked).stdout
            assert issued.certificate.strip() in told
            assert issued.chain.strip() in told
        again = nginx.deploy(issued, deployments=[deployment])
        assert again["message"].startswith("in place"), again
    finally:
        host.run(["rm", "-rf", folder])
