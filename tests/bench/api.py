"""What calls of the API take on a large fleet: percentiles and requests a second, of one client and of many.

Fills a database (SQLite, or a PostgreSQL of its own), starts the real `notafter serve` on it, asks for each
list, filter and detail, then looks at the due query and at a tick with nothing due. Prints the plan of each
query that reads a whole table, and at last the worst 95th percentile of one client.

    make bench B=api                              100,000 certificates on SQLite
    make bench B="api --postgresql --size 10"     a million on PostgreSQL
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from notafter import logs
from notafter.domain.user import Right
from notafter.lifecycle import due, findings
from notafter.lifecycle.due import Limits
from notafter.store import certificates, tokens
from notafter.store.database import Database
from notafter.store.tables import (
    AccountRow,
    CertificateRow,
    DeploymentRow,
    ItemRow,
    JobRow,
    ServerRow,
    VersionRow,
)
from sqlalchemy import event, insert, text

from tests.authority import Authority
from tests.integration.controlplane.stage import ROOT, free_port
from tests.postgresql import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
#: Of size 1, which `--size` multiplies.
CERTIFICATES, SERVERS, DEPLOYMENTS, JOBS = 100_000, 10_000, 200_000, 50_000
AT_ONCE = 5_000
#: Each call is asked so often by one client, and so many clients ask at once.
TIMES, CLIENTS = 60, 16
#: A call that takes longer than this is not asked any more often than it must be.
PATIENCE = 20.0


@dataclass(frozen=True)
class Call:
    """One thing to ask for; `{n}` is another number each time."""

    name: str
    path: str
    most: int = 1


@dataclass(frozen=True)
class Measured:
    """What a call took: milliseconds at some percentiles, and requests a second."""

    p50: float
    p95: float
    p99: float
    rate: float


def calls(size: float) -> list[Call]:
    """Each list, filter and detail."""
    many = int(CERTIFICATES * size)
    return [
        Call("certificates, first page", "/api/v1/certificates?limit=50"),
        Call("certificates, any page", "/api/v1/certificates?limit=50&after={n}", many),
        Call("certificate", "/api/v1/certificates/{n}", many),
        Call("servers, any page", "/api/v1/servers?limit=50&after={n}", int(SERVERS * size)),
        Call("server", "/api/v1/servers/web{n}.example.net", int(SERVERS * size)),
        Call("jobs, first page", "/api/v1/jobs?limit=50"),
        Call("jobs, any page", "/api/v1/jobs?limit=50&before={n}", int(JOBS * size)),
        Call("job", "/api/v1/jobs/{n}", int(JOBS * size)),
        Call("job, its lines", "/api/v1/jobs/{n}/lines", int(JOBS * size)),
        Call("accounts", "/api/v1/accounts"),
        Call("audit", "/api/v1/audit?who=alice"),
        Call("findings, first page", "/api/v1/findings?limit=50"),
        Call("findings of a kind", "/api/v1/findings?kind=not_managed&limit=50"),
        Call("findings with a text", "/api/v1/findings?text=shop{n}.", many),
        Call("findings of a server", "/api/v1/findings?server=web{n}.example.net", int(SERVERS * size)),
        Call("readiness", "/readyz"),
        Call("figures", "/metrics"),
    ]


def fill(database: Database, size: float) -> None:
    """Put a fleet on record: adopted certificates of one account, each at two servers, and many jobs."""
    authority = Authority()
    pem = authority.issue("shop.example").certificate
    many = int(CERTIFICATES * size)
    rows(database, AccountRow, [_account()])
    rows(database, ServerRow, (_server(n) for n in range(1, int(SERVERS * size) + 1)))
    rows(database, CertificateRow, (_certificate(n) for n in range(1, many + 1)))
    rows(database, VersionRow, (_version(n, pem) for n in range(1, many + 1)))
    count = int(DEPLOYMENTS * size)
    rows(database, DeploymentRow, (_deployment(n, many, size) for n in range(1, count + 1)))
    rows(database, JobRow, (_job(n) for n in range(1, int(JOBS * size) + 1)))
    rows(database, ItemRow, (_item(n, many) for n in range(1, int(JOBS * size) + 1)))


def rows(database: Database, table: Any, values: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    """Insert many rows."""
    some: list[dict[str, Any]] = []
    for one in values:
        some.append(one)
        if len(some) == AT_ONCE:
            _insert(database, table, some)
            some = []
    if some:
        _insert(database, table, some)


def _insert(database: Database, table: Any, some: list[dict[str, Any]]) -> None:
    with database.write() as session:
        session.execute(insert(table), some)


def _fingerprint(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _account() -> dict[str, Any]:
    return {
        "name": "main",
        "directory": "https://ca.invalid/dir",
        "sealed_key": "",
        "thumbprint": "x",
        "created_at": NOW,
    }


def _server(number: int) -> dict[str, Any]:
    return {
        "name": f"web{number}.example.net",
        "facts": {"os": "Debian 12", "addresses": [f"10.0.{number % 250}.{number % 200}"]},
        "enrolled_at": NOW - 300 * DAY,
        "last_seen_at": NOW,
        "last_scan_at": NOW,
        "machine_id": f"{number:032x}",
    }


def _not_after(number: int) -> datetime:
    return NOW + timedelta(days=31 + number % 60, seconds=number % 86_400)


def _certificate(number: int) -> dict[str, Any]:
    return {
        "names": [f"shop{number}.example.com", f"www.shop{number}.example.com"],
        "current_version_id": number,
        "created_at": NOW - 300 * DAY,
        "adopted_at": NOW - 299 * DAY,
        "account_id": 1,
        "challenge": {"type": "http-01", "mode": "stateless"},
        "renew_at": _not_after(number) - 30 * DAY,
    }


def _version(number: int, pem: str) -> dict[str, Any]:
    return {
        "certificate_id": number,
        "fingerprint": _fingerprint(number),
        "serial": f"{number:040x}",
        "issuer": "CN=A CA",
        "names": [f"shop{number}.example.com"],
        "key_type": "ec-256",
        "not_before": _not_after(number) - 90 * DAY,
        "not_after": _not_after(number),
        "pem": pem,
        "chain_pem": "",
        "sealed_key": "v1.k.d.v",
        "origin": "issued",
        "account_id": 1,
        "created_at": _not_after(number) - 90 * DAY,
    }


def _deployment(number: int, many: int, size: float) -> dict[str, Any]:
    certificate = (number - 1) % many + 1
    return {
        "certificate_id": certificate,
        "server_id": (number - 1) % int(SERVERS * size) + 1,
        "service": "nginx",
        "path": f"/etc/ssl/shop{number}.pem",
        "config_file": f"/etc/nginx/sites-enabled/shop{number}",
        "names": [f"shop{certificate}.example.com"],
        "listeners": ["0.0.0.0:443"],
        "files": [],
        "created_at": NOW - 300 * DAY,
        "adopted_at": NOW - 299 * DAY if number % 4 else None,
        "file_fingerprint": _fingerprint(certificate),
        "live_fingerprint": _fingerprint(certificate),
        "verified_at": NOW,
        "deployed_at": NOW - 20 * DAY,
    }


def _job(number: int) -> dict[str, Any]:
    at = NOW - 300 * DAY + timedelta(minutes=number * 5)
    return {
        "kind": "renew",
        "state": "succeeded",
        "reason": "due",
        "requested_by": "the clock",
        "created_at": at,
        "started_at": at,
        "finished_at": at + timedelta(minutes=1),
        "fence": 1,
    }


def _item(number: int, many: int) -> dict[str, Any]:
    return {
        "job_id": number,
        "subject": "certificate",
        "certificate_id": number % many + 1,
        "state": "succeeded",
        "due_reason": "due",
        "reason": "issued",
        "account_id": 1,
        "order_kind": "replaces",
        "finished_at": NOW - 300 * DAY + timedelta(minutes=number * 5),
    }


@contextlib.contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[str, int, float]]:
    """Run the real process on a database; yields where it is, its pid, and the seconds until it was ready."""
    port = free_port()
    inventory = folder / "inventory.json"
    inventory.write_text('{"servers": {"hosts": {}}}')
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "controlplane"),
        "NOTAFTER_DATA_DIR": str(folder),
        "NOTAFTER_DATABASE_URL": url,
        "NOTAFTER_PROJECT": str(ROOT),
        "NOTAFTER_INVENTORY": str(inventory),
        "NOTAFTER_PORT": str(port),
        "NOTAFTER_TICK_SECONDS": "3600",
        "NOTAFTER_SCAN_INTERVAL_SECONDS": "0",
    }
    began = time.monotonic()
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "notafter", "serve"], env=environment, stdout=log, stderr=log
        )
    try:
        where = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{where}/readyz", trust_env=False).status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() - began > 120:
                raise SystemExit(f"it did not start: {(folder / 'serve.log').read_text()[-2000:]}")
            time.sleep(0.02)
        yield where, process.pid, time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ask(where: str, token: str, call: Call, times: int) -> list[float]:
    """Ask again and again, for other numbers each time; return the seconds of each."""
    found: list[float] = []
    chance = random.Random(call.name)  # noqa: S311 -- which page is asked for
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=where, headers=headers, trust_env=False, timeout=600) as client:
        client.get("/healthz")
        until = time.monotonic() + PATIENCE
        for _ in range(times):
            path = call.path.format(n=chance.randint(1, call.most))
            began = time.perf_counter()
            answer = client.get(path)
            found.append(time.perf_counter() - began)
            if answer.status_code != 200:
                raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
            if time.monotonic() > until:
                break
    return found


def measure(where: str, token: str, call: Call, clients: int) -> Measured:
    """Ask with so many clients at once."""
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda: found.extend(ask(where, token, call, TIMES // (1 + clients // 4))))
        for _ in range(clients)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.monotonic() - began
    found.sort()
    p50, p95, p99 = (
        found[min(len(found) - 1, int(len(found) * share))] * 1000 for share in (0.5, 0.95, 0.99)
    )
    return Measured(p50, p95, p99, len(found) / whole)


def timed(work: Callable[[], object]) -> float:
    """Return the best of three, in milliseconds."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def due_query(database: Database) -> None:
    """Ask what is due, as a tick does."""
    with database.read() as session:
        certificates.due(session, NOW)


