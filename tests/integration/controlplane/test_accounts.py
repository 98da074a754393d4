"""CA accounts: external accounts, roots and limits, by the API and on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from notafter.domain.user import Right
from notafter.lifecycle import account
from notafter.store import accounts, certificates, tokens

from tests.answering_ca import DIRECTORY, Ca, https
from tests.factories import binding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.controlplane.stage import Stage

TOKEN = "na_test-" + "8Rw" * 12
HMAC_KEY = "Y2FuYXJ5LWVhYi1obWFjLWtleS0wMDAx"
LIMITS = "/api/v1/accounts/main/limits"


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    with stage.database.write() as session:
        tokens.add(session, "test", TOKEN, stage.clock(), None, tuple(Right))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with stage.api() as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as made:
        yield made


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Ca]:
    with https(tmp_path) as made:
        made.says({**DIRECTORY, "meta": {"externalAccountRequired": True}})
        yield made


def test_an_account_at_an_address_beside_us_is_refused_and_nothing_is_asked(client: httpx.Client) -> None:
    for directory in ("https://169.254.169.254/latest", "https://10.0.0.1/dir", "https://[::1]/dir"):
        answer = client.post("/api/v1/accounts", json={"name": "x", "directory": directory})
        assert answer.status_code == 422, answer.text
        assert answer.json()["type"] == "urn:notafter:problem:out-of-reach"
    assert client.get("/api/v1/accounts").json() == []


def wish(ca: Ca, **more: Any) -> dict[str, Any]:
    return {"name": "zero", "directory": f"{ca.url}/dir", "bundle": ca.root, **more}


def test_an_external_account_goes_in_and_its_key_never_comes_out(
    client: httpx.Client, stage: Stage, ca: Ca
) -> None:
    more = {"root": ca.root, "eab_key_id": "kid-1", "eab_hmac_key": HMAC_KEY}
    made = client.post("/api/v1/accounts", json=wish(ca, **more))
    assert made.status_code == 201, made.text
    assert made.json()["eab_key_id"] == "kid-1"
    shown = made.text + client.get("/api/v1/accounts").text
    assert HMAC_KEY not in shown
    assert HMAC_KEY.encode() not in stage.stored()
    with stage.database.read() as session:
        row = accounts.by_name(session, "zero")
        assert account.eab_hmac_key(stage.custodian, row) == HMAC_KEY
        assert row.root_pem == ca.root.strip()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"X_TOKEN": "it's"}, "single quote"),
        ({"X_TOKEN": "schl\u00fcssel"}, "beyond ASCII"),
        ({"PATH": "/tmp"}, "the shell's own"),
        ({"Le_ReloadCmd": "true"}, "acme.sh's"),
        ({"_X": "1"}, "no variable name"),
    ],
)
def test_dns_variables_that_acme_sh_cannot_be_given_are_refused_when_they_come(
    client: httpx.Client, variables: dict[str, str], told: str
) -> None:
    wish = {"name": "dns", "provider": "dns_x", "variables": variables}
    refused = client.post("/api/v1/dns-credentials", json=wish)
    assert refused.status_code == 422
    assert told in refused.json()["detail"]
    assert not any(value in refused.text for value in variables.values() if value != "1")
    taken = {**wish, "variables": {"ACMEDNS_BASE_URL": "https://acme-dns.example"}}
    assert client.post("/api/v1/dns-credentials", json=taken).status_code == 201


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "asks for an external account"),
        ({"directory": "https://ca.example/dir?a=1"}, "no ACME directory"),
        ({"directory": "https://ca.example"}, "no ACME directory"),
        ({"email": "o'brien@ca.example"}, "no e-mail address"),
        ({"eab_key_id": "kid-1"}, "one of them is missing"),
        ({"eab_hmac_key": HMAC_KEY}, "one of them is missing"),
        ({"eab_key_id": "a b'", "eab_hmac_key": HMAC_KEY}, "no key id"),
        ({"eab_key_id": "kid-1", "eab_hmac_key": "!" + HMAC_KEY}, "not base64url"),
        ({"eab_key_id": "kid-1", "eab_hmac_key": HMAC_KEY[:8]}, "is cut: it has 6 bytes"),
        ({"eab_key_id": "kid-1", "eab_hmac_key": HMAC_KEY, "root": "x"}, "the root holds no readable"),
    ],
)
def test_what_is_wrong_with_an_external_account_is_said_and_its_key_is_not(
    client: httpx.Client, ca: Ca, more: dict[str, str], told: str
) -> None:
    refused = client.post("/api/v1/accounts", json=wish(ca, **more))
    assert refused.status_code == 422
    assert told in refused.json()["detail"]
    assert HMAC_KEY not in refused.text


def test_an_operators_limits_take_the_place_of_the_cas(client: httpx.Client, stage: Stage) -> None:
    stage.make_account()
    with stage.database.write() as session:
        accounts.by_name(session, "main").directory = "https://acme-v02.api.letsencrypt.org/directory"
    own = {"orders_per_3_hours": 900, "certificates_per_exact_set_per_week": None}
    kept = client.put(LIMITS, json=own).json()["limits"]
    assert [(one["counts"], one["count"], one["own"]) for one in kept] == [
        ("account", 900, True),
        ("registered_domain", 50, False),
        ("failed_authorisation", 5, False),
    ]
    assert [one["count"] for one in client.put(LIMITS, json={}).json()["limits"]] == [300, 50, 5, 5]
    assert client.put(LIMITS, json={"orders_per_3_hours": 0}).status_code == 422
    assert client.put(LIMITS.replace("main", "nobody"), json={}).status_code == 404


def test_on_the_command_line_a_limit_is_a_number_none_or_the_cas_own(stage: Stage, ca: Ca) -> None:
    bundle, key = stage.folder / "roots.pem", stage.folder / "hmac"
    bundle.write_text(ca.root)
    key.write_text(HMAC_KEY + "\n")
    key.chmod(0o600)
    made = stage.command(
        *(
            "account",
            "create",
            "--directory",
            f"{ca.url}/dir",
            "--bundle",
            str(bundle),
            "--root",
            str(bundle),
        ),
        *("--eab-key-id", "kid-1", "--eab-file", str(key)),
    )
    assert made.stdout == f"account default at {ca.url}/dir\n", made.stderr
    limits = ("--orders", "70", "--failed", "none", "--domain", "default")
    done = stage.command("account", "limits", "default", *limits, "--json")
    assert [(row["limit"], row["count"]) for row in json.loads(done.stdout)] == [
        ("new orders per account", 70)
    ]
    wrong = stage.command("account", "limits", "--orders", "many")
    assert "'many' is no limit" in wrong.stderr


def test_terms_with_another_ca_a_chain_and_an_address_come_back_as_they_were_given(
    client: httpx.Client, stage: Stage
) -> None:
    pem = stage.ca.issue("shop.example", "192.0.2.7").certificate
    stage.found("web1", (pem, binding(pem)))
    stage.make_account()
    terms = {
        "account": "main",
        "challenge": "tls-alpn-01",
        "port": 8443,
        "issuer": "web1",
        "preferred_chain": "ISRG Root X1",
        "minimum_validity_seconds": 86400,
    }
    adopted = client.post("/api/v1/certificates/1/adopt", json=terms).json()
    assert adopted["names"] == ["shop.example", "192.0.2.7"]
    assert adopted["challenge"] == {"type": "tls-alpn-01", "port": 8443}
    assert (adopted["preferred_chain"], adopted["minimum_validity_seconds"]) == ("ISRG Root X1", 86400)
    assert adopted["alternatives"] == []
    for change, told in (
        ({"issuer": None}, "name the issuer host that shop.example leads to"),
        (
            {"challenge": "dns-01", "provider": "dns_x", "credential": "main", "port": None},
            "192.0.2.7 is an address",
        ),
        ({"alternatives": ["nobody"]}, "no CA account 'nobody'"),
        ({"preferred_chain": "it's"}, "no issuer's name"),
    ):
        refused = client.post("/api/v1/certificates/1/adopt", json={**terms, **change})
        assert told in refused.json()["detail"]
    with stage.database.read() as session:
        assert certificates.get(session, 1).preferred_chain == "ISRG Root X1", "all or nothing"


def test_h6_a_revocation_is_confirmed_by_the_whole_fingerprint(client: httpx.Client, stage: Stage) -> None:
    stage.one_certificate()
    (version,) = client.get("/api/v1/certificates/1").json()["versions"]
    url, asked = "/api/v1/certificates/1/revoke", {"reason": "superseded"}
    short = client.post(url, json={**asked, "fingerprint": version["fingerprint"][:16]})
    assert short.status_code == 422
    whole = {**asked, "fingerprint": version["fingerprint"]}
    refused = client.post(url, json=whole)
    assert refused.status_code == 409
    assert "still serves at web1" in refused.json()["detail"]
    done = client.post(url, json={**whole, "force_because": "the host was broken into"})
    assert done.status_code == 202
    assert done.json()["forced_because"] == "the host was broken into"
    (job, *_) = client.get("/api/v1/jobs").json()["items"]
    assert (job["kind"], job["requested_by"]) == ("revoke", "token:test")
    said = stage.command("revoke", "crt-1", "--fingerprint", version["fingerprint"], "--reason", "superseded")
    assert said.stdout == "it will be revoked\n", said.stderr
