"""A request that comes twice with the same Idempotency-Key is done once, and answered twice."""

from __future__ import annotations

import copy
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.domain.job import JobKind
from notafter.domain.user import Right, Role
from notafter.store import jobs, tokens
from notafter.store.database import Database
from notafter.store.jobs import Wanted
from notafter.store.tables import RequestedRow
from sqlalchemy import select, text

from tests.integration.controlplane.people import PASSWORD, People
from tests.integration.controlplane.stage import Stage, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "na_test-" + "7Qx" * 12
AT_ONCE = 6


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    with stage.api() as url, caller(url) as made:
        yield made


def caller(url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)


def post(client: httpx.Client, path: str, key: str, body: Any = None) -> httpx.Response:
    return client.post(f"/api/v1/{path}", json=body, headers={"Idempotency-Key": key})


def replayed(answer: httpx.Response) -> bool:
    return "idempotency-replayed" in answer.headers


def deeds(client: httpx.Client, action: str) -> int:
    return len(client.get("/api/v1/audit", params={"action": action}).json()["items"])


def kept(stage: Stage) -> int:
    with stage.database.read() as session:
        return len(session.scalars(select(RequestedRow)).all())


def test_the_second_try_gets_the_answer_of_the_first_and_nothing_is_done_again(
    client: httpx.Client, stage: Stage
) -> None:
    stage.one_certificate()
    first = post(client, "certificates/1/verify", "a-1")
    again = post(client, "certificates/1/verify", "a-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.content, first.headers["content-type"]) == (again.content, again.headers["content-type"])
    assert (replayed(first), replayed(again)) == (False, True)
    assert deeds(client, "certificate.verify") == 1
    assert client.post("/api/v1/certificates/1/verify").status_code == 409, "as it would have been without"


def test_a_refusal_is_repeated_too(client: httpx.Client, stage: Stage) -> None:
    first = post(client, "certificates/1/renew", "a-1")
    stage.one_certificate()
    again = post(client, "certificates/1/renew", "a-1")
    assert (first.status_code, again.status_code, replayed(again)) == (404, 404, True)
    assert again.headers["content-type"] == "application/problem+json"
    assert post(client, "certificates/1/renew", "a-2").status_code == 202


def test_many_at_once_at_two_control_planes_make_one_job(client: httpx.Client, stage: Stage) -> None:
    stage.one_certificate()
    other = copy.copy(stage)
    other.port, other.database = free_port(), Database(stage.url)
    barrier = threading.Barrier(AT_ONCE)

    def ask(url: str) -> httpx.Response:
        with caller(url) as mine:
            barrier.wait()
            return post(mine, "certificates/1/verify", "the-same")

    try:
        with other.api() as url, ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(ask, [str(client.base_url), url] * (AT_ONCE // 2)))
    finally:
        other.database.close()
    done = [one for one in answers if one.status_code == 202]
    waiting = [one for one in answers if one.status_code != 202]
    assert done
    assert len({one.content for one in done}) == 1
    assert sum(not replayed(one) for one in done) == 1
    assert {(one.status_code, one.json()["type"]) for one in waiting} <= {
        (409, "urn:notafter:problem:still-at-work")
    }
    assert deeds(client, "certificate.verify") == 1
    with stage.database.read() as session:
        assert len(jobs.page(session, None, 10, Wanted(kind=JobKind.VERIFY))) == 1


def test_who_asks_again_while_the_first_is_at_work_is_told_so(client: httpx.Client, stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a CA that takes its time
        wish = {"name": "slow", "directory": f"https://127.0.0.1:{silent.getsockname()[1]}/"}
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, client, "accounts", "a-1", wish)
            connection, _ = silent.accept()
            again = post(client, "accounts", "a-1", wish)
            assert (again.status_code, again.json()["type"][-13:]) == (409, "still-at-work")
            connection.close()
            assert first.result().status_code == 422
    assert kept(stage) == 0, "nothing was done: it may be tried anew"


def test_the_same_key_for_something_else_is_refused(client: httpx.Client) -> None:
    assert post(client, "scan", "a-1", {"servers": ["web1"]}).status_code == 202
    for answer in (
        post(client, "scan", "a-1", {"servers": ["web2"]}),
        post(client, "scan", "a-1"),
        post(client, "scan?x=1", "a-1", {"servers": ["web1"]}),
    ):
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:notafter:problem:key-used-otherwise"
    elsewhere = post(client, "certificates/revoked", "a-1", {"marks": []})
    assert (elsewhere.status_code, replayed(elsewhere)) == (200, False), "another operation has its own keys"


def test_a_key_is_the_own_of_who_uses_it(stage: Stage, people: People) -> None:
    for name in ("alice", "bob"):
        answer = post(people.somebody(name, Role.OPERATOR), "scan", "1", {"servers": ["web1"]})
        assert (answer.status_code, replayed(answer)) == (202, False)
    assert kept(stage) == 2


def test_what_is_no_key_is_refused_and_where_nothing_changes_it_means_nothing(
    client: httpx.Client, stage: Stage
) -> None:
    for wrong in ("", "a b", "k" * 256, "\u00e9".encode().decode("latin-1")):
        headers = [(b"Idempotency-Key", wrong.encode("latin-1"))]
        refused = client.post("/api/v1/scan", headers=headers)
        assert refused.status_code == 422, wrong
        assert "1 to 255 visible ASCII characters" in refused.json()["detail"]
    assert client.get("/api/v1/jobs", headers={"Idempotency-Key": "a b"}).status_code == 200
    assert post(client, "scan", '"8e03978e-40d5-43dd-bc93-6894a57f9324"').status_code == 202
    assert kept(stage) == 1


def test_a_secret_is_said_once_and_kept_nowhere(stage: Stage, people: People) -> None:
    root = people.somebody("root", Role.ADMIN)
    bob = people.somebody("bob")
    number = bob.get("/api/v1/auth/me").json()["user"]
    for path, body, secret in (
        ("tokens", {"name": "ci", "scopes": ["read"]}, "token"),
        ("users", {"name": "carol", "role": "viewer"}, "one_time_password"),
        (f"users/{number}/password", None, "one_time_password"),
    ):
        first, again = post(root, path, "a-1", body), post(root, path, "a-1", body)
        assert first.status_code < 300, first.text
        assert (again.status_code, again.json()["type"]) == (409, "urn:notafter:problem:answer-not-kept")
        assert first.json()[secret].encode() not in stage.stored()
    assert kept(stage) == 3


def test_every_answer_with_a_secret_says_that_nobody_may_store_it(people: People) -> None:
    """By this it is known: an operation that is added later must say so as well."""
    document = people.client().get("/openapi.json").json()
    secret = {"token", "one_time_password", "access_token", "refresh_token", "private_key"}
    found = set()
    for path, methods in document["paths"].items():
        for status, answer in methods.get("post", {}).get("responses", {}).items():
            schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
            shape = document["components"]["schemas"].get(schema.get("$ref", "").rsplit("/", 1)[-1], {})
            if status.startswith("2") and secret & shape.get("properties", {}).keys():
                found.add(path)
    assert found == {
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/tokens",
        "/api/v1/users",
        "/api/v1/users/{user_id}/password",
    }


def test_where_everybody_may_come_in_nothing_is_kept(stage: Stage, people: People) -> None:
    people.somebody("alice")
    for _ in range(2):
        answer = post(people.client(), "auth/login", "a-1", {"name": "alice", "password": PASSWORD})
        assert answer.status_code == 200
    assert kept(stage) == 0


def test_what_broke_is_tried_anew(client: httpx.Client, stage: Stage) -> None:
    with stage.database.write() as session:
        sealed = session.execute(text("SELECT sealed_key FROM audit_head")).scalar()
    assert sealed is None, "nothing is on record yet"
    assert post(client, "scan", "first").status_code == 202
    with stage.database.write() as session:
        sealed = session.execute(text("SELECT sealed_key FROM audit_head")).scalar_one()
        session.execute(text("UPDATE audit_head SET sealed_key = 'v1.x.y.z'"))
    assert post(client, "scan", "a-1", {"servers": ["web1"]}).status_code == 500
    with stage.database.write() as session:
        session.execute(text("UPDATE audit_head SET sealed_key = :sealed"), {"sealed": sealed})
    again = post(client, "scan", "a-1", {"servers": ["web1"]})
    assert (again.status_code, replayed(again)) == (202, False)


def test_who_may_no_longer_is_not_answered_as_before(people: People) -> None:
    root, dave = people.somebody("root", Role.ADMIN), people.somebody("dave", Role.OPERATOR)
    assert post(dave, "scan", "a-1").status_code == 202
    number = dave.get("/api/v1/auth/me").json()["user"]
    root.patch(f"/api/v1/users/{number}", json={"role": "viewer"})
    assert post(dave, "scan", "a-1").status_code == 403


def test_after_a_day_an_answer_is_forgotten(client: httpx.Client, stage: Stage) -> None:
    assert post(client, "scan", "a-1").status_code == 202
    stage.ahead = timedelta(hours=23)
    assert replayed(post(client, "scan", "a-1"))
    stage.ahead = timedelta(hours=25)
    assert not replayed(post(client, "scan", "a-1"))
    assert kept(stage) == 1


def test_a_key_of_a_process_that_was_killed_at_work_does_nothing_twice(stage: Stage) -> None:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wish = {"name": "slow", "directory": f"https://127.0.0.1:{silent.getsockname()[1]}/"}
        with stage.serve() as process, caller(stage.workshop.api_url) as client:
            wait_for(lambda: "serving" in (stage.folder / "serve.log").read_text())
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(post, client, "accounts", "a-1", wish)
                connection, _ = silent.accept()
                process.kill()
                assert isinstance(first.exception(), httpx.HTTPError)
                process.wait(30)
                connection.close()
        with stage.api() as url, caller(url) as client:
            told = post(client, "accounts", "a-1", wish)
            assert (told.status_code, "If it stays so it broke off" in told.json()["detail"]) == (409, True)
