# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several deployments of one server: one that cannot be placed keeps none of the others back."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import deploy, placement, state, transaction
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError, Refused
from ansible_collections.notafter.tls.tests.unit.plugins import scanning

if t.TYPE_CHECKING:
    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made

#: A folder in which nobody can make a file, not even root.
NOT_WRITABLE = Path("/proc")


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own directory is in the test's."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(state, "FAILPOINT_FILE", str(tmp_path / "failpoint"))
    monkeypatch.setenv("HOME", str(tmp_path))


def run(files: dict[Path, Made], **more: t.Any) -> list[dict[str, t.Any]]:
    """The outcomes of a deploy of certificate and key, in one file each, that nothing reloads."""
    wishes = [
        {
            "certificate": path.name,
            "bundle": path.name,
            "service": "files",
            "names": [],
            "listeners": [],
            "files": [{"path": str(path), "kind": "combined", "sha256": None}],
        }
        for path in files
    ]
    bundles = {
        path.name: {
            "certificate": made.pem,
            "chain": made.chain,
            "private_key": made.key_pem,
            "fingerprint_sha256": made.fingerprint,
            "key_type": "ec",
        }
        for path, made in files.items()
    }
    request = {"now": scanning.NOW.timestamp(), "deployments": wishes, "bundles": bundles, **more}
    outcomes: list[dict[str, t.Any]] = deploy.run(request)["deployments"]
    return outcomes


def test_t2_a_file_that_cannot_be_written_keeps_no_neighbour_back(
    tmp_path: Path, issue: Issue, authority: Made
) -> None:
    folders = [tmp_path, tmp_path, NOT_WRITABLE, tmp_path, tmp_path]
    files = {
        folder / f"{name}.pem": issue(f"{name}.test", by=authority)
        for name, folder in zip("abcde", folders, strict=True)
    }
    outcomes = run(files)
    assert [one["state"] for one in outcomes] == ["staged", "staged", "blocked_by_host", "staged", "staged"]
    assert outcomes[2]["reason"] == "not_writable"
    for path, made in files.items():
        assert path.parent == NOT_WRITABLE or path.read_text().startswith(made.pem)
    assert len(transaction.committed()) == 2, "a and b; d and e"
    again = [one["reason"] for one in run(files)]
    assert again[2] == "not_writable"
    assert len(transaction.committed()) == 2, "nothing was left to do"


def test_a_stumble_over_one_server_hides_nothing_that_was_done_to_another(
    tmp_path: Path, issue: Issue, authority: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_arguments: object) -> t.NoReturn:
        raise IndexError("a defect")

    monkeypatch.setattr(placement.Placement, "examine", stumble)
    (outcome,) = run({tmp_path / "a": issue("a.test", by=authority)})
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "internal")
    assert "a defect" in outcome["message"]
    assert not (tmp_path / "a").exists()


def with_password(made: Made) -> str:
    """A pair whose key opens with a password."""
    return made.fullchain + made.encrypted(b"secret")


def test_an_encrypted_key_comes_back_with_what_was_there_before(
    tmp_path: Path, issue: Issue, authority: Made
) -> None:
    path = tmp_path / "shop.pem"
    before = with_password(issue("shop.test", by=authority))
    path.write_text(before)
    new = {path: issue("shop.test", by=authority)}
    assert [one["state"] for one in run(new)] == ["staged"]
    assert [one["state"] for one in run(new, state="previous")] == ["staged"]
    assert path.read_text() == before


def test_nobody_is_asked_for_the_password_of_a_key(issue: Issue, authority: Made) -> None:
    """OpenSSL would ask at the terminal and wait, with the host's lock held."""
    with pytest.raises(Refused) as refused:
        placement.require_pair(with_password(issue("shop.test", by=authority)).encode())
    assert refused.value.kind == "key_encrypted"


def test_a_pair_beside_issuers_that_change_is_not_judged(
    tmp_path: Path, issue: Issue, authority: Made
) -> None:
    certificate, key = tmp_path / "other.pem", tmp_path / "other.key"
    made = issue("other.test", by=authority)
    certificate.write_text(made.pem)
    key.write_text(with_password(made))
    pairs = [(str(certificate), str(key))]
    deploy._require_pairs(pairs, {str(tmp_path / "chain.pem")})
    with pytest.raises(HostError) as unfit:
        deploy._require_pairs(pairs, {str(certificate)})
    assert unfit.value.kind == "config_test_failed"
