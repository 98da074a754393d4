"""A CA's list of what it has revoked: what still serves of it is due at once, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from notafter.domain.errors import InvalidInput
from notafter.domain.reason import ReasonCode
from notafter.domain.renewal import why_due
from notafter.lifecycle import incident
from notafter.store import certificates, versions

from tests.factories import DAY, binding

if TYPE_CHECKING:
    from tests.integration.controlplane.stage import Stage


def test_c9_what_the_ca_has_revoked_is_due_at_once_and_nothing_else(stage: Stage) -> None:
    old = stage.ca.issue("n0.example", start=-60 * DAY).certificate
    stage.found("web0", (old, binding(old, names=("n0.example",))))
    for number in range(4):
        pem = stage.ca.issue(f"n{number}.example").certificate
        stage.found(f"web{number}", (pem, binding(pem, names=(f"n{number}.example",))))
    stage.adopt_all()
    with stage.database.write() as session:
        rows = {row.key: row for row in certificates.page(session, 0, 9)}
        replaced, first, second = (rows[key].current for key in ("crt-1", "crt-2", "crt-3"))
        assert replaced is not None
        assert first is not None
        assert second is not None
        rows["crt-1"].current_version_id = None  # what it was is not what serves now
        listed = (
            f"# as published\n00{first.serial.upper()}\n{second.fingerprint}\n{replaced.serial}\nabc123\n"
        )
        session.flush()
        found = incident.revoked(session, incident.parse(listed), stage.clock())
        assert found == incident.Incident(("crt-2", "crt-3"), replaced=1, unknown=1)
    with stage.database.read() as session:
        reasons = {
            row.key: why_due(certificates.facts(session, row), stage.clock()).reason.code
            for row in certificates.page(session, 0, 9)
        }
        assert {key for key, code in reasons.items() if code == ReasonCode.REVOKED} == {"crt-2", "crt-3"}
        due = {row.key for row in certificates.due(session, stage.clock())}
        assert {"crt-2", "crt-3"} <= due
        assert reasons["crt-4"] == ReasonCode.NOT_YET


def test_a_line_that_is_no_number_is_named_and_nothing_is_done() -> None:
    with pytest.raises(InvalidInput, match="line 2 is neither a serial number nor a fingerprint"):
        incident.parse("0a:0b\nthe second one\n")
    assert incident.parse("0A:0b # this one\n\n0x00ff") == ["a0b", "ff"]


def test_a_dry_run_says_what_it_would_mean_and_changes_nothing(stage: Stage) -> None:
    stage.one_certificate()
    with stage.database.read() as session:
        (version,) = versions.of_certificate(session, 1)
        serial = version.serial
    said = stage.command("revoked", "--dry-run", stdin=f"{serial}\n")
    assert said.stdout.splitlines() == [
        "1 would be renewed at once: crt-1",
        "0 were replaced before, 0 are not known here",
    ]
    with stage.database.read() as session:
        assert versions.of_certificate(session, 1)[0].revoked_at is None
    assert stage.command("revoked", stdin=serial).stdout.startswith("1 are renewed at once: crt-1")
    with stage.database.read() as session:
        assert versions.of_certificate(session, 1)[0].revoked_at is not None
