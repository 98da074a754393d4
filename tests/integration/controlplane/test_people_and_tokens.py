"""Users and API tokens: made, changed, taken away; each shown as little as it needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from notafter.domain.user import Right, Role
from notafter.store import tokens
from notafter.store.guesses import digest
from notafter.store.tables import GuessRow, TokenRow
from sqlalchemy import select

from tests.integration.controlplane.people import PASSWORD, log_in
from tests.integration.controlplane.stage import wait_for

if TYPE_CHECKING:
    import httpx

    from tests.integration.controlplane.people import People
    from tests.integration.controlplane.stage import Stage


def new_token(client: httpx.Client, name: str = "ci", *scopes: str, days: int = 90) -> dict[str, Any]:
    answer = client.post(
        "/api/v1/tokens", json={"name": name, "scopes": list(scopes) or ["read"], "days": days}
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new_user(client: httpx.Client, name: str = "bob", role: str = "viewer") -> dict[str, Any]:
    answer = client.post("/api/v1/users", json={"name": name, "role": role})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def test_a_new_user_comes_in_with_a_password_that_is_shown_once(people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    made = new_user(admin, "Bob ", "operator")
    assert (made["name"], made["role"], made["created_by"]) == ("bob", "operator", "root")
    assert made["must_change_password"]
    shown = admin.get(f"/api/v1/users/{made['id']}").json()
    assert made["one_time_password"] not in str(shown)
    assert "password_hash" not in shown
    assert log_in(people.client(), "bob", made["one_time_password"])["must_change_password"]
    assert admin.get(f"/api/v1/users/{made['id']}").json()["last_login_at"] is not None


def test_two_users_of_one_name_there_are_not(people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    new_user(admin, "bob")
    refused = admin.post("/api/v1/users", json={"name": "BOB", "role": "admin"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:notafter:problem:conflict")


def test_the_last_admin_cannot_be_lost(people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    me = admin.get("/api/v1/auth/me").json()["user"]
    other = new_user(admin, "deputy", "admin")
    assert admin.patch(f"/api/v1/users/{other['id']}", json={"disabled": True}).status_code == 200
    for refused in (
        admin.patch(f"/api/v1/users/{me}", json={"role": "viewer"}),
        admin.patch(f"/api/v1/users/{me}", json={"disabled": True}),
        admin.delete(f"/api/v1/users/{me}"),
    ):
        assert (refused.status_code, "the last admin" in refused.json()["detail"]) == (409, True)
    assert admin.patch(f"/api/v1/users/{other['id']}", json={"disabled": False}).json()["disabled"] is False
    assert admin.patch(f"/api/v1/users/{me}", json={"role": "viewer"}).status_code == 200
    assert admin.get("/api/v1/users").status_code == 403


def test_a_reset_password_ends_logins_and_the_waiting(stage: Stage, people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    client = people.somebody("bob")
    number = client.get("/api/v1/auth/me").json()["user"]
    with stage.database.write() as session:
        session.add(
            GuessRow(kind="account", who=digest("bob from 127.0.0.1"), failures=50, last_at=stage.clock())
        )
    answer = people.client().post("/api/v1/auth/login", json={"name": "bob", "password": PASSWORD})
    assert answer.status_code == 429
    reset = admin.post(f"/api/v1/users/{number}/password")
    assert (reset.status_code, reset.headers["cache-control"]) == (200, "no-store")
    assert client.get("/api/v1/auth/me").status_code == 401
    given = log_in(people.client(), "bob", reset.json()["one_time_password"])
    assert given["must_change_password"]


def test_who_is_removed_is_gone_with_logins_and_tokens_and_what_they_did_stays(
    stage: Stage, people: People
) -> None:
    admin = people.somebody("root", Role.ADMIN)
    client = people.somebody("bob", Role.OPERATOR)
    machine = people.client(new_token(client)["token"])
    assert client.post("/api/v1/scan").status_code == 202
    number = client.get("/api/v1/auth/me").json()["user"]
    assert admin.delete(f"/api/v1/users/{number}").status_code == 204
    assert admin.get(f"/api/v1/users/{number}").status_code == 404
    for gone in (client, machine):
        assert gone.get("/api/v1/servers").status_code == 401
    assert admin.get("/api/v1/jobs").json()["items"][0]["requested_by"] == "bob"
    with stage.database.read() as session:
        assert not session.scalars(select(TokenRow)).all()


def test_somebody_new_with_an_old_name_has_nothing_of_who_had_it(people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    client = people.somebody("bob")
    number = client.get("/api/v1/auth/me").json()["user"]
    old = log_in(people.client(), "bob")
    admin.delete(f"/api/v1/users/{number}")
    people.somebody("bob", Role.ADMIN)
    assert people.client(old["access_token"]).get("/api/v1/auth/me").status_code == 401
    refused = people.client().post("/api/v1/auth/refresh", json={"refresh_token": old["refresh_token"]})
    assert refused.status_code == 401


def test_users_and_tokens_come_in_pages(people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    for number in range(3):
        new_user(admin, f"user{number}")
        new_token(admin, f"token{number}")
    for noun, names in (
        ("users", ["root", "user0", "user1", "user2"]),
        ("tokens", ["token0", "token1", "token2"]),
    ):
        found, after = [], 0
        while after is not None:
            page = admin.get(f"/api/v1/{noun}", params={"after": after, "limit": 2}).json()
            found += [item["name"] for item in page["items"]]
            after = page["next"]
        assert found == names


def test_a_token_is_shown_once_and_says_later_when_it_was_used(stage: Stage, people: People) -> None:
    client = people.somebody("bob", Role.OPERATOR)
    made = new_token(client, "ci", "operate", "read")
    assert made["token"].startswith("na_")
    assert made["scopes"] == ["read", "operate"]
    (shown,) = client.get("/api/v1/tokens").json()["items"]
    assert (shown["owner"], shown["last_used_at"]) == ("bob", None)
    assert "token" not in shown
    machine = people.client(made["token"])
    assert machine.post("/api/v1/scan").json()["requested_by"] == "bob/ci"
    # it is put down after the answer, so that nobody waits for it
    wait_for(lambda: client.get("/api/v1/tokens").json()["items"][0]["last_used_at"])
    stage.ahead = timedelta(days=91)
    late = machine.get("/api/v1/servers")
    assert (late.status_code, late.json()["detail"]) == (401, "this token has expired")


def test_tokens_of_others_are_neither_seen_nor_taken_away(stage: Stage, people: People) -> None:
    alice, bob = people.somebody("alice"), people.somebody("bob", Role.OPERATOR)
    admin = people.somebody("root", Role.ADMIN)
    with stage.database.write() as session:
        machine = tokens.add(session, "machine", tokens.fresh(), stage.clock(), None, [Right.READ]).id
    made = new_token(alice, "hers")
    assert bob.get("/api/v1/tokens").json()["items"] == []
    for number in (made["id"], machine, 999):
        refused = bob.delete(f"/api/v1/tokens/{number}")
        assert (refused.status_code, refused.json()["detail"]) == (404, f"there is no token {number}")
    assert {one["name"] for one in admin.get("/api/v1/tokens").json()["items"]} == {"hers", "machine"}
    assert alice.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert admin.delete(f"/api/v1/tokens/{machine}").status_code == 204
    assert people.client(made["token"]).get("/api/v1/servers").status_code == 401


def test_a_machines_token_sees_no_token_of_the_other_machines(stage: Stage, people: People) -> None:
    text = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "one", text, stage.clock(), None, [Right.OWN])
        other = tokens.add(session, "two", tokens.fresh(), stage.clock(), None, [Right.OWN]).id
    client = people.client(text)
    assert client.get("/api/v1/tokens").json()["items"] == []
    assert client.delete(f"/api/v1/tokens/{other}").status_code == 404


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x/y", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "days": 0},
        {"name": "x", "scopes": ["read"], "days": 367},
        {"name": "x", "scopes": ["read"], "user_id": 1},
        {"name": "x", "scopes": ["read"], "owner": "root"},
    ],
)
def test_a_token_that_cannot_be_is_refused(people: People, wish: dict[str, Any]) -> None:
    client = people.somebody("alice")
    assert client.post("/api/v1/tokens", json=wish).status_code == 422
    assert client.get("/api/v1/tokens").json()["items"] == []
