"""A host with more certificates than one result can hold is scanned in pages, and recorded whole."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from tests import by_hand
from tests.authority import Authority
from tests.bench import vhosts
from tests.lab.fleet import Fleet, Host, Service
from tests.lab.lab import Lab
from tests.plane import ENDED, ControlPlane

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 1200
FLEET = Fleet("panel", (Host("panel1", (Service.NGINX,)), Host("web1", (Service.NGINX,))))


def places(plane: ControlPlane) -> dict[str, str]:
    """What there is to say of each known place on the large host, by its file."""
    rows: list[dict[str, Any]] = json.loads(plane.cli("deployments", "--json"))
    return {one["path"]: one["difference"] for one in rows if one["server"] == "panel1"}


def test_a_scan_in_pages_has_every_place_and_a_place_that_is_gone_is_noticed(tmp_path: Path) -> None:
    with (
        Lab.up(f"panel-{os.getpid()}", FLEET) as lab,
        ControlPlane(lab, tmp_path) as plane,
    ):
        panel = lab.hosts["panel1"]
        vhosts.write(panel, "nginx", Authority(), COUNT)
        panel.run(["systemctl", "restart", "nginx"])
        plane.start()
        plane.cli("scan", "--no-wait")
        plane.wait_until(lambda: ended(plane), "the scan does not end", 300)
        (job,) = plane.jobs()
        told = {item["server"]: item["message"] for item in job["details"]}
        assert told["panel1"].startswith(f"{COUNT} places on "), told
        assert " pages" not in told["web1"]
        files = {f"/etc/ssl/bench/s{number:05}.panel1.lab.test.pem" for number in range(COUNT)}
        assert set(places(plane)) == files

        file = "/etc/ssl/bench/s00007.panel1.lab.test"
        panel.run(["rm", "/etc/nginx/sites-enabled/bench-00007.conf", f"{file}.pem", f"{file}.key"])
        panel.run(["systemctl", "reload", "nginx"])
        said = scan_by_hand(lab, plane, tmp_path)
        assert "=> (item=page 2)" in said
        assert re.search(r"^web1 +: ok=1 ", said, re.MULTILINE), "a host with one page has one task"
        assert "results put on record" in said
        gone = {path for path, told in places(plane).items() if "did not find" in told}
        assert gone == {f"{file}.pem"}
        assert set(places(plane)) == files


def ended(plane: ControlPlane) -> bool:
    """Whether the job that was asked for is over."""
    return {job["state"] for job in plane.jobs()} <= set(ENDED)


def scan_by_hand(lab: Lab, plane: ControlPlane, folder: Path) -> str:
    """What a person sees who runs the playbook with the callback."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(plane.token)
    extra = {
        "ANSIBLE_CALLBACKS_ENABLED": "notafter.tls.report",
        "NOTAFTER_REPORT_URL": f"http://127.0.0.1:{plane.port}",
        "NOTAFTER_REPORT_TOKEN_FILE": str(token),
    }
    done = by_hand.playbook(lab, "scan", ["-i", str(lab.inventory)], extra=extra)
    return done.stdout + done.stderr
