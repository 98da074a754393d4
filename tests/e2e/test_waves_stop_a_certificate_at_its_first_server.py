"""One certificate on several servers: the first one decides whether the others are touched."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Story
from tests.lab.fleet import Fleet, Host, Service, Site
from tests.lab.lab import Lab
from tests.plane import ENDED, ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVERS = ("web1", "web2", "web3")
FLEET = Fleet(
    "waves",
    hosts=(Host("issuer", issuer=True), *(Host(name, (Service.NGINX,)) for name in SERVERS)),
    sites=(
        Site("shared", ("shared.lab.test",), SERVERS),
        Site("other", ("other.lab.test",), SERVERS[1:]),
    ),
)
DEAF = "/run/systemd/system/nginx.service.d/deaf.conf"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Three servers behind one certificate; two of them have another one too."""
    with (
        Lab.up(f"waves-{os.getpid()}", FLEET, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, tmp_path_factory.mktemp("plane"), profile="default") as plane,
    ):
        text = lab.inventory.read_text(encoding="utf-8")
        lab.inventory.write_text(text.replace("  vars:\n", "  vars:\n    deploy_verify_seconds: 3\n", 1))
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.scan()
        plane.adopt(lab.sites)
        yield Story(lab, plane)


def served(lab: Lab, key: str) -> dict[str, str]:
    """What each server of a site shows to a client."""
    site = lab.site(key)
    return {host: lab.served_site(site, host) for host in site.hosts}


def on_disk(lab: Lab, host: str) -> dict[str, str]:
    """The shared certificate's files on one host: their content, and whether they were ever renamed over."""
    paths = [file.path for file in lab.site("shared").files]
    stats = lab.hosts[host].run(["stat", "-c", "%n %i %Y %Z", *paths]).stdout
    return {"stats": stats, **{path: lab.hosts[host].sha256(path) for path in paths}}


@contextmanager
def deaf(lab: Lab, host: str) -> Iterator[None]:
    """The server's reload says that all is well and does nothing, as long as it lasts."""
    lab.hosts[host].write(DEAF, "[Service]\nExecReload=\nExecReload=/bin/true\n")
    lab.hosts[host].run(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        lab.hosts[host].run(["rm", DEAF])
        lab.hosts[host].run(["systemctl", "daemon-reload"])


@contextmanager
def clients(lab: Lab, key: str) -> Iterator[set[tuple[str, str]]]:
    """Clients of each server of a site, all the time; what they were shown, or why they were not."""
    seen: set[tuple[str, str]] = set()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            for host in lab.site(key).hosts:
                try:
                    seen.add((host, lab.served_site(lab.site(key), host)))
                except OSError as error:
                    seen.add((host, str(error)))
            over.wait(0.2)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def places(story: Story) -> dict[str, dict[str, Any]]:
    """What the control plane knows of the shared certificate on each server."""
    return {place["server"]: place for place in story.certificate("shared")["places"]}


def of_shared(story: Story, job: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """How a job's deployments of the shared certificate ended: by server, the state and the reason."""
    key = story.certificate("shared")["key"]
    return {
        str(item["server"]): (item["state"], item["reason"])
        for item in job["details"]
        if item["deployment"] and item["certificate"] == key
    }


def test_only_the_first_server_is_touched_and_the_others_follow_when_it_is_mended(story: Story) -> None:
    lab, plane = story.lab, story.plane
    before = {key: story.certificate(key)["fingerprint"] for key in ("shared", "other")}
    shared, disk = served(lab, "shared"), {host: on_disk(lab, host) for host in SERVERS}
    orders = lab.ca.orders()
    with deaf(lab, "web1"), clients(lab, "shared") as seen:
        plane.cli("renew", *(story.certificate(key)["key"] for key in before))
        plane.wait_until(lambda: story.newest_job("renew")["state"] in ENDED, "the renewal does not end")
        told = plane.cli("tick")
    assert seen == set(shared.items()), "nobody was ever shown anything else, or nothing"
    assert of_shared(story, story.newest_job("renew")) == {
        "web1": ("failed", "not_served"),
        "web2": ("skipped", "earlier_wave_failed"),
        "web3": ("skipped", "earlier_wave_failed"),
    }
    assert {host: on_disk(lab, host) for host in SERVERS[1:]} == {host: disk[host] for host in SERVERS[1:]}
    assert {name: digest for name, digest in on_disk(lab, "web1").items() if name != "stats"}.items() <= disk[
        "web1"
    ].items()
    assert story.done({"other": before["other"]}), "the other certificate of the run has arrived everywhere"

    assert told.strip() == "nothing is due", "the first server waits for its next try, the others for it"
    found = places(story)
    assert found["web1"]["next_step"]["code"] == "backing_off"
    for server in SERVERS[1:]:
        assert (found[server]["failures"], found[server]["next_step"]["code"]) == (0, "held_back")
        assert (
            "waits for web1, which did not take it, tried again at" in found[server]["next_step"]["sentence"]
        )

    story.let_back_offs_pass()
    story.wait_until_done({"shared": before["shared"]})
    second, first = [of_shared(story, job) for job in plane.jobs() if job["kind"] == "deploy"]
    assert first == {"web1": ("succeeded", "deployed")}, "it goes alone"
    assert second == dict.fromkeys(SERVERS[1:], ("succeeded", "deployed"))
    assert lab.ca.orders() - orders == 2, "one order for each certificate, however often it was deployed"
