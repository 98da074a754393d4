"""Scans recorded: identity is the fingerprint; what is ours stays ours."""

from typing import Any

import pytest
from notafter.domain.certificate import Challenge, ChallengeType
from notafter.domain.errors import Conflict
from notafter.lifecycle import request
from notafter.lifecycle.adopt import Terms, adopt
from notafter.runner import results
from notafter.store import certificates, jobs, servers, versions

from tests.factories import DAY, binding, fingerprint, scan_result
from tests.integration.controlplane.stage import Stage


def names_of(stage: Stage) -> dict[str, list[str]]:
    with stage.database.read() as session:
        return {
            row.key: [f"{place.server.name}:{place.path}" for place in row.deployments]
            for row in certificates.page(session, 0, 100)
        }


def test_the_same_bytes_on_two_servers_are_one_certificate_with_two_places(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for host in ("web1", "web2"):
        stage.found(host, (pem, binding(pem)))
    assert names_of(stage) == {"crt-1": ["web1:/etc/ssl/shop.pem", "web2:/etc/ssl/shop.pem"]}


def test_a_pair_on_one_vhost_is_two_certificates(stage: Stage) -> None:
    ec = stage.ca.issue("shop.example").certificate
    rsa = stage.ca.issue("shop.example", key_type="rsa-2048").certificate
    stage.found("web1", (ec, binding(ec, "/ec.pem")), (rsa, binding(rsa, "/rsa.pem")))
    assert names_of(stage) == {"crt-1": ["web1:/ec.pem"], "crt-2": ["web1:/rsa.pem"]}


def test_two_aliases_of_a_keystore_are_two_places_that_stay_apart(stage: Stage) -> None:
    pems = {name: stage.ca.issue(f"{name}.example").certificate for name in ("shop", "blog")}
    for _ in range(2):
        rows = [(pem, binding(pem, "/s.p12", service="tomcat")) for pem in pems.values()]
        for alias, (_pem, row) in zip(pems, rows, strict=True):
            row["files"] = [{"path": "/s.p12", "kind": "pkcs12", "sha256": "cd" * 32, "alias": alias}]
        stage.found("web1", *rows)
    assert names_of(stage) == {"crt-1": ["web1:/s.p12#shop"], "crt-2": ["web1:/s.p12#blog"]}
    with stage.database.read() as session:
        places = [certificates.get(session, number).deployments[0] for number in (1, 2)]
        assert [place.file_fingerprint for place in places] == [fingerprint(pem) for pem in pems.values()]
        assert [place.files[0]["path"] for place in places] == ["/s.p12", "/s.p12"]


def test_scanning_twice_changes_nothing(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for _ in range(2):
        stage.found("web1", (pem, binding(pem)))
    assert names_of(stage) == {"crt-1": ["web1:/etc/ssl/shop.pem"]}


def test_somebody_elses_renewal_is_a_new_version_of_the_same_certificate(stage: Stage) -> None:
    old = stage.ca.issue("shop.example", start=-60 * DAY).certificate
    new = stage.ca.issue("shop.example", start=-DAY).certificate
    stage.found("web1", (old, binding(old)))
    stage.found("web1", (new, binding(new)))
    assert names_of(stage) == {"crt-1": ["web1:/etc/ssl/shop.pem"]}
    with stage.database.read() as session:
        row = certificates.get(session, 1)
        assert len(versions.of_certificate(session, 1)) == 2
        assert row.current is not None
        assert row.current.fingerprint == fingerprint(new)


def test_another_wish_at_the_same_place_is_another_certificate(stage: Stage) -> None:
    shop = stage.ca.issue("shop.example").certificate
    blog = stage.ca.issue("blog.example").certificate
    stage.found("web1", (shop, binding(shop)))
    stage.found("web1", (blog, binding(blog)))
    assert names_of(stage) == {"crt-1": [], "crt-2": ["web1:/etc/ssl/shop.pem"]}


def test_what_is_adopted_stays_ours_whatever_lies_there_and_is_behind(stage: Stage) -> None:
    shop = stage.ca.issue("shop.example").certificate
    stage.found("web1", (shop, binding(shop)))
    stage.adopt_all()
    other = stage.ca.issue("evil.example").certificate
    stage.found("web1", (other, binding(other)))
    assert names_of(stage) == {"crt-1": ["web1:/etc/ssl/shop.pem"]}
    with stage.database.read() as session:
        assert certificates.get(session, 1).deployments[0].file_fingerprint == fingerprint(other)


def test_a_place_that_is_gone_is_absent_until_it_is_seen_again(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    stage.found("web1")
    with stage.database.read() as session:
        assert certificates.get(session, 1).deployments[0].absent_since is not None
    stage.found("web1", (pem, binding(pem)))
    with stage.database.read() as session:
        assert certificates.get(session, 1).deployments[0].absent_since is None


@pytest.mark.parametrize(
    "partial",
    [{"left_out": 1}, {"server": {"services": [{"name": "nginx", "version": "1.22", "incomplete": True}]}}],
)
def test_what_a_scan_did_not_get_to_is_not_taken_for_gone(stage: Stage, partial: dict[str, Any]) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    stage.report(stage.claim(), results.scanned("web1", {**scan_result(), **partial}))
    with stage.database.read() as session:
        assert certificates.get(session, 1).deployments[0].absent_since is None
        assert "not all of it" in (jobs.page(session, None, 1)[0].items[0].message or "")


def test_a_missing_or_broken_certificate_is_a_problem_of_the_server(stage: Stage) -> None:
    broken = binding(None)
    broken["problems"] = [{"kind": "missing", "message": "no such file"}]
    stage.found("web1", (None, broken))
    assert names_of(stage) == {}
    with stage.database.read() as session:
        (problem,) = servers.by_name(session, "web1").problems
        assert (problem["kind"], problem["service"]) == ("missing", "nginx")


def test_hostile_names_are_stored_as_they_are_and_cannot_be_adopted(stage: Stage) -> None:
    nasty = "{{ lookup('pipe','touch /tmp/x') }}"
    pem = stage.ca.issue(nasty, "a';id;'").certificate
    stage.found("web1", (pem, binding(pem, names=(nasty,))))
    assert stage.adopt_all() == []
    with stage.database.read() as session:
        assert certificates.get(session, 1).names == [nasty, "a';id;'"]


def test_what_a_server_renews_by_itself_is_watched_and_followed_and_nobody_else_may_renew_it(
    stage: Stage,
) -> None:
    pems = [stage.ca.issue("shop.example").certificate for _ in range(2)]
    for pem in pems:
        found = binding(pem, "/acme.json", service="traefik", names=("shop.example",))
        found |= {"config_file": "/acme.json", "files": [], "managed_by": "traefik"}
        stage.found("web1", (pem, found))
    assert names_of(stage) == {"crt-1": ["web1:/acme.json#shop.example"]}
    with stage.database.read() as session:
        row = certificates.get(session, 1)
        assert row.current is not None
        assert row.current.fingerprint == fingerprint(pems[-1]), "its own renewal is a version of the same"
    assert stage.adopt_all() == []
    terms = Terms(account="main", challenge=Challenge(ChallengeType.DNS_01, "dns_x"), credential="main")
    with stage.database.write() as session, pytest.raises(Conflict, match="a store of traefik's own"):
        adopt(session, [1], terms, stage.clock())
