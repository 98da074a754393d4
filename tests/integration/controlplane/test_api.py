"""The API: who may ask what, and how it says no."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from notafter.api.limits import MOST_BYTES
from notafter.domain.user import Right
from notafter.store import jobs, tokens
from notafter.store.jobs import Claim
from sqlalchemy import text

from tests.factories import DAY, binding
from tests.integration.controlplane.stage import DNS_SECRET, Stage

TOKEN = "na_test-" + "7Qx" * 12


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as made:
        yield made


def anonymous(client: httpx.Client) -> httpx.Client:
    del client.headers["Authorization"]
    return client


@pytest.mark.parametrize("token", ["x", TOKEN[:-1], TOKEN + "x", "\u00e4", "na_" + "A" * 43])
def test_a_wrong_token_opens_nothing(client: httpx.Client, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode()}
    assert httpx.get(client.base_url.join("/api/v1/jobs"), headers=headers).status_code == 401


def test_an_expired_token_opens_nothing(client: httpx.Client, stage: Stage) -> None:
    token = tokens.fresh()
    with stage.database.write() as session:
        tokens.add(session, "old", token, stage.clock() - 2 * DAY, stage.clock() - DAY, tuple(Right))
    client.headers["Authorization"] = f"Bearer {token}"
    assert client.get("/api/v1/jobs").json()["detail"] == "this token has expired"


def test_tokens_are_stored_as_hashes(stage: Stage, client: httpx.Client) -> None:
    assert client.get("/api/v1/jobs").status_code == 200
    assert TOKEN.encode() not in stage.stored()


def test_health_tells_alive_from_ready(client: httpx.Client) -> None:
    anonymous(client)
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "jobs_waiting": 0}


def test_a_certificate_is_shown_with_its_places_and_its_next_step_in_words(
    client: httpx.Client,
    stage: Stage,
) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    (short,) = client.get("/api/v1/certificates").json()["items"]
    assert short["next_step"]["sentence"] == "nobody has adopted it"
    assert (short["adopted"], short["health"]) == (False, "valid")
    stage.make_account()
    wish = {"account": "main", "challenge": "dns-01", "credential": "main", "provider": "dns_x"}
    detail = client.post("/api/v1/certificates/1/adopt", json=wish).json()
    assert detail["adopted"]
    assert detail["next_step"]["code"] == "not_yet"
    assert detail["places"][0]["server"] == "web1"
    assert detail["versions"][0]["origin"] == "scanned"
    (server,) = client.get("/api/v1/servers").json()["items"]
    assert (server["name"], server["presence"]) == ("web1", "online")
    assert client.get("/api/v1/servers/web1").json()["facts"]["hostname"] == "web1"


def test_a_renewal_is_a_job_and_asking_twice_is_one(client: httpx.Client, stage: Stage) -> None:
    stage.one_certificate()
    first = client.post("/api/v1/certificates/1/renew")
    assert first.status_code == 202
    assert client.post("/api/v1/certificates/1/renew").json()["id"] == first.json()["id"]
    detail = client.get(f"/api/v1/jobs/{first.json()['id']}").json()
    assert [item["subject"] for item in detail["details"]] == ["certificate", "deployment"]
    assert detail["requested_by"] == "token:test"


def test_a_scan_is_a_job_and_asking_twice_is_one(client: httpx.Client) -> None:
    first = client.post("/api/v1/scan").json()
    assert client.post("/api/v1/scan", json={}).json()["id"] == first["id"]
    named = client.post("/api/v1/scan", json={"servers": ["web1", "web1"]}).json()
    assert named["items"] == 1
    assert client.post("/api/v1/scan", json={"servers": ["-v"]}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/api/v1/certificates/99", None, 404, "no certificate 99"),
        ("GET", "/api/v1/certificates/x", None, 422, "certificate_id"),
        ("GET", "/api/v1/certificates/" + "9" * 30, None, 422, "certificate_id"),
        ("GET", "/api/v1/jobs?limit=0", None, 422, "limit"),
        ("GET", "/api/v1/jobs?limit=1000000", None, 422, "limit"),
        ("GET", "/api/v1/servers/nobody", None, 404, "nobody"),
        ("GET", "/nowhere", None, 404, "Not Found"),
        ("DELETE", "/api/v1/jobs", None, 405, "Method Not Allowed"),
        ("POST", "/api/v1/scan", {"servers": [], "x": 1}, 422, "x"),
        ("POST", "/api/v1/scan", {"servers": ["{{ x }}"]}, 422, "no inventory name"),
        ("POST", "/api/v1/certificates/1/renew", None, 409, "nobody has adopted"),
        ("POST", "/api/v1/certificates/1/adopt", {"account": "x", "challenge": "dns-01"}, 422, "provider"),
        (
            "POST",
            "/api/v1/certificates/1/adopt",
            {"account": "no", "challenge": "http-01", "mode": "stateless"},
            404,
            "account create",
        ),
        ("POST", "/api/v1/accounts", {"name": "x", "directory": "https://127.0.0.1:1/"}, 422, "127.0.0.1:1"),
        ("POST", "/api/v1/accounts", {"name": "-x", "directory": "https://x"}, 422, "no inventory name"),
        (
            "POST",
            "/api/v1/dns-credentials",
            {"name": "x", "provider": "rm -rf", "variables": {"A": "b"}},
            422,
            "no DNS provider",
        ),
        (
            "POST",
            "/api/v1/dns-credentials",
            {"name": "x", "provider": "dns_x", "variables": {"A;": "b"}},
            422,
            "no variable name",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_problem(  # noqa: PLR0917 -- one column of the table each
    client: httpx.Client,
    stage: Stage,
    method: str,
    path: str,
    body: Any,
    status: int,
    told: str,
) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    answer = client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert told in problem["detail"]
    assert problem["type"].startswith("urn:notafter:problem:")
    assert problem["status"] == status


def test_a_wildcard_cannot_be_proved_by_http(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("*.shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    stage.make_account()
    wish = {"account": "main", "challenge": "http-01", "mode": "stateless"}
    assert "wildcard" in client.post("/api/v1/certificates/1/adopt", json=wish).json()["detail"]


def test_a_body_too_large_is_refused_before_it_is_read(client: httpx.Client) -> None:
    assert client.post("/api/v1/scan", content=b"x" * (MOST_BYTES + 1)).status_code == 413


def test_secrets_go_in_and_never_come_out(client: httpx.Client, stage: Stage) -> None:
    secret = "canary-secret-value"
    wish = {"name": "x", "provider": "dns_x", "variables": {"X_TOKEN": secret}, "propagation_seconds": 5}
    made = client.post("/api/v1/dns-credentials", json=wish)
    assert made.json()["variables"] == ["X_TOKEN"]
    assert made.json()["propagation_seconds"] == 5
    assert secret not in made.text + client.get("/api/v1/dns-credentials").text
    wrong = client.post("/api/v1/dns-credentials", json={**wish, "provider": 7, "y": secret})
    assert secret not in wrong.text
    assert secret.encode() not in stage.stored()


def test_pages_follow_each_other(client: httpx.Client, stage: Stage) -> None:
    for host in ("a", "b", "c"):
        stage.found(host)
    first = client.get("/api/v1/servers?limit=2").json()
    rest = client.get(f"/api/v1/servers?limit=2&after={first['next']}").json()
    assert [one["name"] for one in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None
    newest = client.get("/api/v1/jobs?limit=2").json()
    oldest = client.get(f"/api/v1/jobs?limit=2&before={newest['next']}").json()
    assert [one["id"] for one in newest["items"] + oldest["items"]] == [3, 2, 1]


# -- the two routes of a running job


def running(stage: Stage) -> tuple[Claim, str]:
    """A renew job that a worker holds, with its attempts made and its token stored."""
    stage.one_certificate()
    claim, token = stage.renewing(), tokens.fresh()
    with stage.database.write() as session:
        jobs.get(session, claim.job_id).token_hash = tokens.digest(token)
    return claim, token


def test_a_job_gets_the_credentials_of_its_own_certificate(client: httpx.Client, stage: Stage) -> None:
    claim, token = running(stage)
    client.headers["Authorization"] = f"Bearer {token}"
    answer = client.get(f"/api/v1/jobs/{claim.job_id}/credentials/crt-1")
    assert answer.json()["dns_variables"] == {"X_TOKEN": DNS_SECRET}
    assert answer.json()["account"]["private_key"].startswith("-----BEGIN EC PRIVATE KEY-----")
    assert answer.headers["cache-control"] == "no-store"
    assert client.get(f"/api/v1/jobs/{claim.job_id}/credentials/crt-2").status_code == 404
    assert client.get(f"/api/v1/jobs/{claim.job_id}/bundle/crt-1?fingerprint={'ab' * 32}").status_code == 404
    assert client.get(f"/api/v1/jobs/{claim.job_id}/bundle/crt-1").status_code == 404, "no key, no bundle"


def test_a_job_token_opens_that_job_alone_and_only_while_it_runs(client: httpx.Client, stage: Stage) -> None:
    claim, token = running(stage)
    stage.found("web9")
    client.headers["Authorization"] = f"Bearer {token}"
    assert client.get("/api/v1/certificates").status_code == 401
    assert client.get("/api/v1/jobs/2/credentials/crt-1").status_code == 200
    assert client.get("/api/v1/jobs/3/credentials/crt-1").status_code == 401
    assert client.get("/api/v1/jobs/99/credentials/crt-1").status_code == 401
    with stage.database.write() as session:
        jobs.get(session, claim.job_id).token_hash = None
    assert client.get("/api/v1/jobs/2/credentials/crt-1").status_code == 401


def test_an_api_token_does_not_open_the_secrets_of_a_job(client: httpx.Client, stage: Stage) -> None:
    claim, _ = running(stage)
    assert client.get(f"/api/v1/jobs/{claim.job_id}/credentials/crt-1").status_code == 401


def test_an_unexpected_error_is_a_problem_without_its_text(client: httpx.Client, stage: Stage) -> None:
    with stage.database.write() as session:
        session.execute(text("DROP TABLE line"))
    stage.found("web1")
    answer = client.get("/api/v1/jobs/1/lines")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "something broke; the log says what"
