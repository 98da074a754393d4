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
        "boot_id",
        "uptime_seconds",
        "product_uuid",
        "mac_addresses",
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


KERNEL = "8aeac8ad-cafc-4780-abd6-dca50755d23c"


def proc(folder: Path, namespace: int, ticks: int) -> str:
    """A /proc whose process 1 was started at a tick, in a process namespace."""
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text(KERNEL + "\n")
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to(f"pid:[{namespace}]")
    (folder / "1").mkdir()
    between = "S " + "0 " * 18
    (folder / "1/stat").write_text(f"1 (a (fool's) name) {between}{ticks} 0 0\n")
    return str(folder)


def test_a_boot_of_a_machine_is_the_kernels_and_a_life_of_a_container_has_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    assert facts.boot_id(proc(tmp_path / "machine", 4026531836, 5)) == KERNEL
    one = facts.boot_id(proc(tmp_path / "one", 4026532001, 700))
    other = facts.boot_id(proc(tmp_path / "other", 4026532002, 700))
    again = facts.boot_id(proc(tmp_path / "again", 4026532001, 900))
    assert one == f"{KERNEL}/4026532001/700"
    assert len({KERNEL, one, other, again}) == 4
    assert facts.boot_id(str(tmp_path / "nowhere")) is None


def test_a_container_runs_for_less_time_than_its_kernel(tmp_path: Path) -> None:
    machine = facts.uptime_seconds(proc(tmp_path / "machine", 4026531836, 0))
    container = facts.uptime_seconds(proc(tmp_path / "container", 4026532001, 1000))
    assert machine is not None
    assert container is not None
    assert 9 <= machine - container <= 11
    assert facts.uptime_seconds(str(tmp_path / "nowhere")) is None


def test_a_product_uuid_is_the_hardwares_and_a_container_has_none(tmp_path: Path) -> None:
    file = tmp_path / "uuid"
    machine, container = proc(tmp_path / "m", 4026531836, 0), proc(tmp_path / "c", 4026532001, 9)
    file.write_text("4C4C4544-0042-3510-8052-B4C04F4B5931\n")
    assert facts.product_uuid(str(file), machine) == "4c4c4544-0042-3510-8052-b4c04f4b5931"
    assert facts.product_uuid(str(file), container) is None
    for nothing in ("00000000-0000-0000-0000-000000000000", "Not Settable", ""):
        file.write_text(nothing + "\n")
        assert facts.product_uuid(str(file), machine) is None


def test_hardware_addresses_are_those_that_last(tmp_path: Path) -> None:
    for name, how, address in (
        ("eth0", "0", "02:FC:00:00:00:01"),
        ("eth1", "3", "52:54:00:12:34:56"),
        ("br0", "1", "26:bd:8b:96:fe:12"),
        ("lo", "0", "00:00:00:00:00:00"),
        ("odd", "0", "no address"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "addr_assign_type").write_text(how + "\n")
        (tmp_path / name / "address").write_text(address + "\n")
    (tmp_path / "bonding_masters").write_text("")
    assert facts.mac_addresses(str(tmp_path)) == ["02:fc:00:00:00:01", "52:54:00:12:34:56"]
    assert facts.mac_addresses("/no/such/folder") == []


def test_what_is_not_there_is_null() -> None:
    assert facts.memory_bytes("/no/such/file") is None
    assert facts.disk_free_bytes("/no/such/folder") is None
