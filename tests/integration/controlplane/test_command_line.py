"""The command line: clear answers, exit codes, no secret as an argument."""

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from notafter.domain.user import Right
from sqlalchemy import text

from tests.factories import binding
from tests.integration.controlplane.stage import ROOT, Stage, wait_for


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error."""
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("notafter: ")
    return lines[0]


def test_from_nothing_to_adopted(stage: Stage) -> None:
    pem = stage.ca.issue("shop.example").certificate
    wild = stage.ca.issue("*.shop.example").certificate
    stage.found("web1", (pem, binding(pem)), (wild, binding(wild, "/wild.pem")))
    stage.make_account()
    assert stage.command("dns", "create", "--provider", "dns_x", stdin="X_KEY=s3cret\n").returncode == 0
    done = stage.command(
        "adopt", "--all", "--account", "main", "--challenge", "http-01", "--mode", "stateless", "--json"
    )
    answer = json.loads(done.stdout)
    assert answer["adopted"] == ["crt-1"]
    assert "wildcard" in answer["refused"]["crt-2"]
    done = stage.command("adopt", "crt-2", "--account", "main", "--challenge", "dns-01", "--dns", "main")
    assert done.stdout == "adopted: crt-2\n"
    rows = json.loads(stage.command("certificates", "--json").stdout)
    assert [(row["certificate"], row["names"]) for row in rows] == [
        ("crt-1", ["shop.example"]),
        ("crt-2", ["*.shop.example"]),
    ]
    assert stage.command("renew", "crt-1").stdout == "job 2 will renew\n"
    assert stage.command("scan", "--no-wait").stdout == "job 3 will scan\n"
    assert stage.command("tick").stdout == "nothing is due\n"
    assert [row["kind"] for row in json.loads(stage.command("jobs", "--json").stdout)] == [
        "scan",
        "renew",
        "scan",
    ]
    assert "web1" in stage.command("servers").stdout
    assert "/wild.pem" in stage.command("deployments", "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("renew", "shop"), "", "'shop' is no certificate"),
        (("renew", "7"), "", "no certificate 7"),
        (("scan", "web*"), "", "no inventory name"),
        (("adopt", "--account", "x", "--challenge", "dns-01"), "", "--all"),
        (("adopt", "1", "--account", "x", "--challenge", "dns-01"), "", "needs a DNS provider"),
        (
            ("account", "create", "--directory", "https://127.0.0.1:1/dir"),
            "",
            "127.0.0.1:1/dir does not answer",
        ),
        (("account", "create", "--directory", "ftp://x"), "", "not an https address"),
        (("account", "create", "--directory", "https://x", "--bundle", "/no/such"), "", "/no/such"),
        (("dns", "create", "--provider", "dns_x"), "nonsense", "line 1"),
        (("dns", "create", "--provider", "dns_x"), "", "needs variables"),
        (("dns", "create", "--provider", "bind"), "A=b", "no DNS provider"),
    ],
)
def test_bad_input_names_itself(stage: Stage, arguments: tuple[str, ...], stdin: str, told: str) -> None:
    assert told in said(stage.command(*arguments, stdin=stdin))


def test_a_file_with_secrets_that_others_can_read_is_refused(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "vars"
    path.write_text("X_KEY=s3cret\n")
    path.chmod(0o644)
    assert "chmod 0600" in said(stage.command("dns", "create", "--provider", "dns_x", "--file", str(path)))
    path.chmod(0o600)
    done = stage.command("dns", "create", "--provider", "dns_x", "--file", str(path))
    assert done.stdout == "DNS credential default: X_KEY\n"


def test_a_port_in_use_is_named_with_the_remedy(stage: Stage) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", stage.port))
        sock.listen()
        line = said(stage.command("serve"))
    assert str(stage.port) in line
    assert "NOTAFTER_PORT" in line


def test_a_database_of_a_newer_version_is_named(stage: Stage) -> None:
    with stage.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "newer notafter" in said(stage.command("serve"))
    assert "newer notafter" in said(stage.command("certificates"))


def test_a_wrong_project_or_inventory_is_named(stage: Stage) -> None:
    stage.project = stage.folder / "elsewhere"
    assert "NOTAFTER_PROJECT" in said(stage.command("serve"))
    stage.project = ROOT
    stage.inventory.unlink()
    assert "NOTAFTER_INVENTORY" in said(stage.command("serve"))


def test_a_wrong_key_is_named_and_nothing_starts(stage: Stage) -> None:
    (stage.data / "kek").unlink()
    assert "missing" in said(stage.command("serve"))
    assert not (stage.data / "kek").exists()


def test_a_token_made_by_hand_opens_the_api_of_a_serving_process(stage: Stage) -> None:
    token = stage.command("token", "create", "--name", "me").stdout.strip()
    request = urllib.request.Request(f"http://127.0.0.1:{stage.port}/api/v1/jobs")
    request.add_header("Authorization", f"Bearer {token}")

    def ask() -> bytes | None:
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310 -- our own API
                return bytes(answer.read())
        except urllib.error.URLError:
            return None

    with stage.serve() as process:
        assert json.loads(wait_for(ask)) == {"items": [], "next": None}
        process.terminate()
        assert process.wait(20) == 0


def test_the_first_start_says_the_admins_password_once_and_only_to_who_starts_it(stage: Stage) -> None:
    found = re.compile(r"log in as 'admin' with (\S+) and")
    said_in = stage.folder / "serve.log"
    with stage.serve():
        first = wait_for(lambda: found.search(said_in.read_text()))
    lines = [line for line in said_in.read_text().splitlines() if first[1] in line]
    assert [line.startswith("notafter: first start") for line in lines] == [True], "it is not in the log"
    said_in.unlink()
    with stage.serve():
        wait_for(lambda: '"serving"' in said_in.read_text())
    assert first[1] not in said_in.read_text()
    assert not found.search(said_in.read_text())


def test_people_are_made_changed_and_removed_by_who_owns_the_machine(stage: Stage) -> None:
    password = stage.command("user", "create", "Alice", "--role", "admin").stdout.strip()
    assert re.fullmatch(r"([a-z2-9]{4}-){4}[a-z2-9]{4}", password)
    assert stage.command("user", "create", "bob").returncode == 0
    assert "there is a user 'bob' already" in said(stage.command("user", "create", "bob"))
    assert "last admin" in said(stage.command("user", "role", "alice", "viewer"))
    assert stage.command("user", "role", "bob", "admin").stdout == "bob is admin\n"
    assert stage.command("user", "disable", "alice").stdout == "alice is shut out\n"
    assert "last admin" in said(stage.command("user", "delete", "bob"))
    rows = json.loads(stage.command("user", "list", "--json").stdout)
    assert [(row["name"], row["role"], row["disabled"]) for row in rows] == [
        ("alice", "admin", "yes"),
        ("bob", "admin", "no"),
    ]
    assert stage.command("user", "enable", "alice").returncode == 0
    again = stage.command("user", "reset-password", "alice").stdout.strip()
    assert again != password
    assert stage.command("user", "delete", "bob").stdout == "bob is gone\n"
    assert "there is no user 'bob'" in said(stage.command("user", "enable", "bob"))


def test_tokens_of_machines_may_what_an_operator_may_unless_more_or_less_is_said(stage: Stage) -> None:
    made = stage.command("token", "create", "--name", "report", "--scope", "report", "--days", "30")
    assert made.stdout.startswith("na_")
    assert stage.command("token", "create", "--name", "ops").returncode == 0
    assert stage.command("token", "create", "--name", "root", "--role", "admin").returncode == 0
    rows = json.loads(stage.command("token", "list", "--json").stdout)
    assert {row["name"]: row["scopes"] for row in rows} == {
        "report": ["report"],
        "ops": ["read", "own", "operate", "revoke", "report"],
        "root": [right.value for right in Right],
    }
    assert made.stdout.strip() not in json.dumps(rows)
    assert stage.command("token", "delete", "ops").returncode == 0
    assert "there is no token 'ops'" in said(stage.command("token", "delete", "ops"))
    assert "is no name of a token" in said(stage.command("token", "create", "--name", "a/b"))


def test_help_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notafter", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "controlplane"},
    )
    for command in (
        "serve",
        "migrate",
        "tick",
        "scan",
        "adopt",
        "renew",
        "cancel",
        "retry",
        "certificates",
        "token",
        "dns",
        "user",
    ):
        assert command in done.stdout
