"""A scan by a job and a scan by hand know the same; what somebody did to a host is told with its cause."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from notafter.store import certificates

from tests import by_hand
from tests.e2e.conftest import Story
from tests.lab.fleet import Fleet, Host, KeyType, Service, Site
from tests.lab.lab import Lab
from tests.plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NGINX = Service.NGINX
FLEET = Fleet(
    "told",
    hosts=(
        Host("issuer", issuer=True),
        Host("web1", (NGINX,)),
        Host("web2", (NGINX,)),
        Host("haproxy1", (Service.HAPROXY,)),
    ),
    sites=(
        Site("api-rsa", ("api.lab.test",), ("web1",), key_type=KeyType.RSA_2048),
        Site("api-ec", ("api.lab.test",), ("web1",)),
        Site("portal", ("portal.lab.test",), ("web1",)),
        Site("blog", ("blog.lab.test",), ("web2",)),
        Site("edge", ("edge.lab.test",), ("haproxy1",), Service.HAPROXY),
    ),
)
IMPOSTOR = """
import ssl, socket, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/ssl/blog/fullchain.pem.other", "/etc/ssl/blog/privkey.pem.other")
door = socket.create_server(("0.0.0.0", 443))
while True:
    connection, _ = door.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A fleet that was scanned; one certificate of it is ours and was renewed once."""
    with (
        Lab.up(f"told-{os.getpid()}", FLEET, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, tmp_path_factory.mktemp("plane"), profile="default") as plane,
    ):
        inventory = plane.folder / "inventory.yml"  # a copy: the story renames a host in it
        inventory.write_text(lab.inventory.read_text(encoding="utf-8"), encoding="utf-8")
        plane.environment["NOTAFTER_INVENTORY"] = str(inventory)
        plane.environment["NOTAFTER_TICK_SECONDS"] = "1"
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.cli("scan", "--json")
        plane.adopt([lab.site("portal")])
        story = Story(lab, plane)
        story.wait_until_done(story.renew("portal"))
        yield story


@pytest.fixture
def fleet(told: Story) -> Iterator[Story]:
    """The fleet before and after a test: nothing is open, and what a scan says is well."""
    told.plane.wait_until(told.settled, "a job of an earlier test does not end", 120)
    yield told
    told.plane.cli("scan", "--json", check=False)


def findings(story: Story, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = story.plane.ask("GET", f"/api/v1/findings?limit=200{query}")["items"]
    return found


def kinds(story: Story, server: str) -> set[str]:
    return {one["kind"] for one in findings(story, f"&server={server}")}


def scan(story: Story, *names: str) -> dict[str, Any]:
    """What the command line reports of a scan that it asks for."""
    found: dict[str, Any] = json.loads(story.plane.cli("scan", *names, "--json"))
    return found


def scan_by_hand(story: Story, folder: Path, **environment: str) -> str:
    """What a person sees who runs the playbook with the callback."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(story.plane.token)
    done = by_hand.playbook(
        story.lab,
        "scan",
        ["-i", str(story.lab.inventory)],
        extra={
            "ANSIBLE_CALLBACKS_ENABLED": "notafter.tls.report",
            "NOTAFTER_REPORT_URL": f"http://127.0.0.1:{story.plane.port}",
            "NOTAFTER_REPORT_TOKEN_FILE": str(token),
            **environment,
        },
    )
    return done.stdout + done.stderr


@contextmanager
def kept(story: Story, host: str, *paths: str) -> Iterator[None]:
    """Files as they were, and the server with them, whatever a test does to them."""
    machine = story.lab.hosts[host]
    before = {path: machine.read_bytes(path) for path in paths}
    try:
        yield
    finally:
        for path, content in before.items():
            machine.write(path, content)
        machine.run(["systemctl", "restart", "nginx"])


def test_a_scan_reports_what_is_where_what_expires_and_what_nobody_manages(fleet: Story) -> None:
    report = scan(fleet)
    where = {(one["server"], one["file"]): one for one in report["places"]}
    assert len(where) == len(FLEET.sites)
    portal = where["web1", "/etc/ssl/portal/fullchain.pem"]
    assert (portal["managed_by"], portal["state"]) == ("notafter", "in_sync")
    assert all(one["state"] == "in_sync" for one in report["places"]), report["findings"]
    assert {(one["server"], one["kind"]) for one in report["findings"] if one["service"]} == {
        ("web1", "not_managed"),
        ("web2", "not_managed"),
        ("haproxy1", "not_managed"),
    }
    text = fleet.plane.cli("scan", "web2")
    for told in ("1 certificates in 1 places on 1 servers", "What is wrong", "What nobody manages", "blog"):
        assert told in text
    assert "web1" not in text, "who asks for one server hears of one"


