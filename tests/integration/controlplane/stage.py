"""A small world for real runs: a project with a collection that signs, serves and scans on paper.

Ansible, ansible-runner, the database, the API and the clockwork are the real ones. Only
the collection is a stand-in: its modules keep the contract of docs/developer/contracts.md
and play hosts and a CA in one folder, so that tests can say what happens there.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from notafter.api import application
from notafter.api.service import Service
from notafter.custody import keys
from notafter.custody.custodian import Place
from notafter.custody.kek import KekSource
from notafter.domain.certificate import Challenge, ChallengeType
from notafter.domain.job import OPEN_JOB_STATES
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import account, adopt, due, request
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.due import Limits
from notafter.lifecycle.record import Desk, record
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.unlock import unlock
from notafter.lifecycle.work import Worker
from notafter.runner import processes, results
from notafter.runner.run import Workshop, runtime_folder
from notafter.store import certificates, jobs
from notafter.store.database import Database
from notafter.store.tables import AccountRow

from tests.factories import PaperCa, binding, scan_result, write_json

ROOT = Path(__file__).parents[3]
ACTIONS = Path(__file__).parent / "actions"
DNS_SECRET = "canary-dns-9f3a1c"

PLAYBOOKS = {
    "scan": """
- hosts: servers
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - notafter.tls.certificate_scan_info:
""",
    "renew": """
- hosts: certificates
  gather_facts: false
  tasks:
    - notafter.tls.acme_sh_certificate:
        name: "{{ inventory_hostname }}"
        names: "{{ certificate_names }}"
        csr: "{{ certificate_csr }}"
        attempt: "{{ certificate_attempt }}"
        job: "{{ notafter_job }}"
      delegate_to: localhost
      register: signed
- hosts: servers
  gather_facts: false
  tasks:
    - notafter.tls.certificate_deploy:
        certificates: "{{ groups['certificates'] }}"
        job: "{{ notafter_job }}"
""",
    "deploy": """
- hosts: servers
  gather_facts: false
  tasks:
    - notafter.tls.certificate_deploy:
        certificates: "{{ groups['certificates'] }}"
        job: "{{ notafter_job }}"
""",
    "verify": """
- hosts: servers
  gather_facts: false
  tasks:
    - notafter.tls.certificate_probe_info:
        certificates: "{{ groups['certificates'] }}"
""",
}


def free_port() -> int:
    """A port that nobody uses, below those that the kernel gives to clients."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def wait_for(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.1)


@dataclass
class World:
    """The folder in which hosts and the CA live."""

    folder: Path
    ca: PaperCa

    def serve_on(self, host: str, *pems_and_bindings: tuple[str | None, dict[str, object]]) -> None:
        """Put certificates on a host."""
        write_json(self.folder / f"scan-{host}.json", scan_result(*pems_and_bindings))

    def behave(self, **hosts: str) -> None:
        """Say how hosts (with `_` for `-`) and certificates behave from now on."""
        write_json(
            self.folder / "behaviour.json",
            {name.replace("_", "-"): how for name, how in hosts.items()},
        )

    def orders(self) -> list[str]:
        """The attempts for which the CA was asked for a new certificate."""
        path = self.folder / "orders"
        return path.read_text().split() if path.exists() else []

    def served(self, deployment: str) -> str | None:
        """The fingerprint that a place serves."""
        path = self.folder / f"served-{deployment}"
        return path.read_text() if path.exists() else None


