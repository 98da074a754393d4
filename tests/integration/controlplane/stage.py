"""A control plane without a fleet: its database, its keys, its live API and its command line.

All of it is the real thing. What hosts would report is handed to the recorder as what it
is to the control plane: an outcome. What needs hosts is told in `tests/e2e/`.
"""

from __future__ import annotations

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
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from notafter.api import application
from notafter.api.service import Service
from notafter.custody import keys
from notafter.custody.custodian import Place
from notafter.custody.kek import KekSource
from notafter.domain.certificate import Challenge, ChallengeType
from notafter.domain.run import RunEnd, RunState
from notafter.lifecycle import account, adopt, request, signing
from notafter.lifecycle.adopt import Terms
from notafter.lifecycle.record import Desk, record
from notafter.lifecycle.record.finish import finish
from notafter.lifecycle.unlock import unlock
from notafter.runner import processes, results
from notafter.runner.run import Workshop, runtime_folder
from notafter.store import jobs
from notafter.store.database import Database
from notafter.store.tables import AccountRow, Base
from sqlalchemy import select

from tests.answering_ca import HERE
from tests.authority import Authority
from tests.factories import binding, scan_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notafter.domain.outcome import Outcome
    from notafter.store.jobs import Claim
    from starlette.types import ASGIApp

ROOT = Path(__file__).parents[3]
DNS_SECRET = "canary-dns-9f3a1c"


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


class Stage:
    """A control plane in one folder; its inventory names servers that nobody connects to."""

    def __init__(
        self, folder: Path, hosts: tuple[str, ...] = ("web1",), database_url: str | None = None
    ) -> None:
        self.folder = folder
        self.project = ROOT
        self.inventory = folder / "inventory.json"
        self.inventory.write_text(json.dumps({"servers": {"hosts": {host: {} for host in hosts}}}))
        self.ca = Authority()
        self.ahead = timedelta(0)
        self.stands_at: datetime | None = None
        self.port = free_port()
        self.data = folder / "data"
        self.url = database_url or f"sqlite:///{self.data / 'notafter.db'}"
        self.database = Database(self.url)
        self.database.migrate()
        self.custodian = unlock(self.database, KekSource(self.data / "kek"))
        self.desk = Desk(self.database, self.custodian)

    @property
    def workshop(self) -> Workshop:
        """Where runs happen."""
        return Workshop(
            project=self.project,
            inventory=self.inventory,
            runtime=runtime_folder(self.data),
            api_url=f"http://127.0.0.1:{self.port}",
            timeout=60,
        )

    def clock(self) -> datetime:
        """The time, or what a test has made of it."""
        return (self.stands_at or datetime.now(UTC)) + self.ahead

    def stored(self) -> bytes:
        """All that whoever gets hold of the database sees."""
        if self.database.url.get_backend_name() == "sqlite":
            files = self.data.glob("notafter.db*")
            return b"".join(file.read_bytes() for file in files)
        with self.database.read() as session:
            tables = [session.execute(select(table)).all() for table in Base.metadata.sorted_tables]
        return repr(tables).encode()

    def claim(self) -> Claim:
        """Take the oldest waiting job, as a worker does."""
        with self.database.write() as session:
            claim = jobs.claim(session, processes.identity(), "run", self.clock())
        assert claim is not None
        return claim

    def report(self, claim: Claim, *outcomes: Outcome) -> None:
        """Hand what a run reported to the recorder, and end the job."""
        for outcome in outcomes:
            record(self.desk, claim, outcome, self.clock())
        finish(self.database, claim, RunEnd(RunState.COMPLETED), self.clock())

    def found(self, host: str, *pems_and_bindings: tuple[str | None, dict[str, object]]) -> None:
        """Record what a scan of a host has found."""
        with self.database.write() as session:
            request.scan(session, [host], "test", self.clock())
        self.report(self.claim(), results.scanned(host, scan_result(*pems_and_bindings)))

    def make_account(self) -> None:
        """Put an account on record without asking a directory, and a DNS credential."""
        with self.database.write() as session:
            row = AccountRow(
                name="main",
                directory="https://ca.invalid/dir",
                sealed_key="",
                thumbprint="none",
                created_at=self.clock(),
            )
            session.add(row)
            session.flush()
            row.sealed_key = self.custodian.seal(keys.account_pem(), Place("account", row.id, "sealed_key"))
        account.create_credential(
            self.database, self.custodian, "main", "dns_x", {"X_TOKEN": DNS_SECRET}, self.clock()
        )

    def adopt_all(self) -> list[str]:
        """Adopt all that was found; return the keys."""
        self.make_account()
        with self.database.write() as session:
            terms = Terms(
                account="main", challenge=Challenge(ChallengeType.DNS_01, "dns_x"), credential="main"
            )
            adopted, _ = adopt.adopt_all(session, terms, self.clock())
            return [row.key for row in adopted]

    def one_certificate(self, *hosts: str) -> str:
        """Find one certificate on hosts, and adopt it; return its key."""
        pem = self.ca.issue("shop.example").certificate
        for host in hosts or ("web1",):
            self.found(host, (pem, binding(pem)))
        (key,) = self.adopt_all()
        return key

    def renewing(self) -> Claim:
        """A renewal of the first certificate as far as a worker gets before it starts Ansible."""
        with self.database.write() as session:
            request.renew(session, [1], "test", self.clock())
        claim = self.claim()
        signing.prepare(self.desk, claim, self.clock())
        return claim

    @property
    def service(self) -> Service:
        """What the API's routes see."""
        return Service(self.database, self.custodian, self.clock, lambda: None, reach=HERE)

    @contextmanager
    def api(self, app: ASGIApp | None = None) -> Iterator[str]:
        """Serve the API from this process, as it is or as a test has made it."""
        served = app or application.served(self.service)
        config = uvicorn.Config(served, host="127.0.0.1", port=self.port, log_config=None)
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
    def serve(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the real process; it is asked to stop in the end."""
        with (self.folder / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "notafter", "serve"], env=self.environment(), stderr=log, stdout=log
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

    def environment(self) -> dict[str, str]:
        """The environment of our own processes."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(ROOT / "controlplane"),
            "NOTAFTER_DATA_DIR": str(self.data),
            "NOTAFTER_DATABASE_URL": self.url,
            "NOTAFTER_PROJECT": str(self.project),
            "NOTAFTER_INVENTORY": str(self.inventory),
            "NOTAFTER_PORT": str(self.port),
            "NOTAFTER_TICK_SECONDS": "0.3",
            "NOTAFTER_CA_NETWORKS": "127.0.0.0/8",
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
