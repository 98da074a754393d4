"""The audit: every change and every look at a secret is in it, and whoever changes it is found out."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from notafter.domain.audit import Action, Actor, Entry, cef
from notafter.domain.user import Right, Role
from notafter.lifecycle.audit import Ledger
from notafter.store import tokens
from sqlalchemy import text

from tests.factories import NOW, binding
from tests.integration.controlplane.people import PASSWORD, log_in

if TYPE_CHECKING:
    import httpx

    from tests.integration.controlplane.people import People
    from tests.integration.controlplane.stage import Stage


def entries(client: httpx.Client, **wanted: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def deeds(client: httpx.Client, **wanted: Any) -> list[tuple[str, str, str]]:
    return [(one["who"], one["action"], one["subject"]) for one in entries(client, **wanted)]


def auditor(stage: Stage, people: People) -> httpx.Client:
    secret = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "siem", secret, stage.clock(), None, [Right.AUDIT])
    return people.client(secret)


def note(stage: Stage, number: int) -> None:
    with stage.database.write() as session:
        for one in range(number):
            actor = Actor("alice", "192.0.2.1")
            Ledger(stage.custodian).note(session, actor, Action.SCAN_ASKED, f"web{one}", stage.clock())


def wrong(stage: Stage, anchor: str | None = None) -> str:
    with stage.database.read() as session:
        return Ledger(stage.custodian).check(session, anchor).wrong


def anchor(stage: Stage) -> str:
    with stage.database.read() as session:
        return Ledger(stage.custodian).check(session).anchor


def do(stage: Stage, statement: str) -> None:
    with stage.database.write() as session:
        session.execute(text(statement))


OTHER = "another-walrus-kite-31-salt"
#: Every operation that changes something, with a wish that can be done, and what is then on record.
WISHES: dict[str, tuple[dict[str, Any] | None, Action, str]] = {
    "POST /api/v1/certificates/1/adopt": (
        {"account": "main", "challenge": "dns-01", "credential": "main", "provider": "dns_x"},
        Action.ADOPTED,
        "crt-1",
    ),
    "POST /api/v1/certificates/1/verify": (None, Action.VERIFICATION_ASKED, "crt-1"),
    "POST /api/v1/certificates/1/renew": (None, Action.RENEWAL_ASKED, "crt-1"),
    "POST /api/v1/certificates/1/revoke": (
        {"fingerprint": "", "reason": "superseded", "force_because": "a trial"},
        Action.REVOCATION_ASKED,
        "crt-1",
    ),
    "POST /api/v1/certificates/revoked": ({"marks": ["00ff"]}, Action.INCIDENT_TOLD, ""),
    "POST /api/v1/scan": ({"servers": ["web1"]}, Action.SCAN_ASKED, ""),
    "POST /api/v1/jobs/2/cancel": ({"reason": "a trial"}, Action.CANCELLING_ASKED, "job-2"),
    "POST /api/v1/jobs/2/retry": (None, Action.RETRY_ASKED, "job-2"),
    "POST /api/v1/runs": ({"run": "a" * 32, "outcomes": []}, Action.RUN_TOLD, "a" * 32),
    "PUT /api/v1/accounts/main/limits": ({"orders_per_3_hours": 7}, Action.LIMITS_SET, "main"),
    "POST /api/v1/dns-credentials": (
        {"name": "other", "provider": "dns_x", "variables": {"X_TOKEN": "canary-7f"}},
        Action.CREDENTIAL_CREATED,
        "other",
    ),
    "POST /api/v1/users": ({"name": "bob", "role": "viewer"}, Action.USER_CREATED, "bob"),
    "PATCH /api/v1/users/2": ({"role": "operator"}, Action.USER_CHANGED, "bob"),
    "POST /api/v1/users/2/password": (None, Action.PASSWORD_RESET, "bob"),
    "DELETE /api/v1/users/2": (None, Action.USER_REMOVED, "bob"),
    "POST /api/v1/tokens": ({"name": "ci", "scopes": ["read"]}, Action.TOKEN_CREATED, "ci"),
    "DELETE /api/v1/tokens/1": (None, Action.TOKEN_REMOVED, "root/ci"),
    "PUT /api/v1/auth/password": (
        {"current": PASSWORD, "new": OTHER},
        Action.PASSWORD_CHANGED,
        "root",
    ),
    "POST /api/v1/auth/logout": (None, Action.LOGGED_OUT, "root"),
}
#: Told of in tests of their own: they need a CA's directory, or are no wish of somebody who is known.
ELSEWHERE = {"POST /api/v1/accounts", "POST /api/v1/auth/login", "POST /api/v1/auth/refresh"}


def test_every_operation_that_changes_something_is_on_record_with_who_and_from_where(
    stage: Stage, people: People
) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    stage.make_account()
    root = people.somebody("root", Role.ADMIN)
    secret = tokens.fresh()
    client = people.client(root.headers["Authorization"].removeprefix("Bearer "), address="203.0.113.9")
    fingerprint = client.get("/api/v1/certificates/1").json()["fingerprint"]
    seen = deeds(client)
    for operation, (body, action, subject) in WISHES.items():
        method, path = operation.split()
        if body is not None and "fingerprint" in body:
            body = {**body, "fingerprint": fingerprint}  # noqa: PLW2901 -- known only now
        answer = client.request(method, path, json=body)
        assert answer.status_code < 300, (operation, answer.text)
        if path.endswith("logout"):
            client = people.client(log_in(people.client(), "root", OTHER)["access_token"])
            new = deeds(client, action=action.value)
        else:
            new = deeds(client)[: -len(seen) or None]
            seen = new + seen
        assert new == [("root", action.value, subject)], operation
    found = entries(client, limit=200)
    assert {one["address"] for one in found if one["action"] != "login.opened"} == {"203.0.113.9"}
    for hidden in ("canary-7f", PASSWORD, secret, "another-walrus"):
        assert hidden not in json.dumps(found)


def test_the_list_of_operations_that_change_something_is_whole(people: People) -> None:
    paths = people.client().get("/openapi.json").json()["paths"]
    changing = {
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if method != "get"
    }
    known = {re.sub(r"/\d+", "/{id}", one.replace("/main/", "/{id}/")) for one in WISHES} | ELSEWHERE
    assert {re.sub(r"\{[^}]*\}", "{id}", one) for one in changing} == known


def test_logins_are_on_record_also_those_that_were_refused_or_stolen(stage: Stage, people: People) -> None:
    client = auditor(stage, people)
    people.somebody("alice")
    wrong = people.client(address="203.0.113.7").post(
        "/api/v1/auth/login", json={"name": "ALICE", "password": "wrong"}
    )
    assert wrong.status_code == 401
    people.client().post("/api/v1/auth/login", json={"name": "nobody\n", "password": "wrong"})
    token = log_in(people.client(), "alice")["refresh_token"]
    for status in (200, 401):
        again = people.client().post("/api/v1/auth/refresh", json={"refresh_token": token})
        assert again.status_code == status
    assert deeds(client) == [
        ("alice", "login.stolen", "alice"),
        ("alice", "login.opened", "alice"),
        ("(unknown)", "login.refused", "(unknown)"),
        ("alice", "login.refused", "alice"),
        ("alice", "login.opened", "alice"),
    ]
    assert entries(client, who="alice", action="login.refused")[0]["address"] == "203.0.113.7"


@pytest.mark.parametrize(
    "name", ["a\x00b", "\ud83d", "\u202eadmin", "é" * 64, "'; DROP TABLE audit; --", "\n" * 9]
)
def test_whatever_strangers_call_themselves_the_chain_holds(stage: Stage, people: People, name: str) -> None:
    body = json.dumps({"name": name, "password": "x"})
    tried = people.client().post(
        "/api/v1/auth/login", content=body, headers={"Content-Type": "application/json"}
    )
    assert tried.status_code in {401, 422}
    note(stage, 2)
    assert wrong(stage) == ""


def test_whatever_an_entry_says_the_chain_holds(stage: Stage) -> None:
    hostile = "\x00\ud800\u202e\x1b[31m\U0001f98a"
    with stage.database.write() as session:
        ledger = Ledger(stage.custodian)
        actor, detail = Actor(hostile, hostile), {"text": hostile, "list": [hostile], "none": None, "n": 7}
        ledger.note(session, actor, Action.SCAN_ASKED, hostile, stage.clock(), detail)
    assert wrong(stage) == ""


def test_every_secret_that_a_run_is_given_is_on_record(stage: Stage, people: People) -> None:
    key = stage.one_certificate()
    claim, job_token = stage.renewing(), tokens.fresh()
    do(stage, f"UPDATE job SET token_hash = '{tokens.digest(job_token)}' WHERE id = {claim.job_id}")  # noqa: S608
    run = people.client(job_token)
    path = f"/api/v1/jobs/{claim.job_id}/credentials/{key}"
    assert people.client("na_wrong").get(path).status_code == 401
    assert run.get(path).status_code == 200
    assert run.get(f"/api/v1/jobs/{claim.job_id}/bundle/{key}").status_code == 404
    client = auditor(stage, people)
    assert deeds(client) == [(f"job {claim.job_id}", "secret.credentials", key)]


def test_a_change_that_fails_leaves_nothing_on_record(stage: Stage, people: People) -> None:
    root = people.somebody("root", Role.ADMIN)
    before = len(entries(root))
    assert root.delete("/api/v1/users/1").status_code == 409
    assert root.post("/api/v1/certificates/99/renew").status_code == 404
    assert len(entries(root)) == before
    assert wrong(stage) == ""


def test_what_cannot_be_put_on_record_is_not_done(stage: Stage, people: People) -> None:
    root = people.somebody("root", Role.ADMIN)
    do(stage, "UPDATE audit_head SET sealed_key = 'v1.x.y.z'")
    assert root.post("/api/v1/users", json={"name": "bob", "role": "admin"}).status_code == 500
    assert [one["name"] for one in root.get("/api/v1/users").json()["items"]] == ["root"]


def test_entries_are_found_by_who_what_where_and_when(stage: Stage, people: People) -> None:
    client = auditor(stage, people)
    note(stage, 5)
    assert deeds(client, subject="web3") == [("alice", "scan.asked", "web3")]
    assert deeds(client, who="bob") == []
    assert deeds(client, action="scan.asked", limit=1) == [("alice", "scan.asked", "web4")]
    moment = entries(client, subject="web2")[0]["at"]
    assert [one[2] for one in deeds(client, since=moment)] == ["web4", "web3", "web2"]
    assert [one[2] for one in deeds(client, until=moment)] == ["web1", "web0"]
    page = client.get("/api/v1/audit", params={"limit": 2}).json()
    assert [one["number"] for one in page["items"]] == [5, 4]
    assert [one["number"] for one in entries(client, before=page["next"])] == [3, 2, 1]
    for query in (
        {"since": "2026-11-30T12:00:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"action": "x"},
        {"limit": 0},
        {"before": "x"},
    ):
        assert client.get("/api/v1/audit", params=query).status_code == 422


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        ("UPDATE audit SET who = 'bob' WHERE number = 4", "entry 4 is not as it was written"),
        ("UPDATE audit SET at = '2020-01-01 00:00:00' WHERE number = 4", "entry 4 is not as it was written"),
        ("""UPDATE audit SET detail = '{"x": 1}' WHERE number = 4""", "entry 4 is not as it was written"),
        (
            "UPDATE audit SET link = upper(link) WHERE number = 4",
            "entry 4 is not as it was written",
        ),
        ("DELETE FROM audit WHERE number = 4", "entry 4 is missing"),
        ("DELETE FROM audit WHERE number IN (1, 2)", "entries 1 to 2 are missing"),
        ("DELETE FROM audit WHERE number > 6", "entries 7 to 9 are missing"),
        ("DELETE FROM audit", "entries 1 to 9 are missing"),
        (
            "INSERT INTO audit SELECT 10, at, who, address, action, subject, detail, link FROM audit LIMIT 1",
            "entry 10 is not as it was written",
        ),
        (
            (
                "UPDATE audit SET number = number - 9 WHERE number IN (4, 5); "  # -5 and -4
                "UPDATE audit SET number = -number WHERE number < 0"
            ),
            "entry 4 is not as it was written",
        ),
        ("UPDATE audit_head SET number = 6; DELETE FROM audit WHERE number > 6", "the head of the chain"),
        (
            (
                "UPDATE audit_head SET (number, link) = (SELECT number, link FROM audit WHERE number = 6);"
                "DELETE FROM audit WHERE number > 6"
            ),
            "the head of the chain is not as it was written",
        ),
        ("DELETE FROM audit_head", "the head of the chain is missing"),
        ("UPDATE audit_head SET sealed_key = 'v1.x.y.z'", "the head of the chain is not as it was"),
        ("UPDATE audit SET action = 'nothing.known' WHERE number = 4", "an entry behind 0 is not as"),
        ("UPDATE audit SET detail = '[1]' WHERE number = 4", "entry 4 is not as it was written"),
    ],
)
def test_s17_who_changes_removes_or_puts_in_an_entry_is_found_out(
    stage: Stage, tampering: str, told: str
) -> None:
    note(stage, 9)
    assert wrong(stage) == ""
    kept = anchor(stage)
    for statement in tampering.split(";"):
        do(stage, statement)
    assert told in wrong(stage)
    assert wrong(stage, kept) != ""


@pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
def test_a_record_that_was_taken_back_as_a_whole_is_found_out_by_an_anchor(stage: Stage) -> None:
    note(stage, 3)
    stage.database.close()
    early, database = stage.folder / "early.db", stage.data / "notafter.db"
    shutil.copy(database, early)
    note(stage, 3)
    kept = anchor(stage)
    stage.database.close()
    shutil.copy(early, database)
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    assert wrong(stage) == ""
    assert "was taken back" in wrong(stage, kept)


def test_a_record_that_was_begun_anew_is_found_out_by_an_anchor(stage: Stage) -> None:
    assert wrong(stage, anchor(stage)) == "", "the anchor of nothing"
    note(stage, 3)
    kept = anchor(stage)
    do(stage, "DELETE FROM audit_head")
    do(stage, "DELETE FROM audit")
    note(stage, 5)
    assert wrong(stage) == ""
    assert "was made anew" in wrong(stage, kept)


def test_many_at_once_make_one_chain(stage: Stage) -> None:
    threads = [threading.Thread(target=note, args=(stage, 20)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong(stage) == ""
    assert anchor(stage).startswith("120:")


def test_the_command_line_is_on_record_too_and_follows_the_chain(stage: Stage) -> None:
    assert stage.command("user", "create", "alice", "--role", "admin").returncode == 0
    assert stage.command("token", "create", "--name", "me", "--scope", "read").returncode == 0
    assert stage.command("scan", "--no-wait", "web1").returncode == 0
    lines = [json.loads(line) for line in stage.command("audit", "export").stdout.splitlines()]
    assert [(one["who"], one["action"], one["subject"], one["detail"]) for one in lines] == [
        ("command line", "user.created", "alice", {"role": "admin"}),
        ("command line", "token.created", "me", {"scopes": ["read"], "days": None}),
        ("command line", "scan.asked", "", {"servers": ["web1"], "number": 1}),
    ]
    assert all(one["address"].startswith("local:") for one in lines)
    later = stage.command("audit", "export", "--after", "2").stdout
    assert [json.loads(line)["number"] for line in later.splitlines()] == [3]
    done = stage.command("audit", "verify")
    assert done.returncode == 0
    kept = done.stdout.split()[-1]
    assert stage.command("audit", "verify", "--anchor", kept).returncode == 0
    do(stage, "UPDATE audit SET who = 'x' WHERE number = 2")
    broken = stage.command("audit", "verify")
    assert (broken.returncode, "entry 2 is not as it was written" in broken.stderr) == (1, True)


def test_cef_cannot_be_broken_out_of() -> None:
    hostile = "a|b\\c=d\nCEF:0|evil|x\x1b[31m"
    line = cef(
        Entry(7, NOW, Actor(hostile, "192.0.2.1"), Action.USER_CREATED, hostile, {"x": hostile}), "1|2"
    )
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.startswith("CEF:0|notafter|notafter|1\\|2|user.created|user created|4|rt=")
    assert "suser=a|b\\\\c\\=d CEF:0|evil|x [31m src=192.0.2.1 " in line
    assert "c6a2=2001:db8::1" in cef(Entry(1, NOW, Actor("x", "2001:db8::1"), Action.LOGGED_IN, "x"), "1")
    assert "shost=local:root" in cef(Entry(1, NOW, Actor("x", "local:root"), Action.LOGGED_IN, "x"), "1")


def test_a_syslog_server_is_sent_the_entries_by_logger(stage: Stage) -> None:
    """As docs/operator.md says: `notafter audit export --form cef | logger --server …`."""
    note(stage, 3)
    found: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(65536):
                    found.append(data)

        thread = threading.Thread(target=listen)
        thread.start()
        exported = stage.command("audit", "export", "--form", "cef").stdout
        command = ["logger", "--server", "127.0.0.1", "--tcp", "--port", str(server.getsockname()[1])]
        subprocess.run(
            [*command, "--rfc5424=notq", "--tag", "notafter"], input=exported, text=True, check=True
        )
        thread.join(60)
    received = b"".join(found).decode()
    assert received.count("CEF:0|notafter|notafter|") == 3
    assert "suser=alice src=192.0.2.1 cs1Label=subject cs1=web2" in received
