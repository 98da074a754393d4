"""Passwords, refresh tokens and access tokens: who comes in, and how long they stay."""

from __future__ import annotations

import base64
import json
import threading
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning
from notafter.custody.custodian import Place
from notafter.domain.login import KEY_LIFE, LONGEST, LoginEnd
from notafter.domain.user import Role
from notafter.lifecycle import user
from notafter.lifecycle.audit import Ledger
from notafter.store.guesses import digest
from notafter.store.tables import GuessRow, LoginRow, RefreshTokenRow, SigningKeyRow, UserRow
from sqlalchemy import select

from tests.integration.controlplane.people import PASSWORD, People, log_in

if TYPE_CHECKING:
    import httpx

    from tests.integration.controlplane.stage import Stage

OTHER = "another-walrus-kite-31-salt"
LOGIN = "/api/v1/auth/login"
HOUR = timedelta(hours=1)


def attempt(client: httpx.Client, name: str, password: str) -> httpx.Response:
    return client.post(LOGIN, json={"name": name, "password": password})


def refresh(client: httpx.Client, token: str) -> httpx.Response:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def with_token(people: People, given: dict[str, Any]) -> httpx.Client:
    return people.client(given["access_token"])


def test_the_first_start_makes_an_admin_who_sets_a_password_of_their_own(
    stage: Stage, people: People
) -> None:
    made = user.first_admin(stage.database, Ledger(stage.custodian), stage.clock())
    assert made is not None
    assert made.text not in repr(made)
    assert user.first_admin(stage.database, Ledger(stage.custodian), stage.clock()) is None
    client = with_token(people, log_in(people.client(), "admin", made.text))
    assert client.get("/api/v1/users").status_code == 403
    done = client.put("/api/v1/auth/password", json={"current": made.text, "new": PASSWORD})
    assert done.status_code == 204
    assert client.get("/api/v1/users").json()["items"][0]["name"] == "admin"
    assert attempt(people.client(), "admin", made.text).status_code == 401
    assert not log_in(people.client(), "ADMIN ")["must_change_password"]


def test_what_is_stored_opens_nothing(stage: Stage, people: People) -> None:
    people.somebody("alice")
    given = log_in(people.client(), "alice")
    stored = stage.stored()
    for secret in (PASSWORD, given["refresh_token"], given["access_token"]):
        assert secret.encode() not in stored
    with stage.database.read() as session:
        row = session.scalars(select(UserRow)).one()
        assert row.password_hash.startswith("$argon2id$v=19$")
        assert all(key.sealed_secret.startswith("v1.") for key in session.scalars(select(SigningKeyRow)))


def test_an_unknown_name_a_wrong_password_and_a_shut_out_user_are_told_alike(
    stage: Stage, people: People
) -> None:
    people.somebody("alice")
    people.somebody("root", Role.ADMIN)
    people.somebody("bob")
    with stage.database.write() as session:
        row = session.scalars(select(UserRow).where(UserRow.name == "bob")).one()
        user.set_disabled(session, row, stage.clock(), disabled=True)
    said = [
        attempt(people.client(), "alice", "wrong"),
        attempt(people.client(), "nobody", PASSWORD),
        attempt(people.client(), "bob", PASSWORD),
    ]
    assert {one.status_code for one in said} == {401}
    assert len({one.text for one in said}) == 1
    assert all(
        one.headers["cache-control"] == "no-store" for one in [attempt(people.client(), "alice", PASSWORD)]
    )


def test_a_refresh_token_is_good_once_and_one_that_comes_twice_ends_the_login(
    stage: Stage, people: People
) -> None:
    people.somebody("alice")
    first = log_in(people.client(), "alice")
    second = refresh(people.client(), first["refresh_token"]).json()
    assert with_token(people, second).get("/api/v1/auth/me").json()["name"] == "alice"
    stolen = refresh(people.client(), first["refresh_token"])
    assert stolen.status_code == 401
    assert "was used before" in stolen.json()["detail"]
    assert refresh(people.client(), second["refresh_token"]).status_code == 401
    for given in (first, second):
        assert with_token(people, given).get("/api/v1/auth/me").status_code == 401
    with stage.database.read() as session:
        assert LoginEnd.REUSED in {row.end for row in session.scalars(select(LoginRow))}


def test_of_many_who_use_one_refresh_token_at_once_one_goes_on_at_most(people: People) -> None:
    people.somebody("alice")
    token = log_in(people.client(), "alice")["refresh_token"]
    found: list[int] = []
    clients = [people.client() for _ in range(8)]
    threads = [
        threading.Thread(target=lambda one=one: found.append(refresh(one, token).status_code))
        for one in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200] + [401] * 7


