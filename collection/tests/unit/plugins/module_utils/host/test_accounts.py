# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account's key is there at every moment, however many find at once that it has another."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import accounts, state

if t.TYPE_CHECKING:
    from pathlib import Path

CA = "https://ca.example.com/dir"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> accounts.Account:
    """An account whose key is being changed."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    made = accounts.own("default", CA)
    made.prepare("ec-256")
    return made


def known() -> accounts.Account:
    found = accounts.known("default", CA)
    assert found is not None
    return found


def test_two_that_find_a_change_of_the_key_at_once_both_go_on_with_the_new_one(
    account: accounts.Account,
) -> None:
    other, new = known(), account.next_key
    account.follow()
    other.follow()
    assert known().private_key == other.private_key == new
    assert known().next_key is None


def test_who_is_late_does_not_make_a_key_the_accounts_that_its_ca_does_not_know(
    account: accounts.Account,
) -> None:
    late = known()
    account.follow()
    account.prepare("ec-256")
    late.follow()
    assert known().private_key == account.private_key
    assert known().next_key == account.next_key
