"""One host unreachable, one with a configuration broken before we came, one whose reload does nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Story
from tests.lab.fleet import Fleet, Host, Service, Site
from tests.lab.lab import Lab
from tests.plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

NGINX = Service.NGINX
FLEET = Fleet(
    "trouble",
    hosts=(
        Host("issuer", issuer=True),
        *(Host(name, (NGINX,)) for name in ("good1", "good2", "gone", "broken", "deaf")),
    ),
    sites=tuple(
        Site(name, (f"{name}.lab.test",), (name,)) for name in ("good1", "good2", "gone", "broken", "deaf")
    ),
)
BAD = ("gone", "broken", "deaf")


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Five hosts; when their certificates are renewed, three of them cannot take the new one."""
    with (
        Lab.up(f"trouble-{os.getpid()}", FLEET, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, tmp_path_factory.mktemp("plane"), profile="default") as plane,
    ):
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.scan()
        plane.adopt(lab.sites)
        yield Story(lab, plane)


def bytes_on_disk(story: Story, key: str) -> dict[str, str]:
    """The digest of every file of a site."""
    site = story.site(key)
    return {file.path: story.lab.hosts[key].sha256(file.path) for file in site.files}


def place(story: Story, key: str) -> dict[str, Any]:
    """The one deployment of a site."""
    found: dict[str, Any] = story.certificate(key)["places"][0]
    return found


def test_the_others_are_finished_and_each_of_the_three_is_told_and_left_as_it_was(trouble: Story) -> None:
    story, lab, plane = trouble, trouble.lab, trouble.plane
    orders = lab.ca.orders()
    disk = {key: bytes_on_disk(story, key) for key in BAD}
    served = {key: story.served(key) for key in BAD}
    lab.hosts["broken"].write("/etc/nginx/conf.d/broken.conf", "this is no configuration\n")
    drop_in = "/run/systemd/system/nginx.service.d/deaf.conf"
    lab.hosts["deaf"].write(drop_in, "[Service]\nExecReload=\nExecReload=/bin/true\n")
    lab.hosts["deaf"].run(["systemctl", "daemon-reload"])
    lab.cut("gone")
    before = story.renew(*(site.key for site in lab.sites))
    plane.wait_until(lambda: story.done({key: before[key] for key in ("good1", "good2")}), "not renewed", 150)
    plane.wait_until(lambda: all(place(story, key)["failures"] > 0 for key in BAD), "not told", 120)

    told = {key: place(story, key) for key in BAD}
    why = told["gone"]["last_problem"]
    assert any(
        words in why for words in ("Connection timed out", "No route to host")
    )  # whichever is told first
    assert "broken before we came" in told["broken"]["last_problem"]
    assert "not the new certificate" in told["deaf"]["last_problem"]
    assert len({told[key]["last_problem"] for key in BAD}) == 3
    for key in BAD:
        assert told[key]["next_step"]["code"] == "backing_off"
        assert told[key]["next_step"]["at"] is not None
    assert story.newest_job("renew")["state"] == "failed"

    lab.heal("gone")
    for key in BAD:
        assert bytes_on_disk(story, key) == disk[key]
        assert story.served(key) == served[key]

    lab.hosts["broken"].run(["rm", "/etc/nginx/conf.d/broken.conf"])
    lab.hosts["deaf"].run(["rm", drop_in])
    lab.hosts["deaf"].run(["systemctl", "daemon-reload"])
    story.wait_until_done({key: before[key] for key in BAD}, 240)
    assert lab.ca.orders() - orders == 5, "one order for each certificate, however often it was deployed"