def test_access_ends_after_an_hour_and_a_login_after_thirty_days(stage: Stage, people: People) -> None:
    people.somebody("alice")
    given = log_in(people.client(), "alice")
    stage.ahead = HOUR + timedelta(seconds=1)
    late = with_token(people, given).get("/api/v1/auth/me")
    assert (late.status_code, "refresh it" in late.json()["detail"]) == (401, True)
    while stage.ahead < LONGEST - timedelta(days=6):
        given = refresh(people.client(), given["refresh_token"]).json()
        stage.ahead += timedelta(days=6)
    assert refresh(people.client(), given["refresh_token"]).status_code == 200
    stage.ahead = LONGEST + HOUR
    assert refresh(people.client(), given["refresh_token"]).status_code == 401


def test_a_login_that_nobody_uses_ends_after_a_week(stage: Stage, people: People) -> None:
    people.somebody("alice")
    given = log_in(people.client(), "alice")
    stage.ahead = timedelta(days=7, minutes=1)
    assert refresh(people.client(), given["refresh_token"]).status_code == 401


def test_a_new_password_ends_all_other_logins_and_none_of_the_tokens(people: People) -> None:
    client = people.somebody("alice")
    machine = people.client(
        client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["token"]
    )
    other = with_token(people, log_in(people.client(), "alice"))
    done = client.put("/api/v1/auth/password", json={"current": PASSWORD, "new": OTHER})
    assert done.status_code == 204
    assert client.get("/api/v1/auth/me").status_code == 200
    assert other.get("/api/v1/auth/me").status_code == 401
    assert machine.get("/api/v1/servers").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "told"),
    [
        (PASSWORD, PASSWORD, "the new password is the current one"),
        ("wrong-but-long-enough-9", OTHER, "the current password is wrong"),
        (PASSWORD, "vulcan-ember", "at least 15 characters"),
        (PASSWORD, "aaaaaaaaaaaaaaaaaaaaaaaa", "could be guessed"),
        (PASSWORD, "password1password1", "could be guessed"),
        (PASSWORD, "alice" * 4, "could be guessed"),
        (PASSWORD, "x" * 129, "128"),
    ],
)
def test_a_password_that_cannot_be_taken_is_refused_with_the_remedy_and_not_repeated(
    people: People, current: str, new: str, told: str
) -> None:
    client = people.somebody("alice")
    refused = client.put("/api/v1/auth/password", json={"current": current, "new": new})
    assert refused.status_code == 422
    assert told in refused.text
    assert new not in refused.text
    assert attempt(people.client(), "alice", PASSWORD).status_code == 200


def test_who_guesses_a_password_waits_longer_each_time_and_whether_the_name_is_known_does_not_show(
    stage: Stage, people: People
) -> None:
    stage.stands_at = stage.clock()
    people.somebody("alice")
    for name in ("alice", "nobody"):
        # from an address of its own each time: an account is guarded also against many machines
        tries = [
            attempt(people.client(address=f"192.0.2.{n}"), name, "wrong-password").status_code
            for n in range(1, 7)
        ]
        assert tries == [401] * 5 + [429]
    held = attempt(people.client(address="192.0.2.9"), "alice", PASSWORD)
    assert held.status_code == 429
    assert 1 <= int(held.headers["retry-after"]) <= 16
    stage.ahead = timedelta(seconds=17)
    assert attempt(people.client(address="192.0.2.9"), "alice", PASSWORD).status_code == 200
    assert attempt(people.client(address="192.0.2.9"), "alice", "wrong-password").status_code == 401


def test_an_address_that_guesses_many_names_waits_and_others_do_not(stage: Stage, people: People) -> None:
    people.somebody("alice")
    with stage.database.write() as session:
        site = digest("2001:db8:1:2::/64")
        session.add(GuessRow(kind="address", who=site, failures=20, last_at=stage.clock()))
    assert attempt(people.client(address="2001:db8:1:2:3:4:5:6"), "alice", PASSWORD).status_code == 429
    assert attempt(people.client(address="2001:db8:1:3::1"), "alice", PASSWORD).status_code == 200


def test_nobody_is_kept_waiting_by_the_slips_of_an_office(stage: Stage, people: People) -> None:
    for name in ("alice", "bob"):
        people.somebody(name)
    for _day in range(60):
        stage.ahead += timedelta(hours=12)
        assert attempt(people.client(), "alice", "a slip of the fingers").status_code == 401
        for name in ("alice", "bob"):
            assert attempt(people.client(), name, PASSWORD).status_code == 200


def test_no_stranger_keeps_somebody_out_where_they_have_logged_in_before(
    stage: Stage, people: People
) -> None:
    stage.stands_at = stage.clock()
    people.somebody("alice")
    for number in range(8):
        attempt(people.client(address=f"192.0.2.{number}"), "alice", "wrong-password")
    assert attempt(people.client(address="192.0.2.99"), "alice", PASSWORD).status_code == 429
    assert attempt(people.client(), "alice", PASSWORD).status_code == 200, "from here she came before"


