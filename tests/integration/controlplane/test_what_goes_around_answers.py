"""Headers, request ids, the log and the figures: what operators see of a control plane that serves."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog
from notafter.api import application
from notafter.api.envelope import Envelope
from notafter.domain.user import Role

from tests.integration.controlplane.people import People, log_in

if TYPE_CHECKING:
    from fastapi import Request, Response

    from tests.integration.controlplane.stage import Stage


def figures(client: httpx.Client) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/api/v1/servers", 401),
        ("GET", "/nowhere", 404),
        ("PUT", "/healthz", 405),
        ("POST", "/api/v1/auth/login", 422),
    ],
)
def test_every_answer_keeps_browsers_from_harm(people: People, method: str, path: str, status: int) -> None:
    answer = people.client().request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert "strict-transport-security" not in answer.headers, "it is not HTTPS"
    behind_a_proxy = people.client().request(method, path, headers={"X-Forwarded-Proto": "https"})
    assert behind_a_proxy.headers["strict-transport-security"].startswith("max-age=")


def test_a_body_that_is_too_large_and_what_breaks_have_all_that_too(stage: Stage) -> None:
    app = application.create(stage.service)

    @app.middleware("http")
    async def broken(request: Request, call_next: Any) -> Response:
        if request.url.path == "/broken":
            raise ZeroDivisionError
        found: Response = await call_next(request)
        return found

    with stage.api(Envelope(app, stage.service.stopwatch.observe)) as url:
        large = httpx.post(f"{url}/api/v1/auth/login", content=b"x" * 2**21, trust_env=False)
        none = httpx.get(f"{url}/broken", trust_env=False)
    assert (large.status_code, none.status_code) == (413, 500)
    for answer in (large, none):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


def test_a_wrong_method_is_told_which_are_right_and_no_path_leads_elsewhere(people: People) -> None:
    refused = people.client().put("/healthz")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert people.client().get("/api/v1/users/").status_code == 404


def test_a_request_has_one_id_in_the_answer_and_in_the_log(people: People) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        given = people.client().get("/api/v1/servers/web1", headers={"X-Request-ID": "from-the-proxy.7"})
        refused = people.client().get("/api/v1/servers/web1", headers={"X-Request-ID": "a b\x7fc"})
        people.client().get("/no/such/secret-path")
    assert given.headers["x-request-id"] == "from-the-proxy.7"
    made = refused.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    lines = [one for one in logs if one["event"] == "request"]
    assert [(one["request"], one["path"], one["status"]) for one in lines[:2]] == [
        ("from-the-proxy.7", "/api/v1/servers/{name}", 401),
        (made, "/api/v1/servers/{name}", 401),
    ]
    assert "secret-path" not in str(logs), "what strangers ask for is not repeated"


def test_figures_say_how_the_fleet_is(stage: Stage, people: People) -> None:
    root = people.somebody("root", Role.VIEWER)
    assert figures(root)['notafter_certificates{days="more"}'] == 0
    stage.one_certificate("web1", "web2")
    found = figures(root)
    assert sum(value for name, value in found.items() if name.startswith("notafter_certificates{")) == 1
    assert found['notafter_certificates{days="0"}'] == 0
    assert found["notafter_certificates_overdue"] == 0
    assert found['notafter_servers{presence="online"}'] == 2
    stage.ahead = timedelta(days=3650)
    root = people.client(log_in(people.client(), "root")["access_token"])
    late = figures(root)
    assert late['notafter_certificates{days="0"}'] == 1
    assert late["notafter_certificates_overdue"] == 1
    root.post("/api/v1/scan")
    route = 'method="GET",path="/api/v1/servers/{name}",status="4xx"'
    root.get("/api/v1/servers/web9")
    assert figures(root)[f"notafter_request_duration_seconds_count{{{route}}}"] == 1


def test_figures_of_the_queue_and_of_failures(stage: Stage, people: People) -> None:
    root = people.somebody("root", Role.ADMIN)
    key = stage.one_certificate()
    assert root.post(f"/api/v1/certificates/{key.removeprefix('crt-')}/verify").status_code == 202
    stage.ahead = timedelta(minutes=10)
    found = figures(root)
    assert found['notafter_jobs{state="queued"}'] == 1
    assert 600 <= found["notafter_queue_age_seconds"] < 700
    claim = stage.claim()
    assert figures(root)['notafter_jobs{state="running"}'] == 1
    stage.report(claim)
    failed = {name: value for name, value in figures(root).items() if name.startswith("notafter_failures")}
    assert sum(failed.values()) == 1
    stage.ahead = timedelta(days=2)
    root = people.client(log_in(people.client(), "root")["access_token"])
    assert not [name for name in figures(root) if name.startswith("notafter_failures")]


def test_strangers_cannot_make_figures_without_end(people: People) -> None:
    root = people.somebody("root")
    for number in range(20):
        people.client().request(f"X{number}", f"/nowhere/{number}")
    series = [name for name in figures(root) if "duration_seconds_count" in name]
    assert len([name for name in series if 'path="unmatched"' in name]) == 1
