"""Every operation of the OpenAPI document with everybody who could ask: nobody gets further than they may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter
from notafter.api import application, rights
from notafter.domain.user import Right, Role
from notafter.store import tokens, users

from tests.integration.controlplane.people import PASSWORD, People, log_in

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage

#: What each may do that those before may not; written down here once more, so that no change goes unseen.
OPEN = {
    "GET /healthz",
    "GET /readyz",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
}
JOB = {
    "GET /api/v1/jobs/{job_id}/bundle/{certificate}",
    "GET /api/v1/jobs/{job_id}/credentials/{certificate}",
}
FIRST = {  # also who must set a password first
    "GET /api/v1/auth/me",
    "POST /api/v1/auth/logout",
    "PUT /api/v1/auth/password",
}
OWN = FIRST | {
    "GET /api/v1/tokens",
    "POST /api/v1/tokens",
    "DELETE /api/v1/tokens/{token_id}",
}
VIEWER = OWN | {
    "GET /api/v1/accounts",
    "GET /api/v1/certificates",
    "GET /api/v1/certificates/{certificate_id}",
    "GET /api/v1/dns-credentials",
    "GET /api/v1/findings",
    "GET /api/v1/jobs",
    "GET /api/v1/jobs/{job_id}",
    "GET /api/v1/jobs/{job_id}/lines",
    "GET /api/v1/jobs/{job_id}/lines/stream",
    "GET /api/v1/servers",
    "GET /api/v1/servers/{name}",
    "GET /metrics",
}
OPERATOR = VIEWER | {
    "POST /api/v1/certificates/revoked",
    "POST /api/v1/certificates/{certificate_id}/adopt",
    "POST /api/v1/certificates/{certificate_id}/renew",
    "POST /api/v1/certificates/{certificate_id}/revoke",
    "POST /api/v1/certificates/{certificate_id}/verify",
    "POST /api/v1/jobs/{job_id}/cancel",
    "POST /api/v1/jobs/{job_id}/retry",
    "POST /api/v1/runs",
    "POST /api/v1/scan",
}
ADMIN = OPERATOR | {
    "GET /api/v1/audit",
    "POST /api/v1/accounts",
    "PUT /api/v1/accounts/{name}/limits",
    "POST /api/v1/dns-credentials",
    "GET /api/v1/users",
    "POST /api/v1/users",
    "GET /api/v1/users/{user_id}",
    "PATCH /api/v1/users/{user_id}",
    "DELETE /api/v1/users/{user_id}",
    "POST /api/v1/users/{user_id}/password",
}
REVOKE = {"POST /api/v1/certificates/{certificate_id}/revoke"}
REPORT = {"POST /api/v1/runs"}
SCOPES = {
    Right.READ: VIEWER - OWN,
    Right.OWN: OWN,
    Right.OPERATE: OPERATOR
    - VIEWER
    - {"POST /api/v1/certificates/{certificate_id}/revoke", "POST /api/v1/runs"},
    Right.REVOKE: {"POST /api/v1/certificates/{certificate_id}/revoke"},
    Right.REPORT: {"POST /api/v1/runs"},
    Right.MANAGE: {one for one in ADMIN - OPERATOR if "/users" not in one and "/audit" not in one},
    Right.AUDIT: {"GET /api/v1/audit"},
    Right.ADMINISTER: {one for one in ADMIN if "/users" in one},
}
#: What wants somebody who has logged in, whatever a token may.
PERSONAL = {
    "POST /api/v1/auth/logout",
    "PUT /api/v1/auth/password",
    "POST /api/v1/tokens",
    *(one for one in ADMIN if "/users" in one and not one.startswith("GET ")),
}
ROLES = {Role.VIEWER: VIEWER, Role.OPERATOR: OPERATOR, Role.ADMIN: ADMIN}


def let_in(client: httpx.Client, *, but: frozenset[str] = frozenset()) -> set[str]:
    """Ask for every operation of the document; return those whose door was open."""
    paths = client.get("/openapi.json").json()["paths"]
    asked = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(asked) >= 36
    opened = set()
    for method, path in asked:
        if f"{method} {path}" in but:
            continue
        filled = path.replace("{name}", "nobody").replace("{certificate}", "crt-9").replace("_id}", "}")
        for noun in ("certificate", "job", "token", "user"):
            filled = filled.replace(f"{{{noun}}}", "999")
        answer = client.request(method, filled)
        if answer.status_code not in {401, 403}:
            assert answer.status_code < 500, (method, path, answer.text)
            opened.add(f"{method} {path}")
        else:
            assert answer.headers["content-type"] == "application/problem+json"
    return opened


def token(stage: Stage, name: str, *scopes: Right) -> str:
    text = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, name, text, stage.clock(), None, scopes)
    return text


#: A wrong password or refresh token is a 401 as well: both have tests of their own.
BUT = frozenset({"POST /api/v1/auth/logout"})


def test_nobody_gets_no_further_than_the_door(people: People) -> None:
    assert let_in(people.client()) == OPEN


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_what_is_written_down_for_it_and_nothing_else(people: People, role: Role) -> None:
    client = people.somebody("alice", role)
    assert let_in(client, but=BUT) == OPEN | ROLES[role] - BUT
    assert client.post("/api/v1/auth/logout").status_code == 204
    assert let_in(client) == OPEN


@pytest.mark.parametrize("right", list(Right))
def test_a_token_may_what_its_scope_says_and_nothing_else(stage: Stage, people: People, right: Right) -> None:
    client = people.client(token(stage, "machine", right))
    assert let_in(client) == OPEN | SCOPES[right] - PERSONAL


def test_a_given_password_opens_nothing_but_the_way_to_ones_own(people: People) -> None:
    given = log_in(people.client(), "bob", people.newcomer("bob", Role.ADMIN))
    assert given["must_change_password"]
    client = people.client(given["access_token"])
    assert let_in(client, but=BUT) == OPEN | FIRST - BUT
    refused = client.get("/api/v1/servers")
    assert refused.status_code == 403
    assert "PUT /api/v1/auth/password" in refused.json()["detail"]


def test_who_is_shut_out_is_out_at_once_with_all_their_tokens(stage: Stage, people: People) -> None:
    client = people.somebody("carol", Role.ADMIN)
    people.somebody("root", Role.ADMIN)
    wish = {"name": "ci", "scopes": ["read"]}
    machine = people.client(client.post("/api/v1/tokens", json=wish).json()["token"])
    assert machine.get("/api/v1/servers").status_code == 200
    with stage.database.read() as session:
        number = users.by_name(session, "carol").id
    assert client.patch(f"/api/v1/users/{number}", json={"disabled": True}).status_code == 200
    assert let_in(client) == OPEN
    assert let_in(machine) == OPEN


def test_who_loses_a_right_loses_it_in_their_tokens_and_in_what_is_open(stage: Stage, people: People) -> None:
    admin = people.somebody("root", Role.ADMIN)
    client = people.somebody("dave", Role.OPERATOR)
    wish = {"name": "ci", "scopes": ["read", "operate"]}
    machine = people.client(client.post("/api/v1/tokens", json=wish).json()["token"])
    assert machine.post("/api/v1/scan").status_code == 202
    with stage.database.read() as session:
        number = users.by_name(session, "dave").id
    assert admin.patch(f"/api/v1/users/{number}", json={"role": "viewer"}).json()["role"] == "viewer"
    for one in (client, machine):
        assert one.post("/api/v1/scan").status_code == 403
        assert one.get("/api/v1/servers").status_code == 200


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_nobody_makes_themselves_more_than_they_are(stage: Stage, people: People, role: Role) -> None:
    client = people.somebody("eve", role)
    with stage.database.read() as session:
        number = users.by_name(session, "eve").id
    assert client.patch(f"/api/v1/users/{number}", json={"role": "admin"}).status_code == 403
    assert client.post("/api/v1/users", json={"name": "eve2", "role": "admin"}).status_code == 403
    for body in (
        {"current": PASSWORD, "new": PASSWORD + "-x", "role": "admin"},
        {"current": PASSWORD, "new": PASSWORD + "-x", "user_id": 1},
    ):
        assert client.put("/api/v1/auth/password", json=body).status_code == 422
    beyond = client.post("/api/v1/tokens", json={"name": "more", "scopes": ["read", "manage"]})
    assert (beyond.status_code, "manage" in beyond.json()["detail"]) == (422, True)
    assert client.get("/api/v1/auth/me").json()["rights"] == [r for r in Right if r in _held(role)]


def _held(role: Role) -> set[Right]:
    held = {Right.READ, Right.OWN}
    return held if role is Role.VIEWER else held | {Right.OPERATE, Right.REVOKE, Right.REPORT}


def test_a_token_makes_no_tokens(stage: Stage, people: People) -> None:
    client = people.client(token(stage, "everything", *Right))
    refused = client.post("/api/v1/tokens", json={"name": "child", "scopes": ["read"]})
    assert refused.status_code == 403


def test_a_token_makes_nobody_an_admin(stage: Stage, people: People) -> None:
    client = people.client(token(stage, "people", Right.ADMINISTER))
    assert client.get("/api/v1/users").status_code == 200
    assert client.post("/api/v1/users", json={"name": "mallory", "role": "admin"}).status_code == 403
    people.somebody("root", Role.ADMIN)
    assert client.post("/api/v1/users/1/password").status_code == 403


def test_tokens_of_who_has_to_set_a_password_open_nothing_until_it_is_set(people: People) -> None:
    root, client = people.somebody("root", Role.ADMIN), people.somebody("bob")
    made = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["token"]
    machine, number = people.client(made), client.get("/api/v1/auth/me").json()["user"]
    given = root.post(f"/api/v1/users/{number}/password").json()["one_time_password"]
    assert machine.get("/api/v1/servers").status_code == 401
    first = people.client(log_in(people.client(), "bob", given)["access_token"])
    assert first.post("/api/v1/tokens", json={"name": "x", "scopes": ["own"]}).status_code == 403
    assert first.put("/api/v1/auth/password", json={"current": given, "new": PASSWORD}).status_code == 204
    assert machine.get("/api/v1/servers").status_code == 200


def test_what_is_held_of_somebody_who_is_gone_is_nobody_elses(people: People) -> None:
    """SQLite gives the id of a row that was removed to the next one, unless it is told not to."""
    root = people.somebody("root", Role.ADMIN)
    mallory = people.somebody("mallory")
    made = mallory.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()
    number = mallory.get("/api/v1/auth/me").json()["user"]
    assert root.delete(f"/api/v1/users/{number}").status_code == 204
    chief = people.somebody("chief", Role.ADMIN)
    assert chief.get("/api/v1/auth/me").json()["user"] > number
    assert chief.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["id"] > made["id"]
    assert mallory.get("/api/v1/auth/me").status_code == 401


def test_a_route_that_the_table_does_not_know_is_not_served() -> None:
    router = APIRouter()

    @router.get("/api/v1/forgotten")
    def forgotten() -> None:
        raise AssertionError("nobody may")

    with pytest.raises(RuntimeError, match=r"no right is said for \['GET /api/v1/forgotten'\]"):
        rights.check(router.routes)


def test_a_route_that_was_added_later_is_for_nobody(stage: Stage) -> None:
    """Should the check ever be gone round, the guard does not know the way either."""
    app = application.create(stage.service)

    @app.get("/api/v1/late")
    def late() -> None:
        raise AssertionError("nobody may")

    headers = {"Authorization": f"Bearer {token(stage, 'everything', *Right)}"}
    with stage.api(app) as url:
        assert httpx.get(f"{url}/api/v1/late", headers=headers, trust_env=False).status_code == 403