def plans(database: Database, where: str, token: str, size: float) -> list[str]:
    """Return what reads whole tables: queries of the tick, and of each call when asked in this process."""
    seen: dict[str, tuple[str, Any]] = {}

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            seen.setdefault(statement, (statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    _in_process(database, token, size)
    due_query(database)
    event.remove(database.engine, "before_cursor_execute", note)
    assert where
    explain = "EXPLAIN QUERY PLAN " if database.url.get_backend_name() == "sqlite" else "EXPLAIN "
    found = []
    with database.engine.connect() as connection:
        for statement, parameters in seen.values():
            plan = connection.exec_driver_sql(explain + statement, parameters).all()
            lines = [str(row[-1]) for row in plan]
            if any(_reads_all(line) for line in lines):
                found.append("\n    ".join([" ".join(statement.split())[:300], *lines]))
    return found


def _reads_all(line: str) -> bool:
    """Tell whether a line of a plan reads a whole table of those that grow."""
    growing = ("certificate", "version", "deployment", "server", "finding", "job", "item", "line", "audit")
    words = line.replace("Seq Scan on ", "SCAN ").split()
    return "SCAN" in words and words[words.index("SCAN") + 1] in growing and "INDEX" not in words


def _in_process(database: Database, token: str, size: float) -> None:
    """Ask for each call once, of an application in this process, so that its queries are seen."""
    import uvicorn  # noqa: PLC0415 -- only here
    from notafter.api import application  # noqa: PLC0415
    from notafter.api.service import Service  # noqa: PLC0415
    from notafter.custody.custodian import Custodian  # noqa: PLC0415
    from notafter.custody.kek import Kek  # noqa: PLC0415

    service = Service(database, Custodian(Kek(bytes(32))), lambda: datetime.now(UTC), lambda: None)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application.served(service), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        for call in calls(size):
            ask(f"http://127.0.0.1:{port}", token, call, 1)
    finally:
        server.should_exit = True
        thread.join()


def main() -> None:
    """Measure, and print."""
    logs.configure("error")
    parser = argparse.ArgumentParser(prog="python -m tests.bench.api", description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="times 100,000 certificates")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--only", default="", help="only calls with this in their name")
    wish = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="notafter-bench-"))
    try:
        if wish.postgresql:
            with postgresql() as server:
                bench(folder, server.make("bench"), wish.size, wish.only)
        else:
            bench(folder, f"sqlite:///{folder / 'notafter.db'}", wish.size, wish.only)
    finally:
        shutil.rmtree(folder)


