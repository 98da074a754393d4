"""K4, K5: the database is held by somebody else, or its disk full: nothing breaks or is ordered in vain."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.domain.errors import DatabaseBusy, DatabaseFull
from notafter.domain.job import ItemState
from notafter.domain.outcome import FailureClass, IssueFailed
from notafter.domain.user import Right
from notafter.lifecycle import request
from notafter.lifecycle.insist import Insistence
from notafter.lifecycle.record import record
from notafter.lifecycle.work import Worker
from notafter.store import certificates, items, tokens
from notafter.store.database import Database
from sqlalchemy import text

from tests.integration.controlplane.stage import Stage, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS, sched.h
_PRIVATE = (1 << 18) | 16384  # MS_PRIVATE | MS_REC, sys/mount.h


@contextmanager
def held(stage: Stage) -> Iterator[None]:
    """Somebody else writes and does not come to an end."""
    if stage.database.url.get_backend_name() == "sqlite":
        other = sqlite3.connect(stage.data / "notafter.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    holder = Database(stage.url)
    with holder.write() as session:
        session.execute(text("SELECT 1"))
        yield
    holder.close()


@pytest.fixture
def impatient(stage: Stage) -> Iterator[Stage]:
    """A control plane that waits a moment for the database, and not half a minute."""
    stage.database.close()
    stage.database = Database(stage.url, busy_seconds=0.2)
    stage.desk = type(stage.desk)(stage.database, stage.custodian)
    yield stage
    stage.database.close()


def test_k4_the_api_says_503_while_somebody_else_holds_the_database(impatient: Stage) -> None:
    key = impatient.one_certificate()
    secret = tokens.fresh()
    with impatient.database.write() as session:
        tokens.add(session, "test", secret, impatient.clock(), None, tuple(Right))
    path = f"/api/v1/certificates/{key.removeprefix('crt-')}/renew"
    headers = {"Authorization": f"Bearer {secret}"}
    with impatient.api() as url, httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        with held(impatient):
            refused = client.post(path)
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:notafter:problem:database-busy"
        assert refused.headers["Retry-After"] == "5"
        assert client.post(path).is_success


def test_k4_what_a_run_reports_is_recorded_when_the_database_is_free_again(impatient: Stage) -> None:
    key = impatient.one_certificate()
    claim = impatient.renewing()
    outcome = IssueFailed(key, FailureClass.CA_UNAVAILABLE, "no answer")
    with held(impatient):
        with pytest.raises(DatabaseBusy):
            record(impatient.desk, claim, outcome, impatient.clock())
        waiting = threading.Thread(
            target=Insistence(pause=0.1).on,
            args=(lambda: record(impatient.desk, claim, outcome, impatient.clock()),),
        )
        waiting.start()
        time.sleep(0.5)
        assert waiting.is_alive()
    waiting.join(60)
    with impatient.database.read() as session:
        assert certificates.by_key(session, key).last_problem == "no answer"


def on_a_small_disk(folder: Path, kilobytes: int, work: Callable[[], Any]) -> Any:
    """Does something in a thread that has a disk of its own at a folder; nobody else sees that."""
    found: list[Any] = []
    libc = ctypes.CDLL(None, use_errno=True)

    def on_it() -> None:
        assert libc.unshare(_NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
        assert libc.mount(None, b"/", None, _PRIVATE, None) == 0
        options = f"size={kilobytes}k".encode()
        assert libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options) == 0
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            found.append(error)

    thread = threading.Thread(target=on_it)
    thread.start()
    thread.join(120)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def test_k5_on_a_full_disk_nothing_is_ordered_and_later_it_goes_on(tmp_path: Path) -> None:
    def story() -> None:
        stage = Stage(tmp_path)
        stage.one_certificate()
        with stage.database.write() as session:
            job = request.renew(session, [1], "test", stage.clock()).id
        filler = tmp_path / "filler"
        room = os.statvfs(tmp_path)
        filler.write_bytes(bytes(room.f_bavail * room.f_frsize - 300 * 1024))
        with pytest.raises(DatabaseFull, match="no room"):
            stage.database.require_room(1024 * 1024)
        stage.project = tmp_path  # has no playbook: a run that is begun says so
        worker = Worker(stage.desk, stage.workshop, stage.clock)
        assert worker.step()
        assert told(stage, job) == {(ItemState.FAILED, True), (ItemState.SKIPPED, True)}
        filler.unlink()
        with stage.database.write() as session:
            certificates.get(session, 1).next_attempt_at = None
            again = request.renew(session, [1], "test", stage.clock()).id
        assert worker.step()
        assert told(stage, again) == {(ItemState.FAILED, False), (ItemState.SKIPPED, False)}, (
            "it gets to Ansible"
        )
        stage.database.close()

    on_a_small_disk(tmp_path, 4096, story)


def test_k5_a_disk_that_fills_while_a_run_goes_on_loses_no_outcome(tmp_path: Path) -> None:
    def story() -> None:
        stage = Stage(tmp_path)
        key = stage.one_certificate()
        claim = stage.renewing()
        filler = tmp_path / "filler"
        fill(filler)
        outcome = IssueFailed(key, FailureClass.CA_UNAVAILABLE, "x" * 20_000)
        with pytest.raises(DatabaseFull):
            record(stage.desk, claim, outcome, stage.clock())
        freed = threading.Timer(0.5, filler.unlink)
        freed.start()
        Insistence(pause=0.1).on(lambda: record(stage.desk, claim, outcome, stage.clock()))
        with stage.database.read() as session:
            assert (certificates.by_key(session, key).last_problem or "").startswith("xx")
        stage.database.close()

    on_a_small_disk(tmp_path, 4096, story)


def fill(path: Path) -> None:
    """Takes all the room that a disk has left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def told(stage: Stage, job: int) -> set[tuple[ItemState, bool]]:
    """How the items of a job ended, and whether for want of room."""
    with stage.database.read() as session:
        return {(item.state, "no room" in (item.message or "")) for item in items.of_job(session, job)}


def test_k4_while_somebody_writes_the_api_goes_on_reading(stage: Stage) -> None:
    """Neither the last use of a token nor writers that wait keep readers from an answer."""
    secret = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "test", secret, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {secret}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        with held(stage):
            writers = [
                threading.Thread(target=lambda: httpx.post(f"{url}/api/v1/scan", headers=headers, timeout=60))
                for _ in range(20)
            ]
            for writer in writers:
                writer.start()
            began = time.monotonic()
            for path in ("/api/v1/jobs", "/metrics", "/readyz"):
                assert client.get(path).status_code == 200
            assert time.monotonic() - began < 15, "a writer waits for 30 s"
        for writer in writers:
            writer.join()
        wait_for(lambda: client.get("/api/v1/tokens").json()["items"][0]["last_used_at"])
