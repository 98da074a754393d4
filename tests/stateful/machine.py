"""Any order of events: what holds after each, and that all comes right when nothing fails any more."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from notafter.custody import keys
from notafter.custody.custodian import Place
from notafter.custody.kek import KekSource
from notafter.domain.certificate import Challenge, ChallengeType, KeyType
from notafter.domain.deployment import Sync, sync
from notafter.domain.errors import Conflict
from notafter.domain.job import OPEN_ITEM_STATES, OPEN_JOB_STATES, JobState
from notafter.domain.rollout import WavePolicy
from notafter.domain.version import Origin
from notafter.lifecycle import account, adopt, due, recovery, request
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record import Desk
from notafter.lifecycle.recovery import Watch
from notafter.lifecycle.unlock import unlock
from notafter.lifecycle.work import Worker
from notafter.runner.run import Workshop
from notafter.store import certificates, deployments, items, requests, versions
from notafter.store.database import Database
from notafter.store.tables import AccountRow, JobRow, RequestRow, VersionRow
from sqlalchemy import select
from structlog.testing import capture_logs
from typing_extensions import override

from tests import kept
from tests.factories import fingerprint
from tests.stateful.play import Killed, Play, Script
from tests.stateful.world import LIFE, START, Authority, DeployFault, Host, IssueFault

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from notafter.domain.run import RunEnd
    from notafter.runner.plan import Plan
    from notafter.runner.run import Listener

HOSTS = ("web1", "web2", "web3")
#: The certificate's name, its path on each of its hosts.
SITES = {"shop.example": HOSTS, "blog.example": ("web2",)}
#: When nothing fails any more, so many looks at what is due are enough, some hours apart.
CALM_ROUNDS = 40
CALM_PAUSE = timedelta(hours=9)
#: What was played, for the scoreboard.
FIGURES: Counter[str] = Counter()


def path_of(name: str) -> str:
    """Where a certificate lies."""
    return f"/etc/ssl/{name}.pem"


class Stage:
    """A control plane with its own database over a world, and one worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.ca = Authority()
        self.pems: dict[str, str] = {}
        self.hosts = {name: Host(name) for name in HOSTS}
        #: Places that somebody changed since they were last looked at: what is shown of them may be old.
        self.touched: set[tuple[str, str]] = set()
        #: Certificates that somebody asked for, or changed the terms of, since they were last issued.
        self.asked: set[str] = set()
        #: Certificates whose open attempt was rightly given up.
        self.spoilt: set[str] = set()
        self.last: dict[str, tuple[str, datetime]] = {}
        #: Orders that had no reason.
        self.twice: list[str] = []
        self.script = Script()
        self.database = Database(f"sqlite:///{folder / 'notafter.db'}")
        self.database.migrate()
        self.custodian = unlock(self.database, KekSource(folder / "kek"))
        workshop = Workshop(folder, None, folder / "runs", "http://127.0.0.1:1")
        self.worker = Worker(Desk(self.database, self.custodian), workshop, lambda: self.now)
        self._serve_first()

    # -- the world

    def keep(self, pem: str) -> None:
        """Remembers a certificate by its fingerprint."""
        self.pems[fingerprint(pem)] = pem

    @staticmethod
    def fingerprint(pem: str) -> str:
        """Of its DER."""
        return fingerprint(pem)

    def scan_of(self, host: str) -> dict[str, Any]:
        """What a scan of a host says."""
        return self.hosts[host].scan(self.pems, {path_of(name): [name] for name in SITES})

    @staticmethod
    def failed(what: str) -> None:
        """Something of the script came to pass."""
        FIGURES[what] += 1

    def ordered(self, key: str, pem: str) -> None:
        """The CA has signed for a new attempt: the one before must be on record, or given up for a reason."""
        FIGURES["orders"] += 1
        before, self.last[key] = self.last.get(key), (pem, self.now)
        if before is not None:
            with self.database.read() as session:
                known = versions.by_fingerprint(session, fingerprint(before[0])) is not None
            soon = self.now - before[1] < LIFE / 3
            if key not in (self.asked if known else self.spoilt) and (soon or not known):
                self.twice.append(f"{key} at {self.now}, {'too soon' if known else 'never fetched before'}")
        self.asked.discard(key)
        self.spoilt.discard(key)

    def looked_at(self, host: str, path: str) -> None:
        """What is shown of a place is what it is now."""
        self.touched.discard((host, path))

    def _serve_first(self) -> None:
        for name, hosts in SITES.items():
            key = ec.generate_private_key(ec.SECP256R1())
            pem = self.ca.certify([name], key.public_key(), START - timedelta(days=10))
            self.keep(pem)
            for host in hosts:
                self.hosts[host].files[path_of(name)] = self.hosts[host].live[path_of(name)] = fingerprint(
                    pem
                )

    # -- the control plane

    def run(
        self,
        _workshop: Workshop,
        wish: Plan,
        token: str,
        run_id: str,
        listener: Listener,
        _stop: threading.Event,
    ) -> RunEnd:
        """Stands in for `runner.run.run`."""
        folder = self.folder / run_id
        script, self.script = self.script, Script()
        with patch("ansible.constants.DEFAULT_LOCAL_TMP", str(folder)):
            return Play(self, script, wish, token, listener, folder).run()

    def work(self, script: Script) -> bool:
        """The worker takes one job, if there is one; whether there was."""
        self.script = script
        try:
            worked = self.worker.step()
        except Killed:
            FIGURES["workers killed"] += 1
            worked = True
        self.script = Script()
        FIGURES["jobs"] += worked
        return worked

    def tick(self) -> None:
        """The scheduler looks for what is due."""
        due.tick(self.database, self.now, Limits())

    def take_away(self) -> None:
        """Another process believes that whoever holds a job is gone."""
        FIGURES["jobs taken away"] += 1
        recovery.recover(self.database, self.worker.workshop, set(), self.now, Watch())

    def restart(self) -> None:
        """The control plane starts again."""
        recovery.recover(self.database, self.worker.workshop, self.worker.roster, self.now, Watch())

    def click_all(self) -> None:
        """An operator asks for all certificates."""
        for number in range(1, len(SITES) + 1):
            self.click(number)

    def click(self, number: int) -> None:
        """An operator asks for a certificate to be renewed now."""
        with self.database.write() as session:
            request.renew(session, [number], "operator", self.now)
        self.asked.add(f"crt-{number}")

    def verify(self, number: int) -> None:
        """An operator asks what is really served."""
        with suppress(Conflict), self.database.write() as session:  # or a job is at each place
            request.verify(session, [number], "operator", self.now)

    def scan(self) -> None:
        """An operator asks for a look at all hosts."""
        with self.database.write() as session:
            request.scan(session, list(HOSTS), "operator", self.now)

    def adopt(self, number: int, key_type: KeyType, rollout: WavePolicy) -> None:
        """An operator sets the terms of a certificate, or changes them."""
        terms = Terms(
            account="main",
            challenge=Challenge(ChallengeType.DNS_01, "dns_x"),
            credential="main",
            key_type=key_type,
            rollout=rollout,
        )
        with self.database.write() as session:
            adopt.adopt(session, [number], terms, self.now)
        self.asked.add(f"crt-{number}")
        self.spoilt.add(f"crt-{number}")

    def close(self) -> None:
        """No more."""
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def beginning() -> Path:
    """A control plane's folder: the hosts were scanned and all was adopted; each history has a copy."""
    folder = Path(tempfile.mkdtemp(prefix="notafter-stateful-", dir=_memory()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    stage = Stage(folder)
    with patch("notafter.runner.run.run", stage.run):
        stage.scan()
        while stage.work(Script()):
            pass
    with stage.database.write() as session:
        row = AccountRow(
            name="main",
            directory="https://ca.invalid/dir",
            sealed_key="",
            thumbprint="none",
            created_at=START,
        )
        session.add(row)
        session.flush()
        row.sealed_key = stage.custodian.seal(keys.account_pem(), Place("account", row.id, "sealed_key"))
    account.create_credential(stage.database, stage.custodian, "main", "dns_x", {"X_TOKEN": "x"}, START)
    for number in range(1, len(SITES) + 1):
        stage.adopt(number, KeyType.EC_256, WavePolicy())
    stage.database.close()
    _BEGUN.append(stage)
    return folder


_BEGUN: list[Stage] = []


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def fresh() -> Stage:
    """A stage of its own, as far as the beginning goes."""
    source = beginning()
    folder = Path(tempfile.mkdtemp(prefix="notafter-stateful-", dir=_memory()))
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)
    stage = Stage(folder)
    first = _BEGUN[0]
    stage.pems = dict(first.pems)
    stage.ca.known = dict(first.ca.known)
    for name, host in first.hosts.items():
        stage.hosts[name] = Host(name, dict(host.files), dict(host.live))
    return stage


#: Half of all runs get as far as the hosts.
ISSUE_FAULTS = st.sampled_from([*IssueFault, *[IssueFault.NONE] * 4])
DEPLOY_FAULTS = st.sampled_from([*DeployFault, *[DeployFault.NONE] * 3])
MOMENTS = st.one_of(st.none(), st.integers(1, 6))
SCRIPTS = st.builds(
    Script,
    issue=ISSUE_FAULTS,
    deploy=st.fixed_dictionaries(dict.fromkeys(HOSTS, DEPLOY_FAULTS)),
    killed_at=MOMENTS,
    taken_away_at=MOMENTS,
    clicked_at=MOMENTS,
    ticked_at=MOMENTS,
)
POLICIES = st.builds(
    WavePolicy,
    waves=st.sampled_from([(1, "10%", "100%"), ("100%",), (2, "100%")]),
    max_fail_percentage=st.sampled_from([0, 50]),
)
NUMBERS = st.integers(1, len(SITES))
PLACES = st.sampled_from([(host, path_of(name)) for name, hosts in SITES.items() for host in hosts])


class Fleet(RuleBasedStateMachine):
    """Two certificates, one of them on three hosts."""

    @initialize()
    def begin(self) -> None:
        """A control plane that has adopted what it found."""
        FIGURES["histories"] += 1
        self.patches = ExitStack()
        self.patches.enter_context(capture_logs())
        self.stage = fresh()
        self.patches.enter_context(patch("notafter.runner.run.run", self.stage.run))

    # -- what may happen

    @rule(hours=st.sampled_from([0.05, 1, 24, 24 * 12, 24 * 40]))
    def time_passes(self, hours: float) -> None:
        """Between a moment and half a life."""
        self.stage.now += timedelta(hours=hours)

    @rule(hours=st.sampled_from([1, 24]))
    def the_clock_is_set_back(self, hours: float) -> None:
        """Somebody corrects the clock."""
        self.stage.now -= timedelta(hours=hours)
        self.stage.asked |= {f"crt-{number}" for number in range(1, len(SITES) + 1)}

    @rule()
    def tick(self) -> None:
        """The scheduler looks."""
        self.stage.tick()

    @rule(script=SCRIPTS)
    def work(self, script: Script) -> None:
        """A worker takes a job, and what the script says goes wrong."""
        self.stage.work(script)

    @rule(number=NUMBERS, script=SCRIPTS)
    def renewal(self, number: int, script: Script) -> None:
        """What most often follows upon another: somebody asks, and a worker takes it."""
        self.stage.click(number)
        self.stage.work(script)

    @rule(hours=st.sampled_from([1, 9]), script=SCRIPTS)
    def another_try(self, hours: int, script: Script) -> None:
        """Back-offs have passed, and what is due is taken."""
        self.stage.now += timedelta(hours=hours)
        self.stage.tick()
        self.stage.work(script)

    @rule()
    def restart(self) -> None:
        """The control plane starts again, or looks for jobs that nobody holds."""
        self.stage.restart()

    @rule(number=NUMBERS)
    def click(self, number: int) -> None:
        """An operator asks for a renewal."""
        self.stage.click(number)

    @rule(number=NUMBERS)
    def verify(self, number: int) -> None:
        """An operator asks what is served."""
        self.stage.verify(number)

    @rule()
    def scan(self) -> None:
        """An operator asks for a scan."""
        self.stage.scan()

    @rule(number=NUMBERS, key_type=st.sampled_from([KeyType.EC_256, KeyType.EC_384]), rollout=POLICIES)
    def edit(self, number: int, key_type: KeyType, rollout: WavePolicy) -> None:
        """An operator changes the terms."""
        with suppress(Conflict):  # or it serves nowhere any more
            self.stage.adopt(number, key_type, rollout)

    @rule(host=st.sampled_from(HOSTS))
    def reboot(self, host: str) -> None:
        """A host comes up again."""
        self.stage.hosts[host].reboot()
        self.stage.touched |= {(host, path) for path in self.stage.hosts[host].files}

    @rule(place=PLACES)
    def somebody_overwrites(self, place: tuple[str, str]) -> None:
        """Somebody puts back an old certificate by hand, and reloads."""
        host, path = self.stage.hosts[place[0]], place[1]
        first = next(found for found in _BEGUN[0].hosts[place[0]].files.items() if found[0] == path)
        host.files[path] = host.live[path] = first[1]
        host.journal.pop(path, None)
        self.stage.touched.add(place)

    @rule(place=PLACES)
    def somebody_deletes_or_brings_back(self, place: tuple[str, str]) -> None:
        """A server's configuration names a place no longer, or again."""
        self.stage.hosts[place[0]].hidden ^= {place[1]}
        self.stage.touched.add(place)

    # -- what must hold after each step

    @invariant()
    def counted(self) -> None:
        """For the scoreboard."""
        FIGURES["steps"] += 1

    @invariant()
    def i3_nothing_is_ordered_without_a_reason(self) -> None:
        """An order follows a third of the life of the last one, or somebody's wish; none is forgotten."""
        if not hasattr(self, "stage"):
            return
        assert not self.stage.twice, f"ordered twice: {self.stage.twice}"

    @invariant()
    def i2_what_was_signed_can_be_fetched_with_its_key(self) -> None:
        """A certificate that the CA has signed is on record with its key, or its attempt is still open."""
        if not hasattr(self, "stage"):
            return
        with self.stage.database.read() as session:
            for attempt, pem in self.stage.ca.signed.items():
                row = requests.by_key(session, attempt)
                assert row is not None
                version = versions.by_fingerprint(session, fingerprint(pem))
                if version is None and row.abandoned_at is None:
                    assert row.sealed_key is not None, f"the key of {attempt} is gone"
                elif version is not None:
                    assert version.sealed_key is not None, f"{attempt} is on record without its key"

    @invariant()
    def findings_are_what_the_facts_say(self) -> None:
        """Whoever changes a fact has marked whose findings it changes."""
        if hasattr(self, "stage"):
            kept.check(self.stage.database, self.stage.now)

    @invariant()
    def i4_what_runs_is_held_by_somebody_or_is_found(self) -> None:
        """An item is open only in a job that is open; and no certificate or place is in two of them."""
        if not hasattr(self, "stage"):
            return
        with self.stage.database.read() as session:
            for job in session.scalars(select(JobRow)):
                still = [item.id for item in items.of_job(session, job.id) if item.state in OPEN_ITEM_STATES]
                assert job.state in OPEN_JOB_STATES or not still, f"job {job.id} is {job.state}: {still} open"
                assert job.state is JobState.RUNNING or job.token_hash is None, f"job {job.id} kept its token"

    @invariant()
    def i7_what_is_shown_as_in_place_is_served(self) -> None:
        """A place that is shown as in sync serves the newest version, unless somebody was there since."""
        if not hasattr(self, "stage"):
            return
        with self.stage.database.read() as session:
            for number in range(1, len(SITES) + 1):
                row = certificates.get(session, number)
                for place in row.deployments:
                    if (place.server.name, place.path) in self.stage.touched:
                        continue
                    if sync(deployments.facts(session, place)) is Sync.IN_SYNC and row.current is not None:
                        live = self.stage.hosts[place.server.name].live[place.path]
                        assert live == row.current.fingerprint, f"{place.key} does not serve what is shown"

    # -- when nothing fails any more

    @override
    def teardown(self) -> None:
        """All comes right by itself: each place serves the newest version, and nothing is open (I1, I4)."""
        if not hasattr(self, "stage"):
            return
        try:
            for host in self.stage.hosts.values():
                host.hidden = set()
            self.stage.restart()
            self.stage.scan()
            self._calm()
            self._all_is_well()
        finally:
            self.patches.close()
            self.stage.close()

    def _calm(self) -> None:
        for _ in range(CALM_ROUNDS):
            self.stage.restart()
            self.stage.tick()
            worked = False
            while self.stage.work(Script()):
                worked = True
            self.i2_what_was_signed_can_be_fetched_with_its_key()
            self.i3_nothing_is_ordered_without_a_reason()
            self.i4_what_runs_is_held_by_somebody_or_is_found()
            self.i7_what_is_shown_as_in_place_is_served()
            if not worked:
                if not self._unsettled():
                    return
                self.stage.now += CALM_PAUSE

    def _all_is_well(self) -> None:
        assert not self._unsettled(), f"does not come right: {self._unsettled()}"
        with self.stage.database.read() as session:
            for version in session.scalars(select(VersionRow).where(VersionRow.origin == Origin.ISSUED)):
                sealed = version.sealed_key or ""
                private = self.stage.custodian.open(sealed, Place("version", version.id, "sealed_key"))
                known = self.stage.ca.known[version.fingerprint]
                assert load_pem_private_key(private, None).public_key() == known.public_key()
            waiting = list(session.scalars(select(RequestRow).where(RequestRow.abandoned_at.is_(None))))
            lost = [row.key for row in waiting if row.version_id is None and row.key in self.stage.ca.signed]
            assert not lost, f"signed and never fetched: {lost}"

    def _unsettled(self) -> list[str]:
        """What is not as it should be."""
        found: list[str] = []
        with self.stage.database.read() as session:
            found += [
                f"job {job.id} is {job.state}"
                for job in session.scalars(select(JobRow))
                if job.state in OPEN_JOB_STATES
            ]
            for number, (name, hosts) in enumerate(SITES.items(), 1):
                row = certificates.get(session, number)
                current = row.current.fingerprint if row.current and row.current.sealed_key else None
                if row.wanted_at is not None:
                    found.append(f"{row.key} is still asked for: {row.last_problem}")
                for host in hosts:
                    live = self.stage.hosts[host].live[path_of(name)]
                    if current is not None and live != current:
                        place = next(one for one in row.deployments if one.server.name == host)
                        facts = deployments.facts(session, place)
                        found.append(f"{host} does not serve {row.key}: {sync(facts)}, {place.last_problem}")
                    if self.stage.ca.known[live].not_valid_after_utc <= self.stage.now:
                        found.append(f"{host} serves {name}, which has ended")
        return found
