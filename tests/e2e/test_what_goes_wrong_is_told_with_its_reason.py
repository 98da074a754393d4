"""What is due is done unasked and once; what cannot be done is told with its own reason, and looked at again.

Real hosts and a real CA: only the moment when something is due is brought about in the database.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from notafter.runner.run import runtime_folder

from tests.e2e.test_no_secret_is_found_where_it_does_not_belong import Watcher, database_dump, leaks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Story

NGINX_EXTRA = "/etc/nginx/conf.d/extra.conf"


def scan(story: Story, server: str) -> int:
    """Asks for a scan of one server; the job's number."""
    number: int = story.plane.ask("POST", "/api/v1/scan", {"servers": [server]})["id"]
    return number


def items(story: Story, job: int) -> list[tuple[str, str, str]]:
    """What became of the items of a job."""
    details = story.job(job)["details"]
    return [(item["subject"], item["state"], item["reason"]) for item in details]


def test_a_certificate_whose_time_has_come_is_renewed_unasked_and_once(story: Story) -> None:
    orders = story.lab.ca.orders()
    for turn in (1, 2):
        before = {"apps": story.certificate("apps")["fingerprint"]}
        story.let_renewal_come("apps")
        story.wait_until_done(before)
        job = story.newest_job("renew")
        assert (job["requested_by"], job["reason"]) == ("scheduler", "first_renewal")
        assert story.lab.ca.orders() - orders == turn
    made = story.plane.jobs()[0]["id"]
    time.sleep(3.5)
    assert story.plane.jobs()[0]["id"] == made, "further ticks find nothing due"
    assert story.certificate("apps")["next_step"]["code"] == "not_yet"


def test_an_issuer_and_a_server_that_cannot_be_reached_are_told_and_tried_again(story: Story) -> None:
    plane, lab, orders = story.plane, story.lab, story.lab.ca.orders()
    lab.cut("issuer")
    lab.cut("web1")
    try:
        before = story.renew("edge")
        renewal, look = story.newest_job("renew")["id"], scan(story, "web1")
        story.wait_for_job(look)
        story.wait_for_job(renewal)
    finally:
        lab.heal("issuer")
        lab.heal("web1")
    assert items(story, renewal) == [
        ("certificate", "failed", "unreachable"),
        ("deployment", "skipped", "issue_failed"),
    ]
    assert items(story, look) == [("server", "failed", "unreachable")]
    why = plane.ask("GET", "/api/v1/servers/web1")["last_problem"]
    assert any(words in why for words in ("timed out", "No route to host"))  # whichever is told first
    assert story.certificate("edge")["places"][0]["failures"] == 0, "nothing is wrong with that host"
    story.let_back_offs_pass()
    story.wait_until_done(before)
    plane.wait_until(lambda: not plane.ask("GET", "/api/v1/servers/web1")["last_problem"], "not seen again")
    again = story.newest_job("scan")
    assert (again["requested_by"], again["state"]) == ("scheduler", "succeeded")
    assert [item["server"] for item in again["details"]] == ["web1"]
    assert lab.ca.orders() - orders == 1


def test_verify_tells_what_is_really_served_and_the_next_tick_puts_it_right(story: Story) -> None:
    host, orders = story.lab.hosts["web1"], story.lab.ca.orders()
    before = story.renew("www", "apps")
    story.wait_until_done(before)
    ours = story.certificate("www")
    for name in ("fullchain.pem", "privkey.pem"):
        host.run(["cp", f"/etc/ssl/apps/{name}", f"/etc/ssl/www/{name}"])
    host.run(["systemctl", "reload", "nginx"])
    other = story.certificate("apps")["fingerprint"]
    story.plane.wait_until(lambda: story.served("www") == {other}, "nginx does not serve it", 60)
    answer = story.plane.ask("POST", f"/api/v1/certificates/{ours['id']}/verify")
    story.wait_for_job(answer["id"])
    assert items(story, answer["id"]) == [("deployment", "failed", "not_served")]
    story.plane.wait_until(lambda: story.served("www") == {ours["fingerprint"]}, "not put right", 60)
    story.plane.wait_until(story.settled, "the deploy does not end")
    assert story.newest_job("deploy")["requested_by"] == "scheduler"
    assert story.lab.ca.orders() - orders == 2, "nothing was issued to put it right"


def test_a_scan_whose_result_is_too_large_says_so_and_takes_nothing_for_gone(story: Story) -> None:
    host, known = story.lab.hosts["web1"], story.certificate("www")["places"]
    names = "\n".join(f"{'x' * 60}{number}.lab.test" for number in range(12_000))
    host.write(
        NGINX_EXTRA,
        "server_names_hash_bucket_size 256;\nserver_names_hash_max_size 262144;\n"
        "server { listen 9443 ssl; ssl_certificate /etc/ssl/www/fullchain.pem;\n"
        f"ssl_certificate_key /etc/ssl/www/privkey.pem;\nserver_name {names}; }}\n",
    )
    try:
        job = scan(story, "web1")
        story.wait_for_job(job)
    finally:
        host.run(["rm", NGINX_EXTRA])
    assert "not all of it" in story.job(job)["details"][0]["message"]
    assert any("left out" in told for told in story.plane.ask("GET", "/api/v1/servers/web1")["warnings"])
    verified = {"verified_at": None}  # it moves with each handshake
    now = [{**place, **verified} for place in story.certificate("www")["places"]]
    assert now == [{**place, **verified} for place in known], "what did not fit is not gone"
    again = scan(story, "web1")
    assert story.wait_for_job(again)["state"] == "succeeded"
    assert "not all of it" not in story.job(again)["details"][0]["message"]


class Files:
    """Keeps what was ever in the files of a folder, while something runs."""

    def __init__(self, folder: Path) -> None:
        self.seen: dict[str, bytes] = {}
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for path in self._folder.rglob("*"):
                try:
                    text = path.read_bytes() if path.is_file() else b""
                except OSError:
                    continue
                if text not in self.seen.get(str(path), b""):
                    self.seen[str(path)] = self.seen.get(str(path), b"") + text


def test_g_the_token_of_a_job_is_in_its_own_file_alone_and_gone_with_it(story: Story) -> None:
    plane = story.plane
    folder = runtime_folder(plane.folder / "data")
    with Files(folder) as files, Watcher() as watcher:
        before = story.renew("wiki")
        story.wait_until_done(before)
    tokens = {path: text for path, text in files.seen.items() if path.endswith("/token")}
    assert len(tokens) == 1
    assert any(path.endswith("/inventory.json") for path in files.seen), "the run's other files were seen"
    places = {
        **files.seen,
        "a process's arguments or environment": bytes(watcher.seen),
        "the database": database_dump(plane.folder),
        "the log": plane.log.read_bytes(),
    }
    found = leaks(places, {"the token": next(iter(tokens.values()))})
    assert found == [f"the token is in {path}" for path in tokens]
    assert not any(folder.glob("*")), "it is gone with its run"
