# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of itself; a fact that cannot be had is null and stops nothing."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.notafter.tls.plugins.module_utils.host import facts

if t.TYPE_CHECKING:
    from pathlib import Path

FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.12
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     |-- 9.0.0.1
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
Local:
        |-- 10.0.0.12
           /32 host LOCAL
"""
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000000000000000000a 02 40 20 80     eth0
20010db8000000000000000000000001 02 40 00 80     eth0
"""


def test_this_host_has_every_fact() -> None:
    found = facts.gather()
    assert set(found) == {
        "hostname",
        "machine_id",
        "addresses",
        "os",
        "kernel",
        "python",
        "cpus",
        "memory_bytes",
        "disk_free_bytes",
    }
    assert found["cpus"] >= 1
    assert found["memory_bytes"] > 1 << 20
    assert found["disk_free_bytes"] > 0
    json.dumps(found)


def test_addresses_are_the_host_s_own_without_loopback_and_link_local(tmp_path: Path) -> None:
    (tmp_path / "4").write_text(FIB_TRIE)
    (tmp_path / "6").write_text(IF_INET6)
    assert facts.addresses(str(tmp_path / "4"), str(tmp_path / "6")) == [
        "9.0.0.1",
        "10.0.0.12",
        "2001:db8::1",
    ]
    assert facts.addresses("/no/such/file", "/no/such/file") == []


def test_the_system_is_told_as_os_release_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text('# x\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian \\"12\\" (bookworm)"\nnonsense\n')
    assert facts.os_release((str(tmp_path / "gone"), str(file))) == {
        "id": "debian",
        "version": "12",
        "name": 'Debian "12" (bookworm)',
    }
    assert facts.os_release((str(tmp_path / "gone"),)) == {"id": None, "version": None, "name": None}


def test_a_machine_id_is_one_or_is_none(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    bad.write_text("uninitialized\n")
    assert facts.machine_id((str(bad), str(good))) == "3d1219c7c4c5404aaa1f6d2a48adfda4"
    assert facts.machine_id((str(bad),)) is None


def test_what_is_not_there_is_null() -> None:
    assert facts.memory_bytes("/no/such/file") is None
    assert facts.disk_free_bytes("/no/such/folder") is None