class Stage:
    """A control plane and its small world, in one folder."""

    def __init__(self, folder: Path, hosts: tuple[str, ...] = ("web1",), life: float = 7776000) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.world = World(folder / "world", PaperCa())
        self.world.folder.mkdir(parents=True)
        (self.world.folder / "ca.pem").write_bytes(self.world.ca.key_pem)
        (self.world.folder / "life").write_text(str(life))
        self._write_project(hosts)
        self.port = free_port()
        self.data = folder / "data"
        self.database = Database(f"sqlite:///{self.data / 'notafter.db'}")
        self.database.migrate()
        self.custodian = unlock(self.database, KekSource(self.data / "kek"))
        self.desk = Desk(self.database, self.custodian)
        self.workshop = Workshop(
            project=self.project,
            inventory=folder / "inventory.yml",
            runtime=runtime_folder(self.data),
            api_url=f"http://127.0.0.1:{self.port}",
            timeout=60,
        )
        self.offset = timedelta(0)

    def clock(self) -> datetime:
        """The real time, plus what a test has skipped."""
        return datetime.now(UTC) + self.offset

    def worker(self) -> Worker:
        """One who carries jobs through."""
        return Worker(self.desk, self.workshop, self.clock, threading.Event())

    def work(self) -> int:
        """Carry all waiting jobs through; return how many there were."""
        worker, count = self.worker(), 0
        while worker.step():
            count += 1
        return count

    def tick(self) -> list[int]:
        """Look for what is due."""
        return due.tick(self.database, self.clock(), Limits())

    def scan(self) -> None:
        """Scan the whole fleet."""
        with self.database.write() as session:
            request.scan(session, [], "test", self.clock())
        assert self.work() == 1

    def found(self, host: str, *pems_and_bindings: tuple[str | None, dict[str, object]]) -> None:
        """Record what a scan of a host would find, without a run."""
        self.world.serve_on(host, *pems_and_bindings)
        with self.database.write() as session:
            request.scan(session, [host], "test", self.clock())
            claim = jobs.claim(session, processes.identity(), "paper", self.clock())
        assert claim is not None
        outcome = results.scanned(host, scan_result(*pems_and_bindings))
        record(self.desk, claim, outcome, self.clock())
        finish(self.database, claim, RunEnd(RunState.COMPLETED), self.clock())

    def adopt_all(self) -> list[str]:
        """Adopt all that was found, with an account made on paper."""
        self.make_account()
        with self.database.write() as session:
            challenge = Challenge(ChallengeType.DNS_01, "dns_paper")
            terms = Terms(account="paper", challenge=challenge, credential="paper")
            adopted, _ = adopt.adopt_all(session, terms, self.clock())
            return [row.key for row in adopted]

    def make_account(self) -> None:
        """Put an account on record without asking a directory."""
        with self.database.write() as session:
            row = AccountRow(
                name="paper",
                directory="https://ca.invalid/dir",
                bundle_pem=self.world.ca.pem,
                sealed_key="",
                thumbprint="paper",
                created_at=self.clock(),
            )
            session.add(row)
            session.flush()
            row.sealed_key = self.custodian.seal(keys.account_pem(), Place("account", row.id, "sealed_key"))
        account.create_credential(
            self.database,
            self.custodian,
            "paper",
            "dns_paper",
            {"PAPER_TOKEN": DNS_SECRET},
            self.clock(),
        )

    def make_due(self) -> None:
        """Let the first renewal of every certificate have come."""
        with self.database.write() as session:
            for row in certificates.page(session, 0, 1000):
                row.renew_at = row.first_renewal_at = self.clock() - timedelta(seconds=1)
                row.next_attempt_at = None

    def make_due_deployments(self) -> None:
        """End the back-off of every deployment."""
        with self.database.write() as session:
            for row in certificates.page(session, 0, 1000):
                for place in row.deployments:
                    place.next_attempt_at = None

    @contextmanager
    def api(self) -> Iterator[str]:
        """Serve the API from this process."""
        service = Service(self.database, self.custodian, self.clock, lambda: None)
        config = uvicorn.Config(
            application.create(service), host="127.0.0.1", port=self.port, log_config=None
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield self.workshop.api_url
        finally:
            server.should_exit = True
            thread.join()

    @contextmanager
    def serve(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run the real process; it is asked to stop in the end."""
        log = (self.folder / "serve.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "notafter", "serve"],
            env=self.environment(**environment),
            stderr=log,
            stdout=log,
        )
        try:
            yield process
        except AssertionError:
            print((self.folder / "serve.log").read_text()[-4000:])
            raise
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            log.close()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of our own processes."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(ROOT / "controlplane"),
            "NOTAFTER_DATA_DIR": str(self.data),
            "NOTAFTER_PROJECT": str(self.project),
            "NOTAFTER_INVENTORY": str(self.folder / "inventory.yml"),
            "NOTAFTER_PORT": str(self.port),
            "NOTAFTER_TICK_SECONDS": "0.3",
            **more,
        }

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return subprocess.run(
            [sys.executable, "-m", "notafter", *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            input=stdin,
            check=False,
        )

    def _write_project(self, hosts: tuple[str, ...]) -> None:
        playbooks = self.project / "playbooks"
        playbooks.mkdir(parents=True)
        for name, text in PLAYBOOKS.items():
            (playbooks / f"{name}.yml").write_text("---" + text)
        tls = self.project / "collections" / "ansible_collections" / "notafter" / "tls" / "plugins"
        (tls / "modules").mkdir(parents=True)
        (tls / "action").symlink_to(ACTIONS)
        for action in ACTIONS.glob("*.py"):
            (tls / "modules" / action.name).write_text("")
        (self.project / "ansible.cfg").write_text(
            "[defaults]\ncollections_path = collections\ngathering = explicit\nforks = 4\n"
        )
        (self.folder / "inventory.yml").write_text(
            json.dumps(
                {
                    "servers": {"hosts": {host: {} for host in hosts}},
                    "all": {
                        "vars": {
                            "world": str(self.world.folder),
                            "ansible_connection": "local",
                            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                        }
                    },
                }
            )
        )


def one_certificate(stage: Stage, *hosts: str, life: timedelta = timedelta(days=90)) -> str:
    """Put one certificate on hosts, scan, adopt; return its key."""
    pem = stage.world.ca.certificate_for("shop.example", not_before=stage.clock(), life=life)
    for host in hosts or ("web1",):
        stage.found(host, (pem, binding(pem)))
    (key,) = stage.adopt_all()
    return key


def in_sync(stage: Stage, key: str) -> bool:
    """Tell whether no job is open and all places show the newest version."""
    with stage.database.read() as session:
        row = certificates.by_key(session, key)
        wanted = row.current
        idle = not any(job.state in OPEN_JOB_STATES for job in jobs.page(session, None, 50))
        return bool(
            idle
            and wanted
            and wanted.sealed_key
            and all(place.live_fingerprint == wanted.fingerprint for place in row.deployments)
        )
