"""Scans after the first: ours stays ours, and what somebody changed is looked at before it is touched."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.authority import Authority, pem_of
from tests.e2e.conftest import Story
from tests.lab.fleet import Fleet, Host, KeyType, Service, Site
from tests.lab.lab import Lab
from tests.plane import CREDENTIAL, ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = Service.NGINX
FLEET = Fleet(
    "changing",
    hosts=(Host("issuer", issuer=True), Host("web1", (NGINX,)), Host("web2", (NGINX,))),
    sites=(
        Site("api-rsa", ("api.lab.test",), ("web1",), key_type=KeyType.RSA_2048),
        Site("api-ec", ("api.lab.test",), ("web1",)),
        Site("portal", ("portal.lab.test",), ("web1", "web2")),
        Site("shop", ("shop.lab.test",), ("web2",)),
    ),
)
PORTAL_CHAIN, PORTAL_KEY = "/etc/ssl/portal/fullchain.pem", "/etc/ssl/portal/privkey.pem"
LIMIT_CONF, LIMIT_PEM = "/etc/nginx/conf.d/limit.conf", "/etc/nginx/limit.pem"


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """An RSA and an ECDSA certificate on one virtual host, one certificate on two hosts, one more."""
    with (
        Lab.up(f"changing-{os.getpid()}", FLEET, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, tmp_path_factory.mktemp("plane"), profile="default") as plane,
    ):
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.scan()
        plane.adopt(lab.sites)
        yield Story(lab, plane)


@pytest.fixture
def changing(raised: Story) -> Iterator[Story]:
    """The fleet before and after a test: scanned, and all is at rest."""
    raised.plane.wait_until(raised.at_rest, "what an earlier test broke off is not taken up", 120)
    raised.plane.scan()
    yield raised
    raised.forget_failpoints()


def by_server(job: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """What became of each deployment of a job."""
    return {
        item["server"]: (item["state"], item["reason"])
        for item in job["details"]
        if item["subject"] == "deployment"
    }


def test_a_pair_is_two_certificates_a_shared_one_has_two_places_and_stays_so(changing: Story) -> None:
    story, keys = changing, [site.key for site in FLEET.sites]
    known = {key: story.certificate(key)["key"] for key in keys}
    assert len(set(known.values())) == len(keys)
    assert {one["key"] for one in story.plane.certificates()} == set(known.values())
    assert (story.certificate("api-rsa")["key_type"], story.certificate("api-ec")["key_type"]) == (
        "rsa-2048",
        "ec-256",
    )
    assert sorted(place["server"] for place in story.certificate("portal")["places"]) == ["web1", "web2"]
    versions = {key: len(story.certificate(key)["versions"]) for key in keys}

    before = {key: story.certificate(key)["fingerprint"] for key in keys}
    story.plane.cli("renew", *known.values())
    story.wait_until_done(before)
    story.plane.scan()
    assert {key: story.certificate(key)["key"] for key in keys} == known
    assert len(story.plane.certificates()) == len(keys), "what we deployed is no news"
    assert {key: len(story.certificate(key)["versions"]) - versions[key] for key in keys} == dict.fromkeys(
        keys, 1
    )
    assert all(place["sync"] == "in_sync" for one in story.plane.certificates() for place in one["places"])


def test_a_file_that_somebody_changed_since_the_scan_is_left_until_it_was_looked_at(changing: Story) -> None:
    story, host, orders = changing, changing.lab.hosts["web1"], changing.lab.ca.orders()
    mine = host.read(PORTAL_CHAIN) + "# somebody's remark\n"
    host.write(PORTAL_CHAIN, mine)
    before = story.renew("portal")
    told = story.wait_for_job(story.newest_job("renew")["id"])
    assert by_server(told) == {"web1": ("failed", "file_changed"), "web2": ("succeeded", "deployed")}
    assert host.read(PORTAL_CHAIN) == mine, "it was not touched"
    story.plane.wait_until(
        lambda: story.newest_job("scan")["id"] > told["id"], "the server is not looked at again", 60
    )
    look = story.wait_for_job(story.newest_job("scan")["id"])
    assert (look["requested_by"], look["state"]) == ("scheduler", "succeeded")
    assert [item["server"] for item in look["details"]] == ["web1"]
    story.let_back_offs_pass()
    story.wait_until_done(before)
    assert "remark" not in host.read(PORTAL_CHAIN)
    assert story.lab.ca.orders() - orders == 1, "a failed deploy never leads to another order"


def test_a_version_that_comes_while_an_older_one_is_deployed_is_deployed_after_it(changing: Story) -> None:
    story, plane, host = changing, changing.plane, changing.lab.hosts["web1"]
    before = story.renew("portal")
    story.wait_until_done(before)
    older = story.certificate("portal")["fingerprint"]
    host.run(["cp", "/etc/ssl/api-ec/fullchain.pem", PORTAL_CHAIN])
    host.run(["cp", "/etc/ssl/api-ec/privkey.pem", PORTAL_KEY])
    story.hold("web1", "staged")
    plane.ask("POST", "/api/v1/scan", {"servers": ["web1"]})
    story.wait_for_hold("web1")
    deploy = story.newest_job("deploy")
    assert deploy["reason"] == "behind"

    before = story.renew("portal")
    renewal = story.wait_for_job(story.newest_job("renew")["id"])
    assert by_server(renewal) == {"web2": ("succeeded", "deployed")}, "web1 is taken"
    assert story.job(deploy["id"])["state"] == "running", "the older version is still on its way"
    story.let_go("web1")
    deploy = story.wait_for_job(deploy["id"])
    (item,) = deploy["details"]
    assert (item["state"], item["after_fingerprint"]) == ("succeeded", older)
    story.wait_until_done(before)
    assert story.newest_job("deploy")["id"] > deploy["id"]


def test_a_ca_that_asks_for_patience_gets_it(changing: Story, tmp_path: Path) -> None:
    """Before the real CA stands a proxy that refuses orders as a CA does that has had enough of them."""
    story, plane, host = changing, changing.plane, changing.lab.hosts["web2"]
    orders, before = story.lab.ca.orders(), story.certificate("shop")
    limit(story, tmp_path)
    try:
        adopt(story, before["key"], "limited")
        told = story.wait_for_job(plane.ask("POST", f"/api/v1/certificates/{before['id']}/renew")["id"])
        now = story.certificate("shop")
    finally:
        host.run(["rm", LIMIT_CONF])
        host.run(["systemctl", "reload", "nginx"])
        adopt(story, before["key"], "lab")
    assert [(item["state"], item["reason"]) for item in told["details"]] == [
        ("deferred", "rate_limited"),
        ("skipped", "issue_failed"),
    ]
    assert now["next_step"]["code"] == "deferred"
    assert now["failures"] == 0, "to be sent away is no attempt"
    wait = datetime.fromisoformat(now["next_step"]["at"]) - datetime.now(UTC)
    assert 7000 < wait.total_seconds() <= 7200 + 600, "and a spread, so that not all come back at once"
    assert now["places"][0]["failures"] == 0
    assert story.lab.ca.orders() == orders
    story.wait_until_done({"shop": before["fingerprint"]})  # at the other account, which nobody has sent away


def adopt(story: Story, key: str, account: str) -> None:
    """Has a certificate renewed by this account from now on."""
    words = ["adopt", key, "--account", account, "--profile", "default", "--challenge", "dns-01"]
    story.plane.cli(*words, "--dns", CREDENTIAL)


def limit(story: Story, folder: Path) -> None:
    """Lets nginx on web2 hand everything to the CA but orders, and makes an account there."""
    host, authority = story.lab.hosts["web2"], Authority()
    issued = authority.issue(host.address)
    host.write(LIMIT_PEM, issued.certificate + issued.chain + issued.private_key)
    problem = json.dumps({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders"})
    upstream = story.lab.ca.directory_url.removesuffix("/dir")
    host.write(
        LIMIT_CONF,
        f"server {{ listen 14443 ssl; ssl_certificate {LIMIT_PEM}; ssl_certificate_key {LIMIT_PEM};\n"
        "  location = /order-plz { default_type application/problem+json;\n"
        f"    add_header Retry-After 7200 always; return 429 '{problem}'; }}\n"
        f"  location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; }} }}\n",
    )
    host.run(["nginx", "-t"])
    host.run(["systemctl", "reload", "nginx"])
    bundle = folder / "root.pem"
    bundle.write_text(pem_of(authority.root))
    directory = f"https://{host.address}:14443/dir"
    words = ["account", "create", "--name", "limited", "--directory", directory]
    story.plane.wait_until(lambda: created(story, [*words, "--bundle", str(bundle)]), "no account", 60)


def created(story: Story, words: list[str]) -> bool:
    """Whether the account could be made: the proxy needs a moment to listen."""
    return story.plane.cli(*words, check=False).startswith("0 ")
