# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages wait where nobody else can read them, and each is given once."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible import constants
from ansible_collections.notafter.tls.plugins.lookup.scan_pages import LookupModule
from ansible_collections.notafter.tls.plugins.plugin_utils import pages


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def further(count: int) -> list[pages.Page]:
    """All pages of a scan but the first."""
    return pages.stamped([{"bindings": [{"names": [f"\udcff{number}"]}]} for number in range(count)])[1:]


def test_pages_are_found_in_their_order_and_given_once() -> None:
    some = further(12)
    tokens = pages.keep("web1", some)
    assert pages.waiting("web1") == tokens
    assert LookupModule().run([], {"inventory_hostname": "web1"}) == tokens
    assert [pages.take("web1", token) for token in tokens] == some
    assert pages.waiting("web1") == []
    with pytest.raises(pages.NoSuchPage, match="is given once"):
        pages.take("web1", tokens[0])


def test_each_page_says_which_it_is_and_a_scan_of_one_page_says_nothing() -> None:
    one, two = pages.stamped([{}, {}])
    assert [one["page"]["number"], two["page"]["number"]] == [1, 2]
    assert one["page"]["scan"] == two["page"]["scan"] != pages.stamped([{}, {}])[0]["page"]["scan"]
    assert pages.stamped([{}]) == [{}]


def test_nobody_else_can_read_what_waits(folder: Path) -> None:
    pages.keep("web1", further(3))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_dir()} == {0o700}


def test_a_host_has_its_own_pages_and_those_of_its_last_scan_alone() -> None:
    old, other = pages.keep("web1", further(4)), pages.keep("../web2", further(2))
    new = pages.keep("web1", further(3))
    assert pages.waiting("web1") == new
    assert pages.waiting("../web2") == other
    for token in (old[0], other[0], "../../secret", "", "x"):
        with pytest.raises(pages.NoSuchPage):
            pages.take("web1", token)


def test_a_disk_without_room_keeps_what_it_can_and_says_how_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk(t.NamedTuple):
        total: int
        free: int

    room = iter((10**12, 10**12, 10))
    monkeypatch.setattr("shutil.disk_usage", lambda _path: Disk(10**12, next(room)))
    assert len(pages.keep("web1", further(6))) == 2
    assert len(pages.waiting("web1")) == 2
    assert sum(len(files) for _root, _folders, files in os.walk(folder)) == 2
