"""The whole product on a small fleet: real hosts, a real CA, and a control plane that can be killed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from notafter.store import certificates, servers
from notafter.store.database import Database, Session

from tests.lab.fleets import SMALL
from tests.lab.lab import Lab
from tests.plane import ENDED, ControlPlane, PlaneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.fleet import Site

HOST_FAILPOINT = "/run/notafter-failpoint"
HELD = f"{HOST_FAILPOINT}.held"
#: Longer than any test needs: who is held is let go by the test.
HOLD_SECONDS = 100


class Story:
    """A fleet under a control plane, and the questions that every story ends with."""

    def __init__(self, lab: Lab, plane: ControlPlane) -> None:
        self.lab = lab
        self.plane = plane

    def site(self, key: str) -> Site:
        """One site of the fleet."""
        return self.lab.site(key)

    def certificate(self, key: str) -> dict[str, Any]:
        """What the control plane knows of a site's certificate."""
        return self.plane.certificate_of(self.site(key))

    def renew(self, *keys: str) -> dict[str, str]:
        """Asks for renewals; returns the fingerprints that were current before."""
        before = {key: self.certificate(key) for key in keys}
        for one in before.values():
            self.plane.ask("POST", f"/api/v1/certificates/{one['id']}/renew")
        return {key: one["fingerprint"] for key, one in before.items()}

    def renew_from_outside(self, key: str) -> dict[str, str]:
        """The same by the command line: a control plane that dies of it could not answer."""
        one = self.certificate(key)
        self.plane.cli("renew", one["key"])
        return {key: one["fingerprint"]}

    def settled(self) -> bool:
        """Whether no job is open."""
        page = self.plane.ask("GET", "/api/v1/jobs?limit=20")
        return all(job["state"] in ENDED for job in page["items"])

    def at_rest(self) -> bool:
        """Whether no job is open and nothing waits for another try, as if the time for it had come.

        A run that was killed after its swap leaves a certificate that is served and a deploy that
        failed on record; the failure of the next test would then be the second in a row. Where a
        deploy was lost, the next tick begins another.
        """
        if not self.settled():
            return False
        known = self.plane.certificates()
        failed = any(
            one["failures"] or any(place["failures"] for place in one["places"])
            for one in known
            if one["adopted"]
        )
        if failed:
            self.let_back_offs_pass()
        behind = any(place["sync"] == "behind" for one in known for place in one["places"])
        return not failed and not behind

    def served(self, key: str) -> set[str]:
        """What clients get from every host of a site."""
        site = self.site(key)
        return {self.lab.served_site(site, host) for host in site.hosts}

    def done(self, before: dict[str, str]) -> bool:
        """Whether each of these certificates is new, on record, and served everywhere."""
        if not self.settled():
            return False
        for key, old in before.items():
            newest = self.certificate(key)["fingerprint"]
            if newest == old or self.served(key) != {newest}:
                return False
        return True

    def wait_until_done(self, before: dict[str, str], seconds: float = 150) -> None:
        """Waits until the work is finished, by however many ticks."""
        try:
            self.plane.wait_until(
                lambda: self.done(before), f"{', '.join(before)} are not renewed and served", seconds
            )
        except PlaneError as error:
            told = [
                (one["key"], one["next_step"], one["last_problem"]) for one in map(self.certificate, before)
            ]
            raise PlaneError(f"{error}\n{told}") from error

    def newest_job(self, kind: str) -> dict[str, Any]:
        """The newest job of a kind, with its items."""
        return next(job for job in self.plane.jobs() if job["kind"] == kind)

    def run_processes(self) -> list[int]:
        """The processes of this control plane's runs, by the mark and the folder in their environment."""
        folder = f"{self.plane.runtime}/".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if b"NOTAFTER_RUN=" in environment and folder in environment:
                found.append(int(entry.name))
        return found

    def hold(self, host: str, point: str, seconds: float = HOLD_SECONDS) -> None:
        """Makes the host program wait at a point, once, until it is let go."""
        self.lab.hosts[host].write(HOST_FAILPOINT, f"{point}:hold={seconds}")

    def wait_for_hold(self, host: str) -> None:
        """Waits until the host program has come to the point where it waits."""
        met = f"the run does not come to the failpoint of {host}"
        self.plane.wait_until(lambda: self.lab.hosts[host].exists(HELD), met, 90)

    def let_go(self, host: str) -> None:
        """Lets the host program go on that waits."""
        self.lab.hosts[host].run(["rm", "-f", HELD])

    def job(self, number: int) -> dict[str, Any]:
        """One job with its items."""
        found: dict[str, Any] = self.plane.ask("GET", f"/api/v1/jobs/{number}")
        return found

    def wait_for_job(self, number: int) -> dict[str, Any]:
        """Waits until a job has ended; returns it with its items."""
        self.plane.wait_until(lambda: self.job(number)["state"] in ENDED, f"job {number} does not end", 120)
        return self.job(number)

    @contextmanager
    def rows(self) -> Iterator[Session]:
        """The control plane's own database, to fake the one thing that stories fake: time."""
        database = Database(f"sqlite:///{self.plane.folder / 'data' / 'notafter.db'}")
        try:
            with database.write() as session:
                yield session
        finally:
            database.close()

    def let_back_offs_pass(self) -> None:
        """As if the time had passed that is waited after failures."""
        with self.rows() as session:
            for row in certificates.page(session, 0, 1000):
                row.next_attempt_at = None
                for place in row.deployments:
                    place.next_attempt_at = None
            for server in servers.page(session, 0, 1000):
                server.scan_wanted_at = server.scan_wanted_at and datetime.now(UTC)

    def let_renewal_come(self, key: str) -> None:
        """As if the time had come when a certificate is to be renewed."""
        with self.rows() as session:
            row = certificates.by_key(session, self.certificate(key)["key"])
            row.renew_at = row.first_renewal_at = datetime.now(UTC)

    def new_versions(self, key: str, before: dict[str, str]) -> list[str]:
        """The versions that were made since, the newest first: none may be lost, none made twice."""
        versions = self.certificate(key)["versions"]
        versions.sort(key=lambda version: str(version["created_at"]), reverse=True)
        fingerprints = [version["fingerprint"] for version in versions]
        assert before[key] in fingerprints
        return fingerprints[: fingerprints.index(before[key])]

    def forget_failpoints(self) -> None:
        """Takes away failpoints that were not met, and lets go who waits at one."""
        for host in self.lab.hosts.values():
            host.run(["rm", "-f", HOST_FAILPOINT, HELD])


@pytest.fixture(scope="session")
def told_story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The fleet once scanned and adopted; its certificates live long: nothing is due by itself."""
    folder = tmp_path_factory.mktemp("plane")
    with (
        Lab.up(f"e2e-{os.getpid()}", SMALL, initial_validity=86400 * 80) as lab,
        ControlPlane(lab, folder, profile="default") as plane,
    ):
        plane.prepare_issuer()
        plane.set_up()
        plane.start()
        plane.scan()
        plane.adopt(lab.sites)
        story = Story(lab, plane)
        # Putting the answer for http-01 there is a transaction too: from now on it is there, and
        # the failpoints of transactions are met by deploys alone, whichever test comes first.
        story.wait_until_done(story.renew("www"))
        yield story


@pytest.fixture
def story(told_story: Story) -> Iterator[Story]:
    """The story before and after a test: the control plane runs, all is at rest, no failpoint is set."""
    plane = told_story.plane
    if plane.process is None or plane.process.poll() is not None:
        plane.start()
    plane.wait_until(told_story.at_rest, "what an earlier test broke off is not taken up", 120)
    yield told_story
    told_story.forget_failpoints()