def test_a_scan_by_hand_tells_the_same_and_no_secret(fleet: Story, tmp_path: Path) -> None:
    scan(fleet)
    own = findings(fleet)
    said = scan_by_hand(fleet, tmp_path)
    assert "report to the control plane: 3 results put on record" in said
    assert findings(fleet) == own
    newest = fleet.plane.jobs()[0]
    assert (newest["kind"], newest["requested_by"], newest["message"]) == (
        "report",
        "token:tests",
        "scan.yml",
    )
    assert {item["server"] for item in newest["details"]} == {"web1", "web2", "haproxy1"}
    assert fleet.plane.token not in said


def test_a_control_plane_that_cannot_be_told_is_nothing_to_the_run(fleet: Story, tmp_path: Path) -> None:
    before = len(fleet.plane.jobs())
    for environment, told in (
        ({"NOTAFTER_REPORT_URL": "http://127.0.0.1:1"}, "cannot be told"),
        ({"NOTAFTER_REPORT_URL": "http://plane.example"}, "use https"),
        ({"NOTAFTER_REPORT_URL": ""}, "set NOTAFTER_REPORT_URL"),
        ({"NOTAFTER_REPORT_TOKEN_FILE": "/no/such/file"}, "No such file"),
        ({"NOTAFTER_REPORT_CA_BUNDLE": "/no/such/file"}, "no CA bundle"),
    ):
        said = " ".join(scan_by_hand(fleet, tmp_path, **environment).split())
        assert told in said
        assert "failed=0" in said
    assert len(fleet.plane.jobs()) == before


def test_a_job_of_the_control_plane_is_not_reported_again(fleet: Story, tmp_path: Path) -> None:
    extra = tmp_path / "job.json"
    extra.write_text(json.dumps({"notafter_job": {"id": 1, "api_url": "http://x", "token_file": "/x"}}))
    done = by_hand.playbook(
        fleet.lab,
        "scan",
        ["-i", str(fleet.lab.inventory), "-e", f"@{extra}"],
        extra={"ANSIBLE_CALLBACKS_ENABLED": "notafter.tls.report"},
    )
    assert "report to the control plane" not in done.stdout + done.stderr


def test_a_file_that_somebody_swapped_without_a_reload_is_told_so(fleet: Story) -> None:
    host = fleet.lab.hosts["web1"]
    chain, key = "/etc/ssl/api-ec/fullchain.pem", "/etc/ssl/api-ec/privkey.pem"
    with kept(fleet, "web1", chain, key):
        host.write(
            "/root/new.sh",
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9"
            f" -subj / -addext subjectAltName=DNS:api.lab.test -keyout {key} -out {chain}\n",
        )
        host.run(["sh", "/root/new.sh"])
        scan(fleet, "web1")
        (one,) = findings(fleet, "&kind=not_reloaded")
        assert (one["server"], one["names"]) == ("web1", ["api.lab.test"])
        assert "reload nginx" in one["sentence"]
        host.run(["systemctl", "reload", "nginx"])
        scan(fleet, "web1")
        assert "not_reloaded" not in kinds(fleet, "web1")
    scan(fleet, "web1")
    assert kinds(fleet, "web1") == {"not_managed"}


def test_a_file_of_ours_that_somebody_has_overwritten_is_told_and_put_right(fleet: Story) -> None:
    host, site = fleet.lab.hosts["web1"], fleet.site("portal")
    ours = fleet.certificate("portal")["fingerprint"]
    with fleet.rows() as session:  # as if a deploy had just failed: what is wrong stays for a moment
        row = certificates.by_key(session, fleet.certificate("portal")["key"])
        row.deployments[0].next_attempt_at = datetime.now(UTC) + timedelta(hours=1)
    for old, new in zip(fleet.site("api-ec").files, site.files, strict=True):
        host.run(["cp", old.path, new.path])
    host.run(["systemctl", "reload", "nginx"])
    scan(fleet, "web1")
    (one,) = findings(fleet, "&kind=overwritten")
    assert one["certificate"] == fleet.certificate("portal")["key"]
    assert ours[:16] in one["sentence"]
    (place,) = fleet.certificate("portal")["places"]
    assert (place["difference"]["cause"], place["sync"]) == ("overwritten", "behind")
    fleet.let_back_offs_pass()
    fleet.plane.wait_until(lambda: fleet.served("portal") == {ours}, "ours is not put back", 120)
    fleet.plane.wait_until(fleet.settled, "the deploy does not end", 60)
    assert findings(fleet, "&kind=overwritten") == []


