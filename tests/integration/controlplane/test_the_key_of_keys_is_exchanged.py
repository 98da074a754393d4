"""`notafter keys`: another key-encryption key, and not one secret lost, whatever happens meanwhile."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from notafter.custody import kek
from notafter.custody.custodian import Custodian, Place
from notafter.custody.kek import KekSource
from notafter.domain.audit import Action
from notafter.domain.errors import KeyRetired, WrongKey
from notafter.lifecycle import account
from notafter.lifecycle.audit import Ledger
from notafter.lifecycle.unlock import unlock
from notafter.store import audit, canaries, seals
from notafter.store.tables import AccountRow, AuditHeadRow, Base, CredentialRow, RequestRow, VersionRow
from sqlalchemy import select, text

from tests.integration.controlplane.stage import DNS_SECRET, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table

    from tests.integration.controlplane.stage import Stage

#: Each place where a rotation can die.
POINTS = (
    "keys.made",
    "keys.begun",
    "keys.some",
    "keys.linked",
    "keys.promoted",
    "keys.uncommitted",
    "keys.ended",
)


def written(key: kek.Kek) -> str:
    return base64.b64encode(key.material).decode()


def random_key() -> kek.Kek:
    return kek.Kek(os.urandom(32))


@pytest.fixture
def filled(stage: Stage) -> Stage:
    """A control plane with a value in every sealed column."""
    stage.one_certificate()
    stage.renewing()
    with stage.database.write() as session:
        row = session.get_one(AccountRow, 1)
        row.sealed_eab_hmac_key = stage.custodian.seal(b"hmac", Place("account", 1, "sealed_eab_hmac_key"))
        version = session.get_one(VersionRow, 1)
        version.sealed_key = stage.custodian.seal(b"a key", Place("version", 1, "sealed_key"))
    done = stage.command("user", "create", "anna")
    assert done.returncode == 0, done.stderr
    with stage.api() as url:
        body = {"name": "anna", "password": done.stdout.strip()}
        assert httpx.post(f"{url}/api/v1/auth/login", json=body, trust_env=False).status_code == 200
    with stage.database.read() as session:
        assert all(seals.counts(session, one) for one in seals.SEALED), "each has a value"
    return stage


def secrets_of(stage: Stage, source: KekSource | None = None) -> dict[str, bytes]:
    """All that is sealed, opened as a process does that starts now."""
    custodian = unlock(stage.database, source or KekSource(stage.data / "kek"))
    found = {}
    with stage.database.read() as session:
        for one in seals.SEALED:
            for row, value in session.execute(select(one.ids, one.values).where(one.values != "")):
                found[f"{one.table} {row} {one.column}"] = custodian.open(
                    value, Place(one.table, row, one.column)
                )
    return found


def used(stage: Stage) -> set[str]:
    with stage.database.read() as session:
        counted = [seals.counts(session, one) for one in seals.SEALED]
    return {key_id for one in counted for key_id in one}


def process(stage: Stage, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "notafter", *arguments],
        env={**stage.environment(), **extra},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(stage: Stage, *arguments: str, **extra: str) -> tuple[int, str]:
    started = process(stage, *arguments, **extra)
    out, err = started.communicate(timeout=60)
    return started.returncode, out + err


def test_every_sealed_column_is_on_the_list() -> None:
    sealed = {
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.name.startswith("sealed")
    }
    assert sealed == {(one.table, one.column) for one in seals.SEALED} | {("canary", "sealed")}
    assert all(list(table.primary_key.columns.keys()) == ["id"] for table in _tables())


def _tables() -> Iterator[Table]:
    names = {one.table for one in seals.SEALED}
    return (table for table in Base.metadata.sorted_tables if table.name in names)


def test_all_is_sealed_with_another_key_and_opens(filled: Stage) -> None:
    before, former = secrets_of(filled), kek.load(filled.data / "kek")
    values = filled.stored()
    status, said = run(filled, "keys", "rotate")
    assert status == 0, said
    now = kek.load(filled.data / "kek")
    assert (now.id != former.id, used(filled)) == (True, {now.id})
    assert secrets_of(filled) == before
    assert kek.load(filled.data / f"kek.old-{former.id}").id == former.id
    assert {path.stat().st_mode & 0o777 for path in filled.data.glob("kek*")} == {0o600}
    assert not (filled.data / "kek.next").exists()
    assert f"the key {now.id}" in said
    for key in (now, former):
        assert written(key) not in said
        assert written(key).encode() not in values + filled.stored()
    with filled.database.read() as session:
        (row,) = audit.page(session, audit.Wanted(action=Action.KEYS_ROTATED), None, 5)
        assert (row.subject, row.detail["former"]) == (now.id, [former.id])
        assert not Ledger(filled.custodian).check(session).wrong


def test_a_value_itself_stays_as_it_is(filled: Stage) -> None:
    def values() -> list[str]:
        with filled.database.read() as session:
            return [
                sealed.split(".")[3]
                for one in seals.SEALED
                for sealed in session.scalars(select(one.values).where(one.values != "").order_by(one.ids))
            ]

    before = values()
    assert run(filled, "keys", "rotate")[0] == 0
    assert values() == before


@pytest.mark.parametrize("point", [*POINTS, "keys.some:2"])
def test_killed_at_any_place_it_is_finished_by_the_same_command(filled: Stage, point: str) -> None:
    before, former = secrets_of(filled), kek.load(filled.data / "kek").id
    name, _, turn = point.partition(":")
    status, _ = run(filled, "keys", "rotate", NOTAFTER_FAILPOINT=f"{name}:kill:{turn or 1}")
    assert status == -9
    assert secrets_of(filled) == before, "it opens with what is there"
    assert run(filled, "user", "list")[0] == 0
    status, said = run(filled, "keys", "rotate", "--forget")
    assert status == 0, said
    assert secrets_of(filled) == before
    now = kek.load(filled.data / "kek").id
    assert (now != former, used(filled)) == (True, {now})
    assert [path.name for path in filled.data.glob("kek*")] == ["kek"]
    with filled.database.read() as session:
        assert [canary.key_id for canary in canaries.everyone(session)] == [now]


def test_killed_again_and_again_at_any_moment_nothing_is_lost(filled: Stage) -> None:
    before = secrets_of(filled)
    for _ in range(8):
        started = process(filled, "keys", "rotate")
        time.sleep(random.uniform(0.5, 1.6))  # noqa: S311 -- any moment
        started.kill()
        started.communicate()
        assert secrets_of(filled) == before
    assert run(filled, "keys", "rotate", "--forget")[0] == 0
    assert secrets_of(filled) == before
    assert len(used(filled)) == 1


def test_a_process_that_runs_meanwhile_goes_on_with_the_new_key(filled: Stage) -> None:
    """Its custodian was made before; it seals and opens before, in the middle and after."""
    held = filled.folder / "held"
    number = iter(range(100))

    def seal_one() -> None:
        name = f"dns{next(number)}"
        account.create_credential(
            filled.database, filled.custodian, name, "dns_x", {"X_TOKEN": DNS_SECRET}, filled.clock()
        )

    for point in ("keys.begun", "keys.promoted"):
        started = process(filled, "keys", "rotate", NOTAFTER_FAILPOINT=f"{point}:hold={held}")
        wait_for(held.exists)
        seal_one()
        held.unlink()
        seal_one()
        assert started.wait(60) == 0, started.communicate()
        started.communicate()
        seal_one()
        assert used(filled) == {kek.load(filled.data / "kek").id}
        with filled.database.read() as session:
            for row in session.scalars(select(CredentialRow)):
                assert account.variables(session, filled.custodian, row.id) == {"X_TOKEN": DNS_SECRET}
    assert run(filled, "keys", "rotate", "--forget")[0] == 0
    seal_one()
    assert set(secrets_of(filled).values()) >= {b"hmac"}


def test_many_writers_meanwhile_leave_nothing_under_the_former_key(filled: Stage) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with filled.database.write() as session:
                row = session.get_one(RequestRow, 1)
                row.sealed_key = filled.custodian.seal(b"again", Place("request", 1, "sealed_key"))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        status, said = run(filled, "keys", "rotate")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert status == 0, said
    assert used(filled) == {kek.load(filled.data / "kek").id}


def test_who_has_missed_it_seals_nothing_and_is_not_ready(filled: Stage) -> None:
    """On another machine, which has the former key alone."""
    elsewhere = filled.folder / "elsewhere"
    elsewhere.write_bytes((filled.data / "kek").read_bytes())
    elsewhere.chmod(0o600)
    filled.custodian = unlock(filled.database, KekSource(elsewhere))
    with filled.api() as url:
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        assert run(filled, "keys", "rotate")[0] == 0
        away = httpx.get(f"{url}/readyz", trust_env=False)
        assert (away.status_code, away.json()["reason"]) == (503, "WrongKey")
    before = filled.stored()
    with pytest.raises(KeyRetired, match="restart this process"):
        account.create_credential(
            filled.database, filled.custodian, "late", "dns_x", {"X_TOKEN": "x"}, filled.clock()
        )
    assert filled.stored() == before or filled.database.url.get_backend_name() == "sqlite"
    with filled.database.read() as session:
        assert session.scalars(select(CredentialRow.name)).all() == ["main"]


def test_a_key_from_the_environment_is_followed_by_another_one(filled: Stage) -> None:
    former, key = kek.load(filled.data / "kek"), random_key()
    (filled.data / "kek").unlink()
    before = secrets_of(filled, KekSource(filled.data / "kek", written(former)))
    only = {"NOTAFTER_KEK": written(former)}
    both = {**only, "NOTAFTER_KEK_NEXT": written(key)}
    status, said = run(filled, "keys", "rotate", **only)
    assert (status, "set NOTAFTER_KEK_NEXT" in said) == (1, True)
    assert run(filled, "keys", "rotate", NOTAFTER_FAILPOINT="keys.some:kill", **both)[0] == -9
    status, said = run(filled, "user", "list", **only)
    assert (status, key.id in said) == (1, True), "half way it needs both"
    status, said = run(filled, "keys", "rotate", **both)
    assert status == 0, said
    assert "set NOTAFTER_KEK to what NOTAFTER_KEK_NEXT is" in said
    assert secrets_of(filled, KekSource(filled.data / "kek", written(key))) == before
    assert run(filled, "user", "create", "b", **both)[0] == 0, "both are still good, until it is set"
    assert run(filled, "user", "list", NOTAFTER_KEK=written(key))[0] == 0
    assert run(filled, "user", "list", **only)[0] == 1
    status, said = run(filled, "keys", "rotate", NOTAFTER_KEK=written(key), NOTAFTER_KEK_NEXT=written(key))
    assert (status, "is the key of this database already" in said) == (1, True)
    assert written(key) not in said
    assert not list(filled.data.glob("kek*"))


def test_a_command_may_print_the_key_and_the_one_that_follows(filled: Stage) -> None:
    vault = filled.folder / "a vault"
    vault.mkdir()
    (filled.data / "kek").rename(vault / "one")
    (vault / "two").write_text(written(random_key()))
    told = {
        "NOTAFTER_KEK_COMMAND": f"cat '{vault / 'one'}'",
        "NOTAFTER_KEK_NEXT_COMMAND": f"cat '{vault / 'two'}'",
    }
    before = secrets_of(filled, KekSource(filled.data / "kek", command=told["NOTAFTER_KEK_COMMAND"]))
    status, said = run(filled, "keys", "rotate", **told)
    assert (status, "set NOTAFTER_KEK_COMMAND to what NOTAFTER_KEK_NEXT_COMMAND is" in said) == (0, True), (
        said
    )
    assert secrets_of(filled, KekSource(filled.data / "kek", command=f"cat '{vault / 'two'}'")) == before


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sh -c 'echo s3cret; echo s3cret >&2; exit 7'", "ended with 7"),
        ("/nonexistent/vault s3cret", "cannot be run: No such file or directory"),
        ("echo 's3cret", "it is no command line"),
        ("", "cannot be run"),
        ("echo s3cret", "holds no key-encryption key"),
        ("sleep 60", "has not ended after 0.2 s"),
    ],
)
def test_a_command_that_fails_is_told_and_its_output_is_not(
    command: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kek, "_COMMAND_SECONDS", 0.2 if "sleep" in command else 20)
    with pytest.raises(WrongKey, match=told) as refused:
        kek.ask(command, "NOTAFTER_KEK_COMMAND")
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(refused.value.__cause__)


@pytest.mark.parametrize("fault", ["another", "no key", "a failing command", "older database"])
def test_with_a_wrong_key_nothing_starts_and_nothing_is_written(stage: Stage, fault: str) -> None:
    stage.make_account()
    if fault == "older database":
        with stage.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    extra = {
        "another": {"NOTAFTER_KEK": written(random_key())},
        "older database": {"NOTAFTER_KEK": written(random_key())},
        "no key": {"NOTAFTER_KEK": "s3cret"},
        "a failing command": {"NOTAFTER_KEK_COMMAND": "false"},
    }[fault]
    stage.database.close()
    before = contents(stage)
    for command in (["serve"], ["user", "list"], ["keys", "rotate"]):
        status, said = run(stage, *command, NOTAFTER_PORT=str(free_port()), **extra)
        assert status == 1, said
        assert "notafter: " in said
        assert "s3cret" not in said
    assert contents(stage) == before
    assert not (stage.data / "kek.next").exists()


def contents(stage: Stage) -> object:
    """The bytes of the file; of a server, all rows and its revision."""
    if stage.database.url.get_backend_name() == "sqlite":
        return (stage.data / "notafter.db").read_bytes()
    with stage.database.engine.connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return revision, stage.stored()


def test_a_value_that_no_key_opens_is_named_and_its_key_kept(filled: Stage) -> None:
    former = kek.load(filled.data / "kek").id
    with filled.database.write() as session:
        row = session.get_one(CredentialRow, 1)
        row.sealed_variables = filled.custodian.seal(b"{}", Place("dns_credential", 99, "sealed_variables"))
    status, said = run(filled, "keys", "rotate", "--forget")
    assert status == 0, said
    assert "left as it was: dns_credential 1, sealed_variables" in said
    assert (filled.data / f"kek.old-{former}").exists(), "something may need it yet"


def test_what_is_sealed_with_which_key_is_shown_without_the_key(filled: Stage) -> None:
    status, said = run(filled, "keys", "show", "--json")
    assert status == 0, said
    key = kek.load(filled.data / "kek")
    assert said.count(key.id) == len(seals.SEALED)
    assert written(key) not in said
    status, said = run(filled, "keys", "show")
    assert f"the key is {key.id}, from " in said


def test_two_rotations_at_once_are_one(filled: Stage) -> None:
    held = filled.folder / "held"
    first = process(filled, "keys", "rotate", NOTAFTER_FAILPOINT=f"keys.begun:hold={held}")
    wait_for(held.exists)
    status, said = run(filled, "keys", "rotate")
    assert (status, "another rotation is at work" in said) == (1, True)
    held.unlink()
    assert first.wait(60) == 0
    first.communicate()


def test_a_database_whose_audit_begins_with_it_takes_the_new_key(stage: Stage) -> None:
    former = kek.load(stage.data / "kek")
    stage.data.joinpath("kek").unlink()
    key = random_key()
    status, said = run(stage, "keys", "rotate", NOTAFTER_KEK=written(former), NOTAFTER_KEK_NEXT=written(key))
    assert status == 0, said
    with stage.database.read() as session:
        head = session.get_one(AuditHeadRow, 1)
        assert Custodian(key).open(head.sealed_key, Place("audit_head", 1, "sealed_key"))