def bench(folder: Path, url: str, size: float, only: str) -> None:
    """Fill a database, and ask."""
    database = Database(url)
    database.migrate()
    began = time.monotonic()
    fill(database, size)
    token = tokens.fresh()
    with database.write() as session:
        tokens.add(session, "bench", token, NOW, None, tuple(Right))
    filled = time.monotonic() - began
    began = time.monotonic()
    findings.refresh(database, datetime.now(UTC), rounds=1_000_000)
    derived = time.monotonic() - began
    with database.write() as session:
        session.execute(text("ANALYZE"))
    print(
        f"{int(CERTIFICATES * size):,} certificates, {int(SERVERS * size):,} servers, "
        f"{int(DEPLOYMENTS * size):,} deployments, {int(JOBS * size):,} jobs on "
        f"{database.url.get_backend_name()}, filled in {filled:.0f} s, findings derived in {derived:.0f} s"
    )
    worst = 0.0
    with serving(folder, url) as (where, pid, ready):
        print(f"ready after {ready:.1f} s, {memory(pid):.0f} MiB")
        print(f"{'':28} {'p50':>9} {'p95':>9} {'p99':>9} {'req/s':>7}   with {CLIENTS}: p95, req/s")
        for call in calls(size):
            if only not in call.name:
                continue
            alone, together = (measure(where, token, call, clients) for clients in (1, CLIENTS))
            worst = max(worst, alone.p95)
            print(
                f"{call.name:28} {alone.p50:9.1f} {alone.p95:9.1f} {alone.p99:9.1f} {alone.rate:7.0f}"
                f"   {together.p95:9.1f} {together.rate:7.0f}",
                flush=True,
            )
        print(f"afterwards {memory(pid):.0f} MiB")
        for plan in plans(database, where, token, size):
            print(f"reads a whole table: {plan}")
    print(f"due query {timed(lambda: due_query(database)):.1f} ms")
    limits = Limits(certificates_per_job=50, scan_interval=None)
    print(f"a tick with nothing due {timed(lambda: due.tick(database, NOW, limits)):.1f} ms")
    database.close()
    print(f"worst p95 {worst:.1f} ms")


def memory(pid: int) -> float:
    """Return the resident memory of a process in MiB (proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