def test_another_server_that_answers_in_its_place_is_named(fleet: Story) -> None:
    host = fleet.lab.hosts["web2"]
    host.write("/root/other.py", IMPOSTOR)
    host.write(
        "/root/new.sh",
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /"
        " -addext subjectAltName=DNS:blog.lab.test -keyout /etc/ssl/blog/privkey.pem.other"
        " -out /etc/ssl/blog/fullchain.pem.other\n",
    )
    host.run(["sh", "/root/new.sh"])
    host.run(["systemctl", "stop", "nginx"])
    try:
        scan(fleet, "web2")
        (silent,) = findings(fleet, "&kind=not_served")
        assert "nginx does not run" in silent["sentence"]
        host.run(["systemd-run", "--unit=impostor", "/usr/bin/python3", "/root/other.py"])
        host.wait_until(
            lambda: fleet.lab.call(lambda: connects(host.address)), "the other does not listen", 60
        )
        scan(fleet, "web2")
        (one,) = findings(fleet, "&kind=served_by_another")
        assert (one["server"], one["names"]) == ("web2", ["blog.lab.test"])
        assert "python3 answers" in one["sentence"]
    finally:
        host.run(["systemctl", "stop", "impostor"], check=False)
        host.run(["rm", "-f", "/etc/ssl/blog/privkey.pem.other", "/etc/ssl/blog/fullchain.pem.other"])
        host.run(["systemctl", "start", "nginx"])
    scan(fleet, "web2")
    assert kinds(fleet, "web2") == {"not_managed"}


def test_a_renamed_host_keeps_what_is_known_of_it_and_a_clone_is_told(fleet: Story, tmp_path: Path) -> None:
    plane, portal = fleet.plane, fleet.certificate("portal")
    inventory = plane.folder / "inventory.yml"
    before = inventory.read_text(encoding="utf-8")
    inventory.write_text(before.replace("web1:", "shop1:"), encoding="utf-8")
    try:
        scan(fleet)
        names = [one["name"] for one in plane.ask("GET", "/api/v1/servers?limit=200")["items"]]
        assert sorted(names) == ["haproxy1", "shop1", "web2"]
        renamed = plane.ask("GET", f"/api/v1/certificates/{portal['id']}")
        assert [place["server"] for place in renamed["places"]] == ["shop1"]
        assert (renamed["adopted"], renamed["places"][0]["sync"]) == (True, "in_sync")
        assert len(plane.certificates()) == len(FLEET.sites), "no second set of anything"
        plane.ask("POST", f"/api/v1/certificates/{portal['id']}/renew")
        plane.wait_until(lambda: renewed(fleet, portal), "it is not renewed under its new name", 150)
        said = scan_by_hand(fleet, tmp_path)
        assert "3 results put on record" in said, "a laptop's inventory has the old name"
        assert kinds(fleet, "web1") == {"same_machine"}
        assert len(plane.certificates()) == len(FLEET.sites)
    finally:
        inventory.write_text(before, encoding="utf-8")
    scan(fleet)
    assert [place["server"] for place in fleet.certificate("portal")["places"]] == ["web1"], "and back"

    web1, web2 = fleet.lab.hosts["web1"], fleet.lab.hosts["web2"]
    own = web2.read("/etc/machine-id")
    web2.write("/etc/machine-id", web1.read("/etc/machine-id"))
    try:
        scan(fleet)
        found = findings(fleet, "&kind=clone")
        assert sorted(one["server"] for one in found) == ["web1", "web2"]
        assert {place["server"] for one in plane.certificates() for place in one["places"]} == {
            "web1",
            "web2",
            "haproxy1",
        }
    finally:
        web2.write("/etc/machine-id", own)
    scan(fleet)
    assert findings(fleet, "&kind=clone") == []


def renewed(story: Story, before: dict[str, Any]) -> bool:
    """Whether a certificate has a new version and serves it."""
    now = story.plane.ask("GET", f"/api/v1/certificates/{before['id']}")
    if now["fingerprint"] == before["fingerprint"] or not story.settled():
        return False
    return story.served("portal") == {now["fingerprint"]}


def connects(address: str) -> bool:
    """Whether something listens for HTTPS there."""
    try:
        socket.create_connection((address, 443), timeout=2).close()
    except OSError:
        return False
    return True
