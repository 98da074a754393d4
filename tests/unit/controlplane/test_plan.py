"""A plan is exactly what the contract says, and nothing in it is a template."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notafter.domain.errors import InvalidName
from notafter.domain.job import JobKind
from notafter.runner.plan import (
    Plain,
    Plan,
    PlannedAuthority,
    PlannedCertificate,
    PlannedDeployment,
    PlannedRevocation,
    PlannedSigning,
    ca_files,
    extra_variables,
    inventory,
    unsafe,
)

FOLDER = Path("/run/job")


def plan(text: str = "shop.example", server: str = "web1") -> Plan:
    """A plan with one text in every place that takes one."""
    place = PlannedDeployment(
        "dep-5",
        server,
        text,
        (text,),
        (text,),
        ({"path": text, "kind": text, "sha256": None},),
    )
    signing = PlannedSigning(
        authority=PlannedAuthority("le", text, text, text, text, text),
        challenge={"type": "dns-01", "provider": text, "dns_sleep": 0},
        thumbprint=text,
        profile=text,
        preferred_chain=text,
        minimum_validity=86400,
        csr_pem=text,
        attempt=text,
        replaces_pem=text,
        issuer="issuer1",
    )
    revocation = PlannedRevocation(signing.authority, text, text, text, "issuer1")
    certificate = PlannedCertificate("crt-17", (text,), text, (place,), signing, text, revocation)
    return Plan(JobKind.RENEW, 12, (certificate,), (server,))


def bare_strings(value: Any) -> list[str]:
    """The strings of a value that Ansible would take for templates."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for inner in value for text in bare_strings(inner)]
    if isinstance(value, dict) and set(value) != {"__ansible_unsafe"}:
        return [text for inner in value.values() for text in bare_strings(inner)]
    return []


def unwrapped(value: Any) -> Any:
    """What Ansible makes of a wrapped value."""
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {key: unwrapped(inner) for key, inner in value.items()}
    return [unwrapped(inner) for inner in value] if isinstance(value, list) else value


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.from_regex("[a-z_]{1,8}", fullmatch=True), inner),
)


@given(plain)
def test_every_string_is_wrapped_and_nothing_else_changes(value: Plain) -> None:
    wrapped = json.loads(json.dumps(unsafe(value)))
    assert bare_strings(wrapped) == []
    assert unwrapped(wrapped) == value


@given(st.text())
def test_no_string_of_a_whole_plan_is_bare(text: str) -> None:
    made = json.loads(inventory(plan(text), FOLDER))
    assert bare_strings(made) == []
    assert unwrapped(made)["certificates"]["hosts"]["crt-17"]["certificate_csr"] == text
    extra = json.loads(extra_variables(plan(text), "http://127.0.0.1:8443", FOLDER))
    assert bare_strings(extra) == []


def test_the_variables_are_those_of_the_contract() -> None:
    variables = unwrapped(json.loads(inventory(plan(), FOLDER)))["certificates"]["hosts"]["crt-17"]
    assert variables["certificate_ca"] == {
        "directory": "shop.example",
        "bundle": "/run/job/ca-le.pem",
        "root": "/run/job/root-le.pem",
        "email": "shop.example",
        "eab_key_id": "shop.example",
    }
    assert variables["certificate_preferred_chain"] == "shop.example"
    assert variables["certificate_minimum_validity"] == 86400
    assert variables["certificate_revocation"] == {
        "pem": "shop.example",
        "reason": "shop.example",
        "by": "shop.example",
    }
    assert variables["certificate_issuer"] == "issuer1"
    assert variables["certificate_waves"] == [1, "10%", "100%"]
    assert variables["certificate_max_fail_percentage"] == 0
    assert variables["certificate_deployments"] == [
        {
            "id": "dep-5",
            "server": "web1",
            "service": "shop.example",
            "names": ["shop.example"],
            "listeners": ["shop.example"],
            "files": [{"path": "shop.example", "kind": "shop.example", "sha256": None}],
            "urgent": False,
        },
    ]
    assert ca_files(plan()) == {"ca-le.pem": "shop.example", "root-le.pem": "shop.example"}
    job = unwrapped(json.loads(extra_variables(plan(), "http://127.0.0.1:8443", FOLDER)))["notafter_job"]
    assert job == {"id": 12, "api_url": "http://127.0.0.1:8443", "token_file": "/run/job/token"}


@pytest.mark.parametrize("name", ["-v", "web*", "{{ x }}", "a,b", "@/etc/passwd", "web1:web2", ""])
def test_a_host_that_is_a_pattern_or_an_option_stops_the_plan(name: str) -> None:
    with pytest.raises(InvalidName):
        inventory(plan(server=name), FOLDER)
    with pytest.raises(InvalidName):
        plan(server=name).hosts()