def test_a_password_in_the_wrong_field_is_kept_nowhere(stage: Stage, people: People) -> None:
    assert attempt(people.client(), PASSWORD, "x").status_code == 401
    assert PASSWORD.encode() not in stage.stored()


def test_many_guesses_at_once_are_no_more_than_many_in_a_row(stage: Stage, people: People) -> None:
    stage.stands_at = stage.clock()
    people.somebody("alice")
    found: list[int] = []
    clients = [people.client() for _ in range(12)]
    threads = [
        threading.Thread(target=lambda one=one: found.append(attempt(one, "alice", "wrong").status_code))
        for one in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [401] * 5 + [429] * 7


def forged(stage: Stage, given: dict[str, Any]) -> dict[str, str]:
    """Access tokens as an attacker makes them of a good one."""
    head, body, seal = given["access_token"].split(".")
    claims = jwt.decode(given["access_token"], options={"verify_signature": False})
    header = jwt.get_unverified_header(given["access_token"])
    with stage.database.read() as session:
        row = session.scalars(select(SigningKeyRow)).one()
        key = stage.custodian.open(row.sealed_secret, Place("signing_key", row.id, "sealed_secret"))

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    def signed(claims: dict[str, Any], key: bytes = key, **header: str) -> str:
        algorithm = header.pop("algorithm", "HS256")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": row.key, **header})

    return {
        "no algorithm": f"{part({**header, 'alg': 'none'})}.{body}.",
        "no algorithm, written otherwise": f"{part({**header, 'alg': 'nOnE'})}.{body}.{seal}",
        "an algorithm of its own": signed(claims, algorithm="HS512"),
        "a key of its own": signed(claims, key=b"k" * 32),
        "a key id that is none": signed(claims, kid="key-99"),
        "a key id that is a path": signed(claims, kid="../../dev/null"),
        "a key id that is SQL": signed(claims, kid="key-1' OR '1'='1"),
        "no key id": f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{body}.{seal}",
        "a key in its head": f"{part({**header, 'jwk': {'kty': 'oct', 'k': 'a2V5'}})}.{body}.{seal}",
        "somebody else": f"{head}.{part({**claims, 'sub': '2'})}.{seal}",
        "a later end": f"{head}.{part({**claims, 'exp': claims['exp'] + 10**6})}.{seal}",
        "no end": signed({name: value for name, value in claims.items() if name != "exp"}),
        "an end that is no number": signed({**claims, "exp": "never"}),
        "another audience": signed({**claims, "aud": "elsewhere"}),
        "another issuer": signed({**claims, "iss": "elsewhere"}),
        "another user with the same login": signed({**claims, "sub": "2"}),
        "a login that is none": signed({**claims, "sid": "99"}),
        "a user that is no number": signed({**claims, "sub": "x"}),
        "the refresh token": given["refresh_token"],
        "nothing": "..",
        "very much": "x." * 2000,
    }


def test_s8_no_forged_access_token_opens_anything(stage: Stage, people: People) -> None:
    people.somebody("alice")
    people.somebody("root", Role.ADMIN)
    given = log_in(people.client(), "alice")
    assert with_token(people, given).get("/api/v1/auth/me").status_code == 200
    for name, token in forged(stage, given).items():
        assert people.client(token).get("/api/v1/auth/me").status_code == 401, name


def test_signing_keys_change_and_tokens_of_the_one_before_end_by_themselves(
    stage: Stage, people: People
) -> None:
    people.somebody("alice")
    stage.ahead = KEY_LIFE - timedelta(seconds=20)
    old = log_in(people.client(), "alice")
    stage.ahead = KEY_LIFE + timedelta(seconds=20)
    new = log_in(people.client(), "alice")
    kinds = {jwt.get_unverified_header(one["access_token"])["kid"] for one in (old, new)}
    assert kinds == {"key-1", "key-2"}
    assert with_token(people, old).get("/api/v1/auth/me").status_code == 200
    stage.ahead = KEY_LIFE * 2 + timedelta(minutes=1)
    log_in(people.client(), "alice")
    with stage.database.read() as session:
        assert [row.key for row in session.scalars(select(SigningKeyRow))] == ["key-2", "key-3"]


def test_logins_that_are_over_are_forgotten(stage: Stage, people: People) -> None:
    people.somebody("alice")
    log_in(people.client(), "alice")
    stage.ahead = timedelta(days=9)
    log_in(people.client(), "alice")
    with stage.database.read() as session:
        assert len(session.scalars(select(LoginRow)).all()) == 1
        assert len(session.scalars(select(RefreshTokenRow)).all()) == 1
