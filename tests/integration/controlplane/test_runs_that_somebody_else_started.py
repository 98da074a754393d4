"""A run by hand tells what it saw: recorded once, by the rules of a scan of our own, and no further."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.api.limits import MOST_BYTES
from notafter.domain.job import JobKind, JobState
from notafter.domain.user import Right
from notafter.lifecycle import due
from notafter.lifecycle.due import Limits
from notafter.store import certificates, jobs, servers, tokens

from tests.factories import binding, fingerprint, scan_result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.controlplane.stage import Stage

TOKEN = "na_test-" + "7Qx" * 12
SCAN, DEPLOY, PROBE, SIGN = (
    f"notafter.tls.{name}"
    for name in (
        "certificate_scan_info",
        "certificate_deploy",
        "certificate_probe_info",
        "acme_sh_certificate",
    )
)
RUN = "0123456789abcdef" * 2


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "laptop", TOKEN, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as made:
        yield made


def outcome(host: str, result: Any, module: str = SCAN, number: int = 0, **more: Any) -> dict[str, Any]:
    return {"number": number, "host": host, "module": module, "result": result, **more}


def tell(client: httpx.Client, *outcomes: dict[str, Any], run: str = RUN, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/runs", json={"run": run, "outcomes": list(outcomes), **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def everything(stage: Stage) -> str:
    """All that is on record."""
    with stage.database.read() as session:
        tables = ("server", "certificate", "version", "deployment", "job", "item")
        rows = {t: session.connection().exec_driver_sql(f"SELECT * FROM {t}").all() for t in tables}  # noqa: S608
    return repr(rows)


def test_a_scan_by_hand_has_the_same_findings_as_a_scan_of_our_own(
    client: httpx.Client, stage: Stage
) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    own = client.get("/api/v1/findings?server=web1").json()["items"]
    receipt = tell(client, outcome("web2", scan_result((pem, binding(pem)))), playbook="scan.yml")
    assert (receipt["recorded"], receipt["known"], receipt["left"]) == (1, 0, [])
    by_hand = client.get("/api/v1/findings?server=web2").json()["items"]
    assert by_hand == [
        {**one, "server": "web2", "since": there["since"]} for one, there in zip(own, by_hand, strict=True)
    ]
    job = client.get(f"/api/v1/jobs/{receipt['job']}").json()
    assert (job["kind"], job["state"], job["requested_by"], job["message"]) == (
        "report",
        "succeeded",
        "token:laptop",
        "scan.yml",
    )
    assert [(item["server"], item["reason"]) for item in job["details"]] == [("web2", "scanned")]


def test_the_same_run_told_twice_changes_nothing(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    told = [outcome("web1", scan_result((pem, binding(pem)))), outcome("web2", scan_result(), number=1)]
    first = tell(client, *told)
    before = everything(stage)
    again = tell(client, *told)
    assert (again["job"], again["recorded"], again["known"]) == (first["job"], 0, 2)
    assert everything(stage) == before
    part = tell(client, outcome("web3", scan_result(), number=2))
    assert (part["job"], part["recorded"]) == (first["job"], 1), "a run may tell in several parts"


def test_a_scan_in_pages_may_be_told_in_several_requests(client: httpx.Client, stage: Stage) -> None:
    pems = [stage.ca.issue(f"{number}.example").certificate for number in range(3)]
    whole = [(pem, binding(pem, f"/{number}.pem")) for number, pem in enumerate(pems)]
    tell(client, outcome("web1", scan_result(*whole)), run="e" * 32)
    told = [
        outcome("web1", {**scan_result(one), "page": {"scan": RUN, "number": n, "of": 2}}, number=n)
        for n, one in enumerate(whole[:2], 1)
    ]
    for one, absent in zip((told[1], told[1], told[0]), (0, 0, 1), strict=True):
        tell(client, one)
        with stage.database.read() as session:
            rows = servers.places(session, servers.by_name(session, "web1"))
            assert sum(row.absent_since is not None for row in rows) == absent
    before = everything(stage)
    assert tell(client, *told)["known"] == 2
    assert everything(stage) == before


def test_a_report_beside_a_job_that_waits_for_the_same_server_disturbs_neither(
    client: httpx.Client, stage: Stage
) -> None:
    client.post("/api/v1/scan", json={"servers": ["web1"]})
    assert tell(client, outcome("web1", scan_result()))["recorded"] == 1
    with stage.database.read() as session:
        states = [(job.kind, job.state) for job in jobs.page(session, None, 9)]
        assert states == [(JobKind.REPORT, JobState.SUCCEEDED), (JobKind.SCAN, JobState.QUEUED)]


def test_which_servers_a_run_by_hand_may_make(client: httpx.Client, stage: Stage) -> None:
    told = tell(
        client,
        outcome("localhost", scan_result()),
        outcome("-v", scan_result(), number=1),
        outcome("{{ x }}", scan_result(), number=2),
        outcome("new", {"deployments": []}, DEPLOY, number=3),
        outcome("web9", scan_result(), number=4),
    )
    assert told["recorded"] == 1
    reasons = {one["number"]: one["reason"] for one in told["left"]}
    assert "every machine" in reasons[0]
    assert "no inventory name" in reasons[1]
    assert "no inventory name" in reasons[2]
    assert "no server 'new'" in reasons[3]
    with stage.database.read() as session:
        assert [row.name for row in servers.everyone(session)] == ["web9"]


def test_what_is_not_what_was_agreed_is_left_with_its_reason(client: httpx.Client, stage: Stage) -> None:
    wrong: list[Any] = [
        {},
        {"server": 7, "bindings": []},
        {"server": {}, "bindings": [{"service": "nginx", "files": [{"path": "/x", "kind": "odd"}]}]},
        {"server": {"services": [7]}, "bindings": []},
        {"bindings": []},
    ]
    told = tell(client, *[outcome("web1", result, number=n) for n, result in enumerate(wrong)])
    assert (told["recorded"], len(told["left"])) == (0, len(wrong))
    failed = tell(client, outcome("web1", {"msg": "no python3 here"}, failed=True), run="f" * 32)
    assert "no python3 here" in failed["left"][0]["reason"]
    signed = tell(client, outcome("shop", {"failure": {"class": "caa"}}, SIGN, failed=True), run="e" * 32)
    assert "nothing that the control plane keeps" in signed["left"][0]["reason"]
    with stage.database.read() as session:
        assert servers.everyone(session) == []


@pytest.mark.parametrize(
    "change",
    [
        {"run": "x"},
        {"run": "../" + "a" * 29},
        {"extra": 1},
        {"outcomes": [{**outcome("web1", {}), "token": "x"}]},
        {"outcomes": [outcome("web1", {}, module="ansible.builtin.command")]},
        {"outcomes": [outcome("", {})]},
        {"outcomes": [outcome("web1", [])]},
        {"outcomes": [outcome("web1", {}, number=-1)]},
        {"outcomes": "x"},
    ],
)
def test_a_body_of_another_shape_is_refused(client: httpx.Client, change: dict[str, Any]) -> None:
    answer = client.post("/api/v1/runs", json={"run": RUN, "outcomes": [], **change})
    assert answer.status_code == 422


def test_a_body_too_large_or_too_deep_breaks_nothing(client: httpx.Client, stage: Stage) -> None:
    assert client.post("/api/v1/runs", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    for depth in (500, 900, 3000, 100_000):
        deep = "[" * depth + "]" * depth
        facts = json.dumps({"run": RUN, "outcomes": [outcome("web1", {"server": {"a": 0}, "bindings": []})]})
        body = facts.replace('{"a": 0}', f'{{"a": {deep}}}')
        headers = {"Content-Type": "application/json"}
        assert client.post("/api/v1/runs", content=body, headers=headers).status_code in {200, 400, 422}
    assert client.get("/healthz").status_code == 200
    assert stage.command("servers").returncode == 0


def test_nobody_without_a_token_may_tell(client: httpx.Client) -> None:
    del client.headers["Authorization"]
    assert client.post("/api/v1/runs", json={"run": RUN, "outcomes": []}).status_code == 401


def test_a_deploy_by_hand_is_looked_at_and_not_believed(client: httpx.Client, stage: Stage) -> None:
    key = stage.one_certificate()
    result = {
        "deployments": [
            {"id": "dep-1", "state": "deployed", "live_fingerprint": "ab" * 32, "service": "nginx"}
        ],
        "recovered": [],
    }
    assert tell(client, outcome("web1", result, DEPLOY))["recorded"] == 1
    with stage.database.read() as session:
        (place,) = certificates.by_key(session, key).deployments
        assert (place.live_fingerprint, place.deployed_at) == (None, None)
    (job,) = due.tick(stage.database, stage.clock(), Limits())
    with stage.database.read() as session:
        assert [item.server.name for item in jobs.get(session, job).items if item.server] == ["web1"]
        assert jobs.get(session, job).kind is JobKind.SCAN


def test_what_was_seen_from_outside_by_hand_is_held_against_the_hosts_own_view(
    client: httpx.Client, stage: Stage
) -> None:
    pem, other = stage.ca.issue("shop.example").certificate, stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))

    def seen(shown: str) -> dict[str, Any]:
        return {
            "id": None,
            "address": "192.0.2.1",
            "port": 443,
            "starttls": None,
            "name": "shop.example",
            "state": "served",
            "fingerprint_sha256": fingerprint(shown),
            "matches": None,
        }

    tell(client, outcome("web1", {"endpoints": [seen(other)]}, PROBE))
    (one,) = client.get("/api/v1/findings?kind=differs_outside").json()["items"]
    assert "192.0.2.1:443" in one["sentence"]
    assert fingerprint(other)[:16] in one["sentence"]
    tell(client, outcome("web1", {"endpoints": [seen(pem)]}, PROBE), run="b" * 32)
    assert client.get("/api/v1/findings?kind=differs_outside").json()["items"] == []
    elsewhere = {**seen(other), "port": 8443}
    tell(client, outcome("web1", {"endpoints": [elsewhere]}, PROBE), run="c" * 32)
    assert client.get("/api/v1/findings?kind=differs_outside").json()["items"] == []
    search = {"endpoints": [seen(other)], "discovery": {"asked": 9}}
    tell(client, outcome("web1", search, PROBE), run="d" * 32)
    assert client.get("/api/v1/findings?kind=differs_outside").json()["items"] == [], "it looked for anything"
