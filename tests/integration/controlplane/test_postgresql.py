"""What only PostgreSQL can do to us: restarts, a standby, a writer that stands still, limits of its types."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from notafter.domain.errors import DatabaseAway, DatabaseBusy, StoreError
from notafter.domain.user import Right
from notafter.lifecycle import request
from notafter.runner import results
from notafter.store import servers, tokens
from notafter.store.database import Database
from notafter.store.tables import Base, ServerRow
from sqlalchemy import text

from tests.factories import NOW, binding, scan_result
from tests.postgresql import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.controlplane.stage import Stage
    from tests.postgresql import Postgresql

pytestmark = pytest.mark.parametrize("stage", ["postgresql"], indirect=True)


@pytest.fixture
def own_server() -> Iterator[Postgresql]:
    """A server that a test may stop."""
    with postgresql() as started:
        yield started


@pytest.fixture
def database(own_server: Postgresql) -> Iterator[Database]:
    made = Database(own_server.make("own"), busy_seconds=2)
    made.migrate()
    yield made
    made.close()


def test_the_migrations_end_where_the_tables_are(stage: Stage) -> None:
    with stage.database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        partial = connection.execute(
            text("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '% WHERE %'")
        )
        assert partial.scalar_one() == 4


def test_k9_a_migration_that_breaks_off_at_any_statement_has_changed_nothing(
    stage: Stage, server: Postgresql
) -> None:
    from tests.integration.controlplane.test_migrations import breaks_off_everywhere  # noqa: PLC0415

    assert stage.url
    server.make("early")
    database = Database(server.url("early"))
    try:
        breaks_off_everywhere(database)
    finally:
        database.close()
        server.drop("early")


def test_two_starts_at_once_migrate_once(stage: Stage, server: Postgresql) -> None:
    assert stage.url
    server.make("twice")
    databases = [Database(server.url("twice")) for _ in range(4)]
    try:
        threads = [threading.Thread(target=database.migrate) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        databases[0].check()
    finally:
        for database in databases:
            database.close()
        server.drop("twice")


def test_many_writers_that_read_first_lose_nothing(stage: Stage) -> None:
    with stage.database.write() as session:
        session.add(ServerRow(name="counter", enrolled_at=NOW, scan_failures=0))

    def count() -> None:
        for _ in range(20):
            with stage.database.write() as session:
                row = servers.by_name(session, "counter")
                row.scan_failures += 1

    threads = [threading.Thread(target=count) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stage.database.read() as session:
        assert servers.by_name(session, "counter").scan_failures == 200


def test_a_reader_sees_one_moment_and_changes_nothing(stage: Stage) -> None:
    with stage.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM server")).scalar_one() == 0
        with stage.database.write() as other:
            other.add(ServerRow(name="web9", enrolled_at=NOW))
        assert session.execute(text("SELECT count(*) FROM server")).scalar_one() == 0
    with pytest.raises(DatabaseAway, match="read-only"), stage.database.read() as session:
        session.execute(text("DELETE FROM server"))


def test_k4_after_a_restart_it_goes_on_and_meanwhile_the_api_says_503(
    stage: Stage, own_server: Postgresql, database: Database
) -> None:
    secret = tokens.fresh()
    with database.write() as session:
        tokens.add(session, "test", secret, stage.clock(), None, tuple(Right))
    stage.database.close()
    stage.database = database
    headers = {"Authorization": f"Bearer {secret}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        for crash in (False, True):
            assert client.get("/api/v1/jobs").status_code == 200
            own_server.stop(crash=crash)
            for path in ("/api/v1/jobs", "/readyz"):
                away = client.get(path)
                assert away.status_code == 503, away.text
            assert client.get("/api/v1/jobs").json()["type"] == "urn:notafter:problem:database-away"
            assert client.get("/healthz").status_code == 200
            own_server.start()
            assert client.get("/api/v1/jobs").status_code == 200
            assert client.get("/readyz").json()["status"] == "ready"


def test_k4_a_restart_in_the_middle_of_a_change_is_told_and_leaves_nothing(
    own_server: Postgresql, database: Database, stage: Stage
) -> None:
    assert stage.url

    def broken_off() -> None:
        with database.write() as session:
            session.add(ServerRow(name="web1", enrolled_at=NOW))
            session.flush()
            own_server.stop(crash=True)
            own_server.start()

    with pytest.raises(DatabaseAway):
        broken_off()
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM server")).scalar_one() == 0


def test_k4_who_waits_too_long_for_another_writer_is_told_so(stage: Stage) -> None:
    impatient = Database(stage.url, busy_seconds=0.3)
    with stage.database.write() as session:
        session.execute(text("SELECT 1"))
        began = time.monotonic()
        with pytest.raises(DatabaseBusy, match="was held by somebody else"), impatient.write() as other:
            other.execute(text("SELECT 1"))
        assert time.monotonic() - began < 30
    impatient.close()


def test_k4_an_empty_pool_is_busy_and_no_failure(stage: Stage) -> None:
    impatient = Database(stage.url, busy_seconds=0.2)
    with contextlib.ExitStack() as taken:
        for _ in range(40):
            session = taken.enter_context(impatient.read())
            session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseBusy, match="all connections"), impatient.read() as session:
            session.execute(text("SELECT 1"))
    impatient.close()


def test_a_writer_that_stands_still_loses_its_lock(stage: Stage) -> None:
    """SIGSTOP, a dead network: after a minute PostgreSQL ends its transaction, and others go on."""
    still = Database(stage.url)

    def stand_still() -> None:
        with still.write() as session:
            session.execute(text("SET idle_in_transaction_session_timeout = 500"))
            began = time.monotonic()
            with stage.database.write() as other:
                other.add(ServerRow(name="web9", enrolled_at=NOW))
            assert time.monotonic() - began < 20
            session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway):
        stand_still()
    still.close()
    with stage.database.read() as session:
        assert servers.by_name(session, "web9").id


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://notafter@/absent?host={folder}", "cannot be opened|does not answer"),
        ("postgresql://notafter:s3cret@127.0.0.1:1/x", "does not answer"),
        ("mysql://x@y/z", "mysql cannot be used: sqlite:///"),
        ("no address", "this is no address of a database"),
    ],
)
def test_a_wrong_address_is_named_without_its_password(
    stage: Stage, server: Postgresql, url: str, told: str
) -> None:
    assert stage.url
    with pytest.raises(StoreError, match=told) as refused:
        Database(url.format(folder=server.folder), busy_seconds=1).migrate()
    assert "s3cret" not in str(refused.value)


def test_what_a_host_says_that_no_column_holds_breaks_off_nothing(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    said: dict[str, Any] = scan_result((pem, binding(pem)), (pem, binding(pem, "/" + "x" * 3000)))
    odd = {"load": float("nan"), "memory": float("inf"), "machine_id": "f" * 3000}
    said["server"] = {**said["server"], **odd}
    with stage.database.write() as session:
        request.scan(session, ["web1"], "test", stage.clock())
    stage.report(stage.claim(), results.scanned("web1", said))
    with stage.database.read() as session:
        row = servers.by_name(session, "web1")
        assert (row.facts["load"], row.machine_id) == (None, None)
        assert len(servers.places(session, row)) == 1
        assert "2000 bytes" in str(row.warnings)


def test_what_its_types_cannot_hold_is_no_failure_of_ours(stage: Stage) -> None:
    secret = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "test", secret, stage.clock(), None, tuple(Right))
        session.add(ServerRow(name="nul\x00and\ud800half", enrolled_at=NOW))
    with stage.database.read() as session:
        assert servers.by_name(session, "nul\ufffdand?half").id
    headers = {"Authorization": f"Bearer {secret}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        big = 2**31
        for path, status in (
            (f"/api/v1/jobs/{big}", 422),
            (f"/api/v1/certificates/{big}", 422),
            (f"/api/v1/jobs?before={2**63}", 422),
            ("/api/v1/servers/a%00b", 404),
            ("/api/v1/audit?who=a%00b", 200),
            (f"/api/v1/jobs/1/bundle/crt-{big}", 401),
        ):
            assert client.get(path).status_code == status, path
        body = {"name": "a\x00b", "password": "x\x00y"}
        assert client.post("/api/v1/auth/login", json=body).status_code == 401
