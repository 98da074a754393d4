"""What is wrong, what expires, what nobody manages: by the API and by the command line."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.domain.errors import DatabaseFull
from notafter.domain.finding import Kind
from notafter.domain.user import Right
from notafter.lifecycle import findings
from notafter.store import certificates, tokens
from notafter.store.findings import Wanted

from tests.factories import DAY, binding, fingerprint
from tests.integration.controlplane.stage import Stage, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "na_test-" + "7Qx" * 12
FORMULAS = ("=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1+1", "'=1")


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as made:
        yield made


def seen(pem: str | None, by: str | None = None) -> list[dict[str, Any]]:
    """What the one listener of a binding showed."""
    shown = fingerprint(pem) if pem else None
    error = None if pem else "Connection refused"
    return [{"listener": "*:443", "name": "shop.example", "fingerprint": shown, "error": error, "by": by}]


def kinds(client: httpx.Client, query: str = "") -> list[str]:
    return [one["kind"] for one in client.get(f"/api/v1/findings{query}").json()["items"]]


def test_every_sort_of_finding_has_its_place_and_its_remedy(client: httpx.Client, stage: Stage) -> None:
    old = stage.ca.issue("old.example", start=-91 * DAY, end=-DAY).certificate
    soon = stage.ca.issue("soon.example", start=-85 * DAY, end=5 * DAY).certificate
    theirs = {**binding(soon, "/soon.pem"), "managed_by": "certbot"}
    broken = {**binding(None, "/gone.pem"), "problems": [{"kind": "missing", "message": "no such file"}]}
    weak = binding(old, "/old.pem")
    weak["problems"] = [
        {"kind": "key_readable_by_others", "message": "mode 0644"},
        {"kind": "expired", "message": "as the scan saw it"},
    ]
    stage.found("web1", (old, weak), (soon, theirs), (None, broken))
    answer = client.get("/api/v1/findings").json()
    told = {(one["kind"], one["level"], one["file"], one["line"]) for one in answer["items"]}
    config = "/etc/nginx/sites-enabled/shop"
    assert told == {
        ("missing", "critical", config, 7),
        ("expired", "critical", config, 7),
        ("expires_soon", "critical", config, 7),
        ("key_readable_by_others", "warning", config, 7),
        ("not_managed", "warning", config, 7),
        ("managed_by_another", "info", config, 7),
    }
    assert all(one["remedy"] and one["server"] == "web1" for one in answer["items"])
    assert answer["total"] == 6
    assert answer["counts"]["level"] == {"critical": 3, "warning": 2, "info": 1}
    assert answer["counts"]["kind"]["missing"] == 1
    expired = next(one for one in answer["items"] if one["kind"] == "expired")
    assert (expired["certificate"], expired["fingerprint"]) == ("crt-1", fingerprint(old))
    levels = [one["level"] for one in answer["items"]]
    assert levels == sorted(levels, key=["critical", "warning", "info"].index), "the worst comes first"


def test_they_can_be_filtered_and_paged(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for host in ("web1", "web2", "web3"):
        stage.found(host, (pem, binding(pem)))
    assert kinds(client, "?server=web2") == ["not_managed"]
    assert kinds(client, "?level=critical") == []
    assert kinds(client, "?service=nginx&text=SHOP.example") == ["not_managed"] * 3
    assert kinds(client, "?service=apache") == []
    assert kinds(client, "?kind=not_managed&limit=2") == ["not_managed"] * 2
    first = client.get("/api/v1/findings?limit=2").json()
    rest = client.get(f"/api/v1/findings?limit=2&after={first['next']}").json()
    assert [one["server"] for one in first["items"] + rest["items"]] == ["web1", "web2", "web3"]
    assert (rest["next"], rest["total"]) == (None, 3)
    for wrong in ("?level=terrible", "?kind=x", "?limit=0", "?after=-1", "?text="):
        assert client.get(f"/api/v1/findings{wrong}").status_code == 422


def test_what_is_served_is_held_against_the_disk_and_shown_with_the_place(
    client: httpx.Client, stage: Stage
) -> None:
    before = stage.ca.issue("shop.example", start=-60 * DAY).certificate
    pem = stage.ca.issue("shop.example").certificate
    alien = stage.ca.issue("alien.example").certificate
    for served, cause in (
        (seen(pem), "in_sync"),
        (seen(before), "not_reloaded"),
        (seen(before, by="caddy"), "served_by_another"),
        (seen(alien), "served_by_another"),
        (seen(None), "not_served"),
    ):
        one = {**binding(pem), "served": served, "problems": [{"kind": cause, "message": "of the run"}]}
        extra = [
            (shown, {**binding(shown, f"/{n}.pem"), "listeners": []})
            for n, shown in enumerate((before, alien))
        ]
        stage.found("web1", (pem, one), *extra)
        (place,) = client.get("/api/v1/certificates/1").json()["places"][:1]
        assert place["difference"]["cause"] == cause, place
        found = client.get("/api/v1/findings?text=sites-enabled").json()["items"]
        told = [item["sentence"] for item in found if item["kind"] == cause]
        assert told == ([] if cause == "in_sync" else [place["difference"]["sentence"]]), "each once"


def test_a_place_that_came_right_by_itself_has_no_failures_left(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, {**binding(pem), "served": seen(None)}))
    with stage.database.write() as session:
        (place,) = certificates.get(session, 1).deployments
        place.failures, place.next_attempt_at, place.last_problem = 1, stage.clock(), "the run was killed"
    stage.found("web1", (pem, {**binding(pem), "served": seen(None)}))
    with stage.database.read() as session:
        (place,) = certificates.get(session, 1).deployments
        assert place.failures == 1, "nothing was shown that would speak for it"
    stage.found("web1", (pem, {**binding(pem), "served": seen(pem)}))
    with stage.database.read() as session:
        (place,) = certificates.get(session, 1).deployments
        assert (place.failures, place.next_attempt_at, place.last_problem) == (0, None, None)


def test_a_file_that_somebody_has_overwritten_is_told_where_the_place_is_ours(
    client: httpx.Client, stage: Stage
) -> None:
    key = stage.one_certificate()
    claim = stage.renewing()
    with stage.database.write() as session:  # as if the renewal had brought a version with a key
        version = certificates.by_key(session, key).current
        assert version is not None
        stage_fingerprint = version.fingerprint
        session.connection().exec_driver_sql("UPDATE version SET sealed_key = 'x'")
    stage.report(claim)
    other = stage.ca.issue("evil.example").certificate
    stage.found("web1", (other, {**binding(other), "served": seen(other)}))
    (one,) = [o for o in client.get("/api/v1/findings").json()["items"] if o["kind"] == "overwritten"]
    assert stage_fingerprint[:16] in one["sentence"]
    assert fingerprint(other)[:16] in one["sentence"]
    assert one["level"] == "warning"


def test_servers_that_nobody_looked_at_or_reached_are_findings(client: httpx.Client) -> None:
    assert client.post("/api/v1/scan", json={"servers": ["web1"]}).status_code == 202
    assert kinds(client) == ["never_scanned"]


def test_ten_thousand_places_are_told_in_seconds(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for number in range(20):
        rows = [(pem, binding(pem, f"/etc/ssl/{n}.pem", names=(f"n{n}.example",))) for n in range(500)]
        stage.found(f"web{number:02}", *rows)
    start = time.process_time()
    answer = client.get("/api/v1/findings?limit=200", timeout=60).json()
    assert answer["total"] == 10_000
    assert time.process_time() - start < 15


def test_many_places_on_one_server_that_all_show_another_certificate_are_told_in_seconds(
    stage: Stage,
) -> None:
    pem, old = stage.ca.issue("shop.example").certificate, stage.ca.issue("shop.example").certificate
    rows = [(pem, {**binding(pem, f"/etc/ssl/{n}.pem"), "served": seen(old)}) for n in range(3000)]
    stage.found("web1", *rows, (old, binding(old, "/etc/ssl/old.pem")))
    start = time.process_time()
    findings.refresh(stage.database, stage.clock())
    with stage.database.read() as session:
        found = findings.everything(session, stage.clock(), Wanted(kind=Kind.NOT_SERVED))
    assert len(found) == 3000
    assert time.process_time() - start < 15


# -- the command line


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_command_line_lists_what_is_known(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    told = stage.command("findings").stdout
    assert "* warning not_managed: web1 nginx /etc/nginx/sites-enabled/shop:7 (shop.example)" in told
    assert "-> adopt it" in told
    (one,) = json.loads(stage.command("findings", "--json").stdout)
    assert (one["kind"], one["server"]) == ("not_managed", "web1")
    (row,) = rows(stage.command("findings", "--csv", "--level", "warning").stdout)
    assert (row["what"], row["kind"], row["line"], row["names"]) == (
        "finding",
        "not_managed",
        "7",
        "shop.example",
    )
    assert (
        stage.command("findings", "--kind", "expired").stdout.strip()
        == "nothing is wrong, as far as is known"
    )


def test_no_cell_of_a_csv_is_a_formula_and_nothing_steers_the_terminal(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for number, formula in enumerate(FORMULAS):
        one = binding(pem, f"/etc/{number}", names=(formula, '";=1', "\x1b[2J\u202e"))
        one["config_file"] = formula
        one["problems"] = [{"kind": formula, "message": formula + "\n=1"}]
        stage.found(f"web{number}", (pem, one))
    told = stage.command("findings", "--csv").stdout
    found = rows(told)
    assert len(found) >= 2 * len(FORMULAS)
    for row in found:
        for cell in row.values():
            assert not cell.strip().startswith(("=", "+", "-", "@", "\uff1d", "|", "%")), cell
            assert cell.isprintable(), cell
    for words in (("findings",), ("findings", "--csv"), ("findings", "--json"), ("deployments",)):
        shown = stage.command(*words)
        assert shown.returncode == 0, shown.stderr
        assert not any(mark in shown.stdout for mark in ("\x1b", "\u202e", "\0")), words


def test_a_scan_that_nobody_would_carry_out_is_refused_with_the_remedy(stage: Stage) -> None:
    done = stage.command("scan")
    assert done.returncode == 1
    assert str(stage.port) in done.stderr
    assert "notafter serve" in done.stderr
    assert "--no-wait" in done.stderr
    assert json.loads(stage.command("jobs", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("findings", "--server", "nobody"), "no server 'nobody'"),
        (("findings", "--json", "--csv"), "choose one"),
        (("scan", "-v;"), "No such option"),
        (("findings", "--level", "bad"), "'bad' is not one of"),
    ],
)
def test_bad_input_is_named(stage: Stage, arguments: tuple[str, ...], told: str) -> None:
    done = stage.command(*arguments)
    assert done.returncode != 0
    assert told in done.stderr


def test_a_scan_waits_for_its_end_and_reports_what_it_could_not_reach(stage: Stage) -> None:
    stage.inventory.write_text(json.dumps({"servers": {"hosts": {"gone": {"ansible_host": "192.0.2.1"}}}}))
    inventory = json.loads(stage.inventory.read_text())
    inventory["servers"]["vars"] = {"ansible_ssh_common_args": "-o ConnectTimeout=1"}
    stage.inventory.write_text(json.dumps(inventory))
    with stage.serve():
        wait_for(lambda: stage.command("scan", "--timeout", "60", "--csv").returncode in {0, 1})
        done = stage.command("scan", "gone", "--timeout", "90")
    assert done.returncode == 1, "somebody who asks in a script must hear that it failed"
    assert "not_reachable: gone" in done.stdout
    assert "What nobody manages" in done.stdout
    assert "failed" in done.stderr


def test_a_view_from_outside_of_another_file_says_nothing_of_this_one(
    client: httpx.Client, stage: Stage
) -> None:
    old, new = stage.ca.issue("shop.example").certificate, stage.ca.issue("shop.example").certificate
    stage.found("web1", (old, binding(old)))
    outside = {
        "address": "192.0.2.1",
        "port": 443,
        "name": "shop.example",
        "state": "served",
        "fingerprint_sha256": fingerprint(old),
    }
    body = {
        "run": "0" * 32,
        "outcomes": [
            {
                "number": 0,
                "host": "web1",
                "module": "notafter.tls.certificate_probe_info",
                "result": {"endpoints": [outside]},
            }
        ],
    }
    assert client.post("/api/v1/runs", json=body).json()["recorded"] == 1
    assert kinds(client, "?kind=differs_outside") == []
    stage.found("web1", (new, binding(new)))
    assert kinds(client, "?kind=differs_outside") == []


def test_time_alone_makes_findings_and_a_clock_set_back_takes_them_away(
    client: httpx.Client, stage: Stage
) -> None:
    pem = stage.ca.issue("shop.example", start=-DAY, end=89 * DAY).certificate
    stage.found("web1", (pem, binding(pem)))
    assert kinds(client) == ["not_managed"]
    stage.ahead = 70 * DAY
    assert sorted(kinds(client)) == ["expires_soon", "not_managed"]
    stage.ahead = 90 * DAY
    assert kinds(client) == ["expired", "not_managed"]
    (expired, _) = client.get("/api/v1/findings").json()["items"]
    assert expired["sentence"].endswith("ago")
    stage.ahead = 0 * DAY
    assert kinds(client) == ["not_managed"]


def test_a_finding_keeps_since_when_it_is_known_while_what_it_says_changes(
    client: httpx.Client, stage: Stage
) -> None:
    old, new = stage.ca.issue("shop.example").certificate, stage.ca.issue("shop.example").certificate
    stage.found("web1", (old, binding(old)))
    (first,) = client.get("/api/v1/findings").json()["items"]
    stage.ahead = DAY
    stage.found("web1", (new, binding(new)))
    (later,) = client.get("/api/v1/findings").json()["items"]
    assert (later["fingerprint"], later["since"]) == (fingerprint(new), first["since"])
    assert first["fingerprint"] == fingerprint(old)


def test_pages_go_on_where_they_ended_while_findings_come_and_go(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    for number in range(6):
        stage.found(f"web{number}", (pem, binding(pem)))
    first = client.get("/api/v1/findings?limit=3").json()
    stage.found("web1")
    stage.found("web9", (pem, binding(pem)))
    rest = client.get("/api/v1/findings", params={"limit": 50, "after": first["next"]}).json()
    shown = [one["server"] for one in first["items"] + rest["items"]]
    assert shown == ["web0", "web1", "web2", "web3", "web4", "web5", "web9"]


def test_findings_of_one_certificate_are_asked_for_by_its_key(client: httpx.Client, stage: Stage) -> None:
    for name in ("shop.example", "blog.example"):
        pem = stage.ca.issue(name).certificate
        stage.found(f"web-{name}", (pem, binding(pem, f"/etc/ssl/{name}.pem")))
    (one,) = client.get("/api/v1/findings?certificate=crt-2").json()["items"]
    assert one["server"] == "web-blog.example"


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "W10",  # []
        "WyJ3YXJuaW5nIiwid2ViMSIsLTFd",  # ["warning","web1",-1]
        "WyJ3YXJuaW5nIiwid2ViMSIsIjEiXQ",  # ["warning","web1","1"]
        "WyJ0ZXJyaWJsZSIsIndlYjEiLDFd",  # ["terrible","web1",1]
        "W1tbW1tbW1tbW1tb" * 100,
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused_by_name(client: httpx.Client, cursor: str) -> None:
    answer = client.get("/api/v1/findings", params={"after": cursor})
    assert answer.status_code == 422, answer.text
    assert "after" in answer.text or "level" in answer.text


def test_what_somebody_searches_for_is_text_and_no_pattern(client: httpx.Client, stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem, names=("100%_sure.example",))))
    assert kinds(client, "?text=100%25_sure") == ["not_managed"]
    for nothing in ("s_op", "%25.example", "\\"):
        assert kinds(client, f"?text={nothing}") == [], nothing


def test_while_the_database_cannot_be_written_what_is_kept_is_shown(
    client: httpx.Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = stage.ca.issue("shop.example").certificate
    stage.found("web1", (pem, binding(pem)))
    assert kinds(client) == ["not_managed"]
    stage.found("web2", (pem, binding(pem)))

    def full() -> None:
        raise DatabaseFull("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(stage.database, "write", full)
        answer = client.get("/api/v1/findings").json()
        assert ([one["server"] for one in answer["items"]], answer["outdated"]) == (["web1"], 1)
    answer = client.get("/api/v1/findings").json()
    assert ([one["server"] for one in answer["items"]], answer["outdated"]) == (["web1", "web2"], 0)
