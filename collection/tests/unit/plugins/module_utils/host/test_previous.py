# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a keystore had before its last change comes back whole, with others that share it or not at all."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import deploy, keystores, state
from ansible_collections.notafter.tls.tests.unit.plugins import scanning, stores

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.notafter.tls.tests.unit.plugins.scanning import Issue, Made

PASSWORD = "changeit"


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own directory is in the test's."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(state, "FAILPOINT_FILE", str(tmp_path / "failpoint"))
    monkeypatch.setenv("HOME", str(tmp_path))


def wish(folder: Path, alias: str) -> dict[str, t.Any]:
    """A deployment to one entry of a keystore that nothing reloads."""
    (folder / "password").write_text(PASSWORD + "\n")
    file = {"path": str(folder / "store.p12"), "kind": "pkcs12", "sha256": None, "alias": alias}
    file["password_file"] = str(folder / "password")
    return {
        "certificate": alias,
        "bundle": alias,
        "service": "files",
        "names": [],
        "listeners": [],
        "files": [file],
    }


def run(folder: Path, made: dict[str, Made], **more: t.Any) -> list[dict[str, t.Any]]:
    """The outcomes of a deploy of these, each to the entry of its name."""
    bundles = {
        alias: {
            "certificate": one.pem,
            "chain": one.chain,
            "private_key": one.key_pem,
            "fingerprint_sha256": one.fingerprint,
            "key_type": "ec",
        }
        for alias, one in made.items()
    }
    request = {"deployments": [wish(folder, alias) for alias in made], "bundles": bundles, **more}
    outcomes: list[dict[str, t.Any]] = deploy.run({"now": scanning.NOW.timestamp(), **request})["deployments"]
    return outcomes


def test_an_entry_of_a_keystore_goes_back_and_its_neighbours_only_with_it(
    tmp_path: Path, issue: Issue, authority: Made
) -> None:
    file = tmp_path / "store.p12"
    first, second = (
        {alias: issue(f"{alias}.test", by=authority) for alias in ("one", "two")} for _turn in range(2)
    )
    assert [one["state"] for one in run(tmp_path, first)] == ["staged", "staged"]
    before = file.read_bytes()
    assert [one["state"] for one in run(tmp_path, second)] == ["staged", "staged"]
    (alone,) = run(tmp_path, {"one": first["one"]}, state="previous")
    assert (alone["state"], alone["reason"]) == ("refused", "shared_file")
    assert [one["state"] for one in run(tmp_path, first, state="previous")] == ["staged", "staged"]
    assert file.read_bytes() == before
    for alias, made in first.items():
        shown = keystores.chain(before, keystores.Opening(PASSWORD, alias))
        assert shown[0] == stores.der(made.certificate)
    again = run(tmp_path, first, state="previous")
    assert {(one["state"], one["reason"]) for one in again} == {("unchanged", "already_previous")}
