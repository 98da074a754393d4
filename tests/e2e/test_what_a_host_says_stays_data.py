"""S4, L: a value that comes from a host is inert wherever it goes: stored, shown, in plans, on hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Story
from tests.lab.fleet import Fleet, Host, Service, Site
from tests.lab.lab import Lab
from tests.plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "/tmp/notafter-canary"
#: Folder names that a host may choose; each would touch the canary where it is taken for more than a name.
HOSTILE = {
    "jinja": "{{ lookup('pipe', 'touch " + CANARY + "') }}",
    "quote": "'; touch " + CANARY + "; '",
    "dollar": "$(touch " + CANARY + ")",
    "backtick": "`touch " + CANARY + "`",
}
FLEET = Fleet(
    "hostile",
    hosts=(Host("issuer", issuer=True), Host("web1", (Service.NGINX,))),
    sites=(Site("www", ("www.lab.test",), ("web1",)),),
)


def quoted(text: str) -> str:
    """A text as nginx wants it between double quotes; `$` would be a variable and is left out of paths."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plant(lab: Lab) -> dict[str, str]:
    """Gives web1 server blocks whose paths and names are hostile; returns the folder of each."""
    host, site = lab.hosts["web1"], lab.site("www")
    folders = {}
    text = ""
    for number, (kind, words) in enumerate(HOSTILE.items()):
        folder = "/etc/ssl/" + words.replace("/", "_")
        folders[kind] = folder
        for file in site.files:
            host.run(["mkdir", "-p", folder])
            host.run(["cp", "-a", file.path, f"{folder}/{Path(file.path).name}"])
        if "$" in folder:
            continue  # to nginx that is a variable, and no certificate is served from there
        text += (
            f"server {{ listen {9000 + number} ssl; server_name www.lab.test {quoted(words)};\n"
            f"  ssl_certificate {quoted(folder + '/fullchain.pem')};\n"
            f"  ssl_certificate_key {quoted(folder + '/privkey.pem')}; }}\n"
        )
    host.write("/etc/nginx/conf.d/hostile.conf", text)
    host.run(["nginx", "-t"])
    host.run(["systemctl", "reload", "nginx"])
    return folders


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A host that names its folders and servers as an attacker would."""
    with (
        Lab.up(f"hostile-{os.getpid()}", FLEET, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, tmp_path_factory.mktemp("plane"), profile="default") as plane,
    ):
        plant(lab)
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.scan()
        plane.adopt(lab.sites)
        yield Story(lab, plane)


def test_hostile_paths_and_names_are_found_adopted_deployed_to_and_never_run(hostile: Story) -> None:
    story, lab = hostile, hostile.lab
    Path(CANARY).unlink(missing_ok=True)
    certificate = story.certificate("www")
    paths = [place["path"] for place in certificate["places"]]
    for kind in ("jinja", "quote", "backtick"):
        assert any(path.startswith("/etc/ssl/" + HOSTILE[kind].replace("/", "_")) for path in paths), kind

    before = story.renew("www")
    story.wait_until_done(before)
    newest = story.certificate("www")
    served = [place for place in newest["places"] if place["service"] == "nginx"]
    assert {place["live_fingerprint"] for place in served} == {newest["fingerprint"]}
    assert {place["file_fingerprint"] for place in newest["places"]} == {newest["fingerprint"]}
    for number, kind in enumerate(HOSTILE):
        if "$" not in HOSTILE[kind]:
            assert lab.served("web1", 9000 + number, "www.lab.test") == newest["fingerprint"], kind

    assert not Path(CANARY).exists(), "on the controller"
    for host in lab.hosts.values():
        assert not host.exists(CANARY), host.name
