"""T11: files that are reached by links, that have several names, or that something is mounted on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.deploy.conftest import Target

ARCHIVE = "/etc/ssl/archive"


@contextmanager
def moved_behind_links(drawn: Target, *, relative: bool) -> Iterator[dict[str, str]]:
    """Each file lies in an archive, and a link in its old place leads there, as certbot has it."""
    places = {file.path: f"{ARCHIVE}/{file.path.rpartition('/')[2]}" for file in drawn.site.files}
    drawn.host.run(["mkdir", "-p", ARCHIVE])
    for path, place in places.items():
        drawn.host.run(["mv", path, place])
        drawn.host.run(["ln", "-s", *(["-r"] if relative else []), place, path])
    try:
        yield places
    finally:
        for path, place in places.items():
            drawn.host.run(["mv", "-f", place, path])
        drawn.host.run(["rm", "-rf", ARCHIVE])


@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
def test_t11_a_symbolic_link_stays_and_what_it_leads_to_is_replaced(drawn: Target, relative: bool) -> None:
    with moved_behind_links(drawn, relative=relative) as places:
        links = {path: drawn.host.run(["readlink", path]).stdout for path in places}
        issued = drawn.issue()
        assert drawn.deploy(issued)["state"] == "deployed"
        assert drawn.served() == issued.fingerprint
        assert {path: drawn.host.run(["readlink", path]).stdout for path in places} == links
        assert all(drawn.host.run(["test", "-h", place], check=False).returncode for place in places.values())
        assert not drawn.left()


def test_t11_a_link_that_leads_nowhere_gets_a_file_at_its_end(drawn: Target) -> None:
    """The server still runs with what it has in memory; its configuration test is what fails."""
    with moved_behind_links(drawn, relative=True) as places:
        path, place = next(iter(places.items()))
        drawn.host.run(["mv", place, f"{place}.away"])
        before = drawn.served()
        try:
            outcome = drawn.deploy(drawn.issue())
            assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
            assert drawn.served() == before
            assert not drawn.host.exists(place)
        finally:
            drawn.host.run(["mv", f"{place}.away", place])
        assert drawn.host.run(["readlink", "-f", path]).stdout.strip() == place


def test_t11_a_dangling_link_of_a_stopped_server_is_filled_with_a_private_file(nginx: Target) -> None:
    """Files that no server is known to read: their links stay, and what is missing at the end is made."""
    with moved_behind_links(nginx, relative=True) as places:
        place = places[nginx.path("key")]
        nginx.host.run(["systemctl", "stop", nginx.unit])
        nginx.host.run(["mv", place, f"{place}.away"])
        try:
            outcome = nginx.deploy(nginx.issue(), deployments=[nginx.wish(service="files", listeners=[])])
            assert outcome["state"] == "staged", outcome
            assert nginx.host.run(["stat", "-c", "%a %U", place]).stdout.strip() == "600 root"
        finally:
            nginx.host.run(["sh", "-c", f"test -e {place} || mv {place}.away {place}"])
            nginx.start_from_cold()


def test_t11_a_link_that_leads_to_itself_is_named_and_nothing_is_touched(drawn: Target) -> None:
    path = drawn.path("key", "combined")
    drawn.host.run(["mv", path, f"{path}.away"])
    drawn.host.run(["ln", "-s", path, path])
    try:
        before = drawn.snapshot()
        outcome = drawn.deploy(drawn.issue())
        assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "unreadable"), outcome
        assert path in outcome["message"]
        assert drawn.snapshot() == before
    finally:
        drawn.host.run(["mv", "-f", f"{path}.away", path])


def test_t11_all_names_of_a_file_show_the_new_content(drawn: Target) -> None:
    path = drawn.path("key", "combined")
    other = "/etc/ssl/other-name"
    drawn.host.run(["ln", path, other])
    inode = drawn.host.run(["stat", "-c", "%i %a %u %g", path]).stdout
    try:
        issued = drawn.issue()
        assert drawn.deploy(issued)["state"] == "deployed"
        assert drawn.served() == issued.fingerprint
        assert drawn.host.sha256(other) == drawn.host.sha256(path)
        assert drawn.host.run(["stat", "-c", "%i %a %u %g", path]).stdout == inode
    finally:
        drawn.host.run(["rm", other])


def test_t11_a_file_that_is_mounted_from_elsewhere_is_written_where_it_comes_from(drawn: Target) -> None:
    path = drawn.path("key", "combined")
    drawn.host.run(["cp", "-a", path, "/etc/ssl/source"])
    drawn.host.run(["mount", "--bind", "/etc/ssl/source", path])
    drawn.start_from_cold()  # a server in a mount name space of its own does not see what came after it
    try:
        issued = drawn.issue()
        assert drawn.deploy(issued)["state"] == "deployed"
        assert drawn.served() == issued.fingerprint
        assert drawn.host.sha256("/etc/ssl/source") == drawn.host.sha256(path)
    finally:
        drawn.host.run(["cp", "/etc/ssl/source", "/etc/ssl/kept"])
        drawn.host.run(["systemctl", "stop", drawn.unit])
        drawn.host.run(["umount", path])
        drawn.host.run(["cp", "/etc/ssl/kept", path])
        drawn.host.run(["rm", "/etc/ssl/source", "/etc/ssl/kept"])
        drawn.start_from_cold()


@pytest.mark.parametrize("point", ["swapped-0", "tested"])
def test_t11_a_kill_while_a_file_with_two_names_was_written_is_put_right(drawn: Target, point: str) -> None:
    path = drawn.path("key", "combined")
    drawn.host.run(["ln", path, "/etc/ssl/other-name"])
    before = drawn.snapshot()
    try:
        drawn.fail_at(point, "raise")
        outcome = drawn.deploy(drawn.issue())
        assert outcome["state"] == "rolled_back"
        # An inode that was written has another time, and nothing else.
        assert _without_times(drawn.snapshot()) == _without_times(before)
    finally:
        drawn.host.run(["rm", "/etc/ssl/other-name"])


def _without_times(snapshot: str) -> list[list[str]]:
    return [line.split(" ")[:8] for line in snapshot.splitlines()]
