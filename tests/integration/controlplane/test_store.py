"""The database: writers never find it locked, a job has one holder, history and tables agree."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from notafter.domain.errors import ClaimLost, DatabaseNotReady, DatabaseTooNew, StoreError
from notafter.domain.job import ItemState, JobKind, JobState, Subject
from notafter.store import items, jobs, lines, servers
from notafter.store.database import Database
from notafter.store.tables import Base, ItemRow, ServerRow
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from tests.factories import DAY, NOW


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'db'}")
    made.migrate()
    return made


def schema(database: Database) -> dict[str, str]:
    with database.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"),
        )
        return {str(row.name): " ".join(str(row.sql).replace('"', "").split()) for row in rows}


def test_the_migrations_end_where_the_tables_are(database: Database, tmp_path: Path) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
    direct = Database(f"sqlite:///{tmp_path / 'direct'}")
    Base.metadata.create_all(direct.engine)
    assert set(schema(database)) == set(schema(direct))
    indexes = {name: sql for name, sql in schema(direct).items() if sql.startswith("CREATE")}
    partial = {name: sql for name, sql in indexes.items() if " WHERE " in sql}
    assert len(partial) == 4
    assert partial.items() <= schema(database).items()


def test_a_database_of_a_newer_version_is_refused_and_not_touched(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="newer notafter"):
        database.migrate()
    with pytest.raises(DatabaseTooNew, match="9999"):
        database.check()


def test_a_database_that_was_never_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotReady, match="notafter migrate"):
        Database(f"sqlite:///{tmp_path / 'db'}").check()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/db"):
        Database(f"sqlite:///{tmp_path / 'file' / 'db'}").migrate()
    with pytest.raises(StoreError, match="mysql cannot be used"):
        Database("mysql://x/y")


def test_two_starts_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    ready, errors = threading.Barrier(4), list[Exception]()

    def start() -> None:
        ready.wait()
        try:
            Database(url).migrate()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_many_writers_that_read_first_never_find_it_locked(database: Database) -> None:
    with database.write() as session:
        jobs.add(session, JobKind.SCAN, "0", "test", NOW)

    def count_up() -> None:
        for _ in range(25):
            with database.write() as session:
                row = jobs.get(session, 1)
                row.reason = str(int(row.reason) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert jobs.get(session, 1).reason == "200"


def queued(database: Database, *names: str) -> int:
    with database.write() as session:
        job = jobs.add(session, JobKind.SCAN, "test", "test", NOW)
        for row in servers.enrol(session, names, NOW):
            session.add(
                ItemRow(
                    job_id=job.id,
                    subject=Subject.DEPLOYMENT,
                    server_id=row.id,
                    state=ItemState.WAITING,
                    due_reason="test",
                ),
            )
        return job.id


def test_of_many_workers_one_gets_the_job(database: Database) -> None:
    queued(database, "web1")
    ready, won = threading.Barrier(8), list[object]()

    def try_it(number: int) -> None:
        ready.wait()
        with database.write() as session:
            claim = jobs.claim(session, "w", f"run{number}", NOW)
        if claim is not None:
            won.append(claim)

    threads = [threading.Thread(target=try_it, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_no_two_running_jobs_share_a_server_and_nobody_overtakes_for_ever(database: Database) -> None:
    first = queued(database, "web1")
    second = queued(database, "web1", "web2")
    third = queued(database, "web2")
    fourth = queued(database, "web3")
    with database.write() as session:
        taken = [jobs.claim(session, "w", f"run{n}", NOW) for n in range(4)]
    assert [claim.job_id for claim in taken if claim] == [first, fourth], "the third waits behind the second"
    with database.write() as session:
        jobs.get(session, first).state = JobState.SUCCEEDED
        assert (claim := jobs.claim(session, "w", "run5", NOW))
        assert claim.job_id == second
        assert jobs.claim(session, "w", "run6", NOW) is None
        jobs.get(session, second).state = JobState.SUCCEEDED
        assert (claim := jobs.claim(session, "w", "run7", NOW))
        assert claim.job_id == third


def test_a_worker_whose_claim_has_moved_on_can_write_nothing(database: Database) -> None:
    queued(database, "web1")
    with database.write() as session:
        claim = jobs.claim(session, "w", "run", NOW)
    assert claim is not None
    with database.write() as session:
        jobs.holding(session, claim).fence += 1
    with database.write() as session, pytest.raises(ClaimLost):
        jobs.holding(session, claim)


def test_a_certificate_or_server_has_one_open_item(database: Database) -> None:
    with database.write() as session:
        (row,) = servers.enrol(session, ["web1"], NOW)
        job = jobs.add(session, JobKind.SCAN, "test", "test", NOW)
        items.add_server(session, job, row, "first")
    with pytest.raises(IntegrityError), database.write() as session:
        items.add_server(session, jobs.get(session, 1), servers.by_name(session, "web1"), "second")
    with database.write() as session:
        items.of_job(session, 1)[0].state = ItemState.FAILED
        session.flush()
        items.add_server(session, jobs.get(session, 1), servers.by_name(session, "web1"), "third")


def test_a_log_without_end_is_capped(database: Database) -> None:
    queued(database)
    with database.write() as session:
        lines.add(session, 1, (f"line {n}" for n in range(lines.MOST + 500)), NOW)
        lines.add(session, 1, ["more"], NOW)
    with database.read() as session:
        last = lines.of_job(session, 1, lines.MOST - 2, 10)
    assert [row.number for row in last] == [lines.MOST - 1, lines.MOST]
    assert "the log ends here" in last[-1].text


def test_moments_keep_their_zone_and_naive_ones_are_refused(database: Database) -> None:
    with database.write() as session:
        session.add(ServerRow(name="a", enrolled_at=NOW + DAY))
    with database.read() as session:
        assert servers.by_name(session, "a").enrolled_at - NOW == timedelta(days=1)
    with pytest.raises(Exception, match="without a time zone"), database.write() as session:
        session.add(ServerRow(name="b", enrolled_at=NOW.replace(tzinfo=None)))


def test_foreign_keys_are_kept(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(
            ItemRow(job_id=99, subject=Subject.SERVER, state=ItemState.WAITING, due_reason="x"),
        )


@pytest.mark.usefixtures("database")
def test_the_journal_is_a_write_ahead_log(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'db'}").connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
