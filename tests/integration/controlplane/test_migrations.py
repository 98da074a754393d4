"""Databases of earlier versions come forward with all that is in them, or stay as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from alembic import command
from alembic.config import Config
from notafter.store import tokens
from notafter.store.database import Database
from notafter.store.tables import TokenRow
from sqlalchemy import event, inspect, select, text

from tests.integration.controlplane.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = "na_" + "1" * 43


def bring_to(database: Database, revision: str) -> None:
    """Migrate as far as a revision."""
    config = Config()
    config.set_main_option("script_location", "notafter.store:migrations")
    with database._writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def at_0001(database: Database) -> Database:
    """A database as the first version left it, with a token in it."""
    bring_to(database, "0001")
    with database.write() as session:
        session.execute(
            text("INSERT INTO token (name, hash, created_at) VALUES ('laptop', :hash, '2026-11-01 00:00')"),
            {"hash": tokens.digest(TOKEN)},
        )
    return database


def revision(database: Database) -> str:
    with database.engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def test_a_token_of_before_there_were_rights_may_what_it_could(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    at_0001(Database(f"sqlite:///{tmp_path / 'data' / 'notafter.db'}")).close()
    stage = Stage(tmp_path)
    with stage.database.read() as session:
        (row,) = session.scalars(select(TokenRow))
        assert row.scopes == ["read", "own", "operate", "revoke", "report", "manage", "administer"]
        assert (row.user, row.last_used_at, row.expires_at) == (None, None, None)
    with stage.api() as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{url}/api/v1/users", headers=headers, trust_env=False).status_code == 200


def breaking_at(number: int) -> Callable[..., None]:
    """A listener that lets a machine die at the n-th statement."""
    left = [number]

    def listener(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the power went")

    return listener


def test_k9_a_migration_that_breaks_off_at_any_statement_has_changed_nothing(tmp_path: Path) -> None:
    breaks_off_everywhere(Database(f"sqlite:///{tmp_path / 'db'}"))


def breaks_off_everywhere(database: Database) -> None:
    """Break a migration of an old database off at each statement, and let it through in the end."""
    at_0001(database)
    for number in range(200):
        listener = breaking_at(number)
        event.listen(database.engine, "before_cursor_execute", listener)
        try:
            database.migrate()
        except RuntimeError:
            event.remove(database.engine, "before_cursor_execute", listener)
            assert revision(database) == "0001", number
            with database.engine.connect() as connection:
                assert connection.execute(text("SELECT name FROM token")).scalars().all() == ["laptop"]
                assert "scopes" not in {one["name"] for one in inspect(connection).get_columns("token")}
        else:
            event.remove(database.engine, "before_cursor_execute", listener)
            break
    assert number > 15, "many statements were tried"
    assert revision(database) == database.migrate()
    database.check()


@pytest.mark.parametrize("start", ["0001", "0002", "0003", "0004", "0005", "0006", "0007"])
def test_every_version_comes_to_the_newest(tmp_path: Path, start: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'db'}")
    bring_to(database, start)
    assert revision(database) == start
    assert database.migrate() == revision(database)
    database.check()
