"""`certificate_probe_info` as a person runs it, with the servers of the lab and with nobody there."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests import by_hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

MODULE = "notafter.tls.certificate_probe_info"


def ask(lab: Lab, host: str = "localhost", **arguments: Any) -> dict[str, Any]:
    """The result of the module, run by `ansible` from the lab's network."""
    program = by_hand.TREE / ".venv/bin/ansible"
    env = {
        "ANSIBLE_CONFIG": str(by_hand.TREE / "ansible.cfg"),
        "ANSIBLE_HOME": str(lab.folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }
    command = [str(program), host, "-i", str(lab.inventory), "-m", MODULE, "-a", json.dumps(arguments)]
    done = lab.run(command, check=False, env=env)
    head, sign, text = done.stdout.partition("=> ")
    assert sign, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(text)
    return {**found, "failed": "FAILED!" in head}


def of_sites(lab: Lab) -> list[dict[str, Any]]:
    """Every site as an endpoint."""
    return [
        {
            "id": site.key,
            "address": lab.hosts[host].address,
            "port": site.port,
            "name": site.probe_name,
            "expected_fingerprint": lab.served_site(site, host),
        }
        for site in lab.sites
        for host in site.hosts
    ]


def test_each_endpoint_is_told_of_with_its_certificate(small_lab: Lab) -> None:
    result = ask(small_lab, endpoints=of_sites(small_lab))
    assert [one["matches"] for one in result["endpoints"]] == [True] * len(small_lab.sites)
    for one in result["endpoints"]:
        facts = result["certificates"][one["fingerprint_sha256"]]
        assert facts["not_after"] == one["not_after"] > datetime.now(UTC).isoformat()
        assert one["name"].replace("notafter-probe", "*") in facts["names"]
        assert (one["protocol"], one["stapling"]) == ("TLSv1.3", None)
        assert len(one["chain_pem"]) >= 1
    assert result["discovery"] is None


def test_nothing_that_is_listed_is_left_out_and_what_is_wrong_fails(small_lab: Lab) -> None:
    web = small_lab.hosts["web1"].address
    good = next(one for one in of_sites(small_lab) if one["id"] == "www")
    endpoints = [
        good,
        good,
        {**good, "id": "again"},
        {**good, "id": "wrong", "expected_fingerprint": "ab" * 32},
        {"address": web, "port": 9},
        {"address": "nobody.invalid", "port": 443},
        {"address": web, "port": 22, "timeout": 1},
        {"address": f"[{web}]", "port": "443", "starttls": "smtp", "timeout": 1},
    ]
    result = ask(small_lab, endpoints=endpoints, require_match=True)
    told = [(one["id"], one["state"], one["matches"]) for one in result["endpoints"]]
    assert told == [
        ("www", "served", True),
        ("again", "served", True),
        ("wrong", "served", False),
        *[(None, "failed", None)] * 4,
    ]
    assert all(one["error"] for one in result["endpoints"] if one["state"] == "failed")
    assert result["failed"]
    assert "shows" in result["msg"]


def test_what_serves_tls_in_a_network_is_found_by_its_names(small_lab: Lab) -> None:
    hosts = [small_lab.hosts[name].address for name in ("web1", "apache1", "haproxy1", "issuer")]
    names = [site.names[0] for site in small_lab.sites]
    network = hosts[0].rpartition(".")[0] + ".0/29"
    result = ask(
        small_lab, networks=[network, *hosts], ports=["443", "22/tls", "9", "2525/smtp"], names=names
    )
    shown = {(one["address"], one["fingerprint_sha256"]) for one in result["endpoints"] if one["port"] == 443}
    wanted = {(one["address"], one["expected_fingerprint"]) for one in of_sites(small_lab)}
    assert wanted <= shown
    assert {one["port"] for one in result["endpoints"]} <= {443, 22}
    counts = result["discovery"]
    assert counts["not_asked"] == 0
    assert counts["without_tls"] >= len(hosts)  # their sshd
    places = {(one["address"], one["port"]) for one in result["endpoints"]}
    assert counts["asked"] == counts["closed"] + counts["without_tls"] + len(places)


def test_what_is_listed_is_not_found_again(small_lab: Lab) -> None:
    web = small_lab.hosts["web1"].address
    endpoint = {"id": "mine", "address": web, "port": 443, "name": None}
    result = ask(small_lab, endpoints=[endpoint], networks=[web, f"{web}/32"], ports=["443", "443/tls"])
    assert [one["id"] for one in result["endpoints"]] == ["mine"]
    assert result["discovery"]["asked"] == 1


def test_a_call_ends_when_its_time_is_over(small_lab: Lab) -> None:
    start = time.monotonic()
    result = ask(small_lab, networks=["10.77.200.0/22"], ports=["443"], limit=4, connect_timeout=2)
    assert time.monotonic() - start < 60
    counts = result["discovery"]
    assert counts["not_asked"] > 0
    assert counts["asked"] == counts["not_asked"] + counts["closed"] == 1022


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"networks": ["10.0.0.0/8"]}, "places are too many for one call"),
        ({"networks": ["10.0.0.1"], "ports": ["http"]}, "is no port"),
        ({"networks": ["10.0.0.1"], "names": ["a b"]}, "is no name that can be asked for"),
        ({"endpoints": [{"address": "a.test"}]}, "endpoint 1 needs an address and a port"),
        (
            {"endpoints": [{"address": "a.test", "port": 25, "starttls": "gopher"}]},
            "endpoint 1 cannot be asked",
        ),
        ({"names": []}, "one of the following is required: endpoints, deployments, networks"),
    ],
)
def test_what_cannot_be_meant_is_refused(small_lab: Lab, arguments: dict[str, Any], told: str) -> None:
    result = ask(small_lab, **arguments)
    assert result["failed"]
    assert told in result["msg"]


