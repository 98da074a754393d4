"""A fleet under a control plane whose parts are killed: what can be done to it, and what must hold after.

Everything is real: the control plane, Ansible, acme.sh, the servers. Before the CA stands a proxy that
counts, and clients make handshakes with every endpoint all the time.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from notafter.domain.job import OPEN_JOB_STATES, ItemState, JobKind, Subject
from notafter.lifecycle import request
from notafter.store import certificates
from notafter.store.tables import ItemRow, JobRow, VersionRow
from sqlalchemy import func, select

from tests.e2e.conftest import HELD, HOST_FAILPOINT, Story
from tests.lab.fleet import Challenge, Fleet, Host, Layout, Service, Site
from tests.lab.lab import Lab
from tests.lab.proxy import Proxy
from tests.lab.proxy_orders import public_bytes
from tests.plane import ControlPlane, PlaneError
from tests.torture.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

FLEET = Fleet(
    "torture",
    hosts=(
        Host("issuer", issuer=True),
        Host("web1", (Service.NGINX,)),
        Host("apache1", (Service.APACHE,)),
        Host("haproxy1", (Service.HAPROXY,)),
    ),
    sites=(
        Site("www", ("www.lab.test",), ("web1",), challenge=Challenge.HTTP_01),
        Site("wiki", ("wiki.lab.test",), ("apache1",), Service.APACHE, layout=Layout.SEPARATE_CHAIN),
        Site("edge", ("edge.lab.test",), ("haproxy1",), Service.HAPROXY),
    ),
)
ISSUER = "issuer"
#: What must not be running on a host when all is done, by the names of processes.
PROGRAMS = ("python3", "acme.sh")
PATIENCE = 150
_LIFE = 86400 * 80


@dataclass(frozen=True)
class Begun:
    """How things stood when a round began."""

    fingerprints: dict[str, str]
    numbers: list[int]  #: of the certificates
    last_job: int
    orders: int
    failed: int


@dataclass(frozen=True)
class Judged:
    """What is wrong after a round, with the figures of the scoreboard."""

    wrong: list[str]
    lost: int = 0  #: certificates that the CA has signed and nobody has on record
    double: int = 0  #: certificates that were signed twice for one renewal
    repeated: int = 0  #: orders that a kill before their signing has made begin again
    unserved: int = 0  #: failed handshakes
    attempts: int = 0  #: the most that one certificate or place needed beyond the first


class Lane:
    """One fleet with its control plane, proxy and clients."""

    def __init__(self, lab: Lab, proxy: Proxy, plane: ControlPlane, watch: Watch) -> None:
        self.lab, self.proxy, self.plane, self.watch = lab, proxy, plane, watch
        self.story = Story(lab, plane)

    @classmethod
    @contextmanager
    def up(cls, name: str, folder: Path) -> Iterator[Lane]:
        """Raises a fleet, has it scanned, adopted and each certificate renewed once."""
        with ExitStack() as opened:
            lab = opened.enter_context(Lab.up(name, FLEET, initial_validity=_LIFE))
            proxy = opened.enter_context(Proxy.before(lab))
            plane = opened.enter_context(ControlPlane(lab, folder, profile="default"))
            root = folder / "proxy.pem"
            root.write_text(proxy.https_root_pem, "ascii")
            plane.prepare_issuer()
            plane.set_up(proxy.directory_url, root)
            plane.start()
            plane.scan()
            plane.adopt(lab.sites)
            watch = opened.enter_context(Watch.of(lab, lab.ca.issuing_root_pem()))
            lane = cls(lab, proxy, plane, watch)
            lane.story.wait_until_done(lane.story.renew(*(site.key for site in lab.sites)))
            yield lane

    # -- before a round

    def rest(self) -> None:
        """Nothing fails on request, the control plane runs, and nothing is left to do."""
        self.proxy.faults = ()
        self.story.forget_failpoints()
        if self.plane.process is None or self.plane.process.poll() is not None:
            self.plane.start()
        self.plane.wait_until(self.story.at_rest, "an earlier round is not over", PATIENCE)

    def begin(self, *keys: str) -> Begun:
        """How things stand; nothing is asked for yet."""
        with self.story.rows() as session:
            last = session.scalar(select(func.max(JobRow.id))) or 0
        known = {key: self.story.certificate(key) for key in keys}
        return Begun(
            {key: str(one["fingerprint"]) for key, one in known.items()},
            [int(one["id"]) for one in known.values()],
            last,
            len(self.proxy.ledger.made),
            self.watch.count()[1],
        )

    def ask(self, begun: Begun) -> None:
        """Asks for the renewals without the API: a control plane that dies of it could not answer."""
        with self.story.rows() as session:
            request.renew(session, begun.numbers, "torture", datetime.now(UTC))

    def let_come(self, begun: Begun) -> None:
        """Asks for nothing: the time for the renewals has come."""
        with self.story.rows() as session:
            for number in begun.numbers:
                row = certificates.get(session, number)
                row.renew_at = row.first_renewal_at = datetime.now(UTC)

    def restart(self, failpoint: str | None = None) -> None:
        """Kills the control plane and starts it anew, where it may die again."""
        self.plane.kill()
        self.plane.start({"NOTAFTER_FAILPOINT": failpoint} if failpoint else None, wait=not failpoint)

    # -- kills: each says how many processes it has hit

    def kill_plane(self) -> int:
        """The control plane; it is started again at once."""
        self.plane.kill()
        self.plane.start()
        return 1

    def kill_ansible(self, words: bytes = b"ansible-playbook") -> int:
        """Ansible with its forks, or with other words another process of the runs."""
        return sum(_killed(pid) for pid in self.story.run_processes() if words in _words(pid))

    def kill_programs(self, host: str, *names: str) -> int:
        """Processes of a host by their names: the host program, and with it what it has started."""
        there = self.lab.hosts[host]
        pids = [str(pid) for name in names or PROGRAMS for pid in there.pids(name)]
        if pids:
            there.run(["kill", "-KILL", *pids], check=False)
        return int(bool(pids))

    # -- after a round

    def settle(self, begun: Begun) -> int:
        """Lets the control plane go on until all is done; how many waits between tries were left out."""
        deadline, passed = time.monotonic() + PATIENCE, 0
        self.plane.wait_until(self.plane._ready, "the control plane is not ready", 60)
        while not self.story.done(begun.fingerprints):
            if time.monotonic() > deadline:
                told = [self.story.certificate(key)["next_step"] for key in begun.fingerprints]
                raise PlaneError(f"not done within {PATIENCE} s: {told}")
            if self.story.settled() and self._backs_off():
                self.story.let_back_offs_pass()
                passed += 1
            time.sleep(0.3)
        return passed

    def _backs_off(self) -> bool:
        known = [one for one in self.plane.certificates() if one["adopted"]]
        return any(one["failures"] or any(place["failures"] for place in one["places"]) for one in known)

    def judge(self, begun: Begun, kills: int) -> Judged:
        """What does not hold: I1 to I4, and that nothing is left running."""
        orders = self.proxy.ledger.since(begun.orders)
        signed = Counter(order.names for order in orders if order.key is not None)
        wanted = {frozenset(self.lab.site(key).names) for key in begun.fingerprints}
        lost = sum(order.key not in self._keys_on_record() for order in orders if order.key is not None)
        double = sum(number - 1 for number in signed.values())
        repeated = sum(order.key is None for order in orders)
        unserved = self.watch.failures_since(begun.failed)
        open_jobs = self._never_ending(begun)
        attempts, jobs = self._tries(begun)
        checks = {
            f"{lost} certificates that the CA has signed are lost": lost,
            f"{double} certificates were signed twice": double,
            f"not each was signed: {sorted(map(sorted, signed))}": set(signed) != wanted,
            f"{repeated} orders were begun again after {kills} kills": repeated > kills,
            f"{len(unserved)} handshakes failed: {unserved[:3]}": unserved,
            f"{attempts} attempts beyond the first after {kills} kills": attempts > kills,
            f"{open_jobs} jobs have not ended": open_jobs,
            f"{jobs} jobs were needed after {kills} kills": jobs > 1 + 2 * kills,
            f"left running: {self._left()}": self._left(),
        }
        wrong = [told for told, holds in checks.items() if holds]
        return Judged(wrong, lost, double, repeated, len(unserved), attempts)

    def _keys_on_record(self) -> set[bytes]:
        with self.story.rows() as session:
            pems = list(session.scalars(select(VersionRow.pem).where(VersionRow.sealed_key.is_not(None))))
        return {public_bytes(x509.load_pem_x509_certificate(pem.encode()).public_key()) for pem in pems}

    def _never_ending(self, begun: Begun) -> int:
        """How many jobs do not end in time (I4).

        What a killed run had brought about is not known: a tick has just begun a job to find out.
        """
        waited_for, deadline = self._open_since(begun), time.monotonic() + PATIENCE
        while waited_for and time.monotonic() < deadline:
            time.sleep(0.3)
            waited_for &= self._open_since(begun)
        return len(waited_for)

    def _open_since(self, begun: Begun) -> set[int]:
        with self.story.rows() as session:
            jobs = session.scalars(select(JobRow).where(JobRow.id > begun.last_job))
            return {job.id for job in jobs if job.state in OPEN_JOB_STATES}

    def _tries(self, begun: Begun) -> tuple[int, int]:
        """The most attempts beyond the first of one thing, and all jobs since."""
        with self.story.rows() as session:
            jobs = list(session.scalars(select(JobRow).where(JobRow.id > begun.last_job)))
            mine = [job for job in jobs if job.kind in {JobKind.RENEW, JobKind.DEPLOY}]
            numbers = {job.id for job in mine}
            rows = [row for row in session.scalars(select(ItemRow)) if row.job_id in numbers]
            tried = Counter(
                (row.subject, row.certificate_id if row.subject is Subject.CERTIFICATE else row.deployment_id)
                for row in rows
                if row.state is not ItemState.SKIPPED
            )
        return max(tried.values(), default=1) - 1, len(mine)

    def _left(self) -> list[str]:
        """What still runs although no job does; a host program that lost its run goes on to its end first."""
        deadline = time.monotonic() + 60
        while (left := self._running()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return left

    def _running(self) -> list[str]:
        found = [
            f"{name} on {host}" for host in self.lab.hosts for name in PROGRAMS if self._runs(host, name)
        ]
        return found + [f"process {pid} of a run" for pid in self.story.run_processes()]

    def _runs(self, host: str, name: str) -> bool:
        return bool(self.lab.hosts[host].pids(name))

    # -- places where the programs wait or die

    def die_at(self, host: str, point: str) -> None:
        """Has the next host program that gets to a point be killed there."""
        self.lab.hosts[host].write(HOST_FAILPOINT, f"{point}:kill")

    def wait_for_deaths(self, hosts: list[str]) -> None:
        """Waits until the host programs have got there."""
        there = self.lab.hosts
        self.plane.wait_until(
            lambda: not any(there[host].exists(HOST_FAILPOINT) for host in hosts),
            f"the host programs of {', '.join(hosts)} do not get there",
            PATIENCE,
        )

    def hold(self, points: dict[str, str]) -> None:
        """Has host programs wait, each at its point."""
        for host, point in points.items():
            self.story.hold(host, point)

    def wait_for_holds(self, points: dict[str, str]) -> None:
        for host in points:
            self.story.wait_for_hold(host)

    def let_go(self, points: dict[str, str]) -> None:
        for host in points:
            self.lab.hosts[host].run(["rm", "-f", HELD])


def _words(pid: int) -> bytes:
    """A process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _killed(pid: int) -> int:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