def test_a_host_sees_its_own_loopback_and_the_controller_says_that_it_does_not(small_lab: Lab) -> None:
    deployment = {
        "id": "dep-1",
        "service": "nginx",
        "names": ["www.lab.test"],
        "listeners": ["127.0.0.1:443", "*:443"],
        "fingerprint": small_lab.served_site(small_lab.site("www")),
    }
    inside = ask(small_lab, "web1", deployments=[deployment], source="host")
    assert [one["matches"] for one in inside["endpoints"]] == [True]
    assert inside["unseen"] == []
    web = small_lab.hosts["web1"].address
    outside = ask(small_lab, "web1", deployments=[deployment], address=web)
    assert [(one["address"], one["matches"]) for one in outside["endpoints"]] == [(web, True)]
    assert outside["unseen"] == ["dep-1 nginx 127.0.0.1:443"]


@pytest.fixture
def stapling(small_lab: Lab) -> Iterator[LabHost]:
    """The nginx of web1 staples a response to the certificate of www; afterwards it is as it was."""
    host = small_lab.hosts["web1"]
    site = small_lab.site("www")
    certificate = x509.load_pem_x509_certificate(host.read_bytes(site.files[0].path))
    key = serialization.load_pem_private_key(host.read_bytes(site.files[1].path), None)
    now = datetime.now(UTC).replace(microsecond=0)
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate,
        certificate,
        hashes.SHA256(),
        ocsp.OCSPCertStatus.GOOD,
        now,
        now + timedelta(days=1),
        None,
        None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
    response = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    host.write("/etc/nginx/stapled.der", response.public_bytes(serialization.Encoding.DER))
    host.write(
        "/etc/nginx/conf.d/stapled.conf", "ssl_stapling on;\nssl_stapling_file /etc/nginx/stapled.der;\n"
    )
    host.run(["systemctl", "reload", "nginx"])
    yield host
    host.run(["rm", "/etc/nginx/conf.d/stapled.conf", "/etc/nginx/stapled.der"])
    host.run(["systemctl", "reload", "nginx"])


def test_a_stapled_response_is_seen_and_its_absence_too(small_lab: Lab, stapling: LabHost) -> None:
    endpoints = [one for one in of_sites(small_lab) if one["id"] in {"www", "wiki"}]
    deadline = time.monotonic() + 20
    while True:  # the workers of before the reload end one by one
        result = ask(small_lab, endpoints=endpoints, stapling=True)
        seen = {one["id"]: one["stapling"] for one in result["endpoints"]}
        if seen["www"]["status"] != "none" or time.monotonic() > deadline:
            break
    assert seen["www"]["status"] == "good"
    assert seen["www"]["next_update"] > datetime.now(UTC).isoformat()
    assert seen["wiki"] == {"status": "none", "this_update": None, "next_update": None}
    assert stapling.name == "web1"


def test_the_playbook_says_what_answers(small_lab: Lab) -> None:
    web = small_lab.hosts["web1"].address
    variables = json.dumps(
        {"probe_networks": [web], "probe_ports": [443, 9], "probe_names": ["www.lab.test"]}
    )
    done = by_hand.playbook(small_lab, "probe", ["-e", variables])
    assert f"{web}:443 www.lab.test: until 20" in done.stdout
    assert "2 places looked at: 1 closed" in done.stdout
