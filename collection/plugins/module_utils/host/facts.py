# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host is: name, identity, addresses, system, size. Each fact that cannot be had is null."""

import os
import re
import sys
import time
from typing import Any, Dict, List, Optional

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_QUOTED = re.compile(r"\\(.)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_NO_MAC = "00:00:00:00:00:00"
#: The number that the kernel gives to the process namespace that no container has.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
#: Since the kernel was started, sleep included; Python 3.6 has no name for it.
_CLOCK_BOOTTIME = 7
#: How the kernel came to an interface's address: burnt in, or set by somebody; not drawn at random.
_LASTING = ("0", "3")


def gather() -> Dict[str, Any]:
    """The facts of contracts.md §2 about this host, apart from its services."""
    return {
        "hostname": os.uname().nodename,
        "machine_id": machine_id(),
        "boot_id": boot_id(),
        "uptime_seconds": uptime_seconds(),
        "product_uuid": product_uuid(),
        "mac_addresses": mac_addresses(),
        "addresses": addresses(),
        "os": os_release(),
        "kernel": os.uname().release,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "disk_free_bytes": disk_free_bytes("/"),
    }


def _lines(path: str) -> List[str]:
    try:
        with open(path, "rb") as handle:
            return handle.read(256 * 1024).decode("utf-8", "backslashreplace").splitlines()
    except OSError:
        return []


def machine_id(paths: Any = ("/etc/machine-id", "/var/lib/dbus/machine-id")) -> Optional[str]:
    for path in paths:
        lines = _lines(path)
        if lines and re.fullmatch(r"[0-9a-f]{32}", lines[0].strip()):
            return lines[0].strip()
    return None


def _contained(proc: str) -> bool:
    """Whether we live in a container, which shares its kernel and what that knows of the hardware."""
    try:
        return os.readlink(proc + "/self/ns/pid") != _FIRST_PID_NAMESPACE
    except OSError:
        return True


def _started_ticks(proc: str) -> Optional[int]:
    """When process 1 was started, in ticks since the kernel was."""
    lines = _lines(proc + "/1/stat")
    fields = lines[0].rpartition(")")[2].split() if lines else []
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def boot_id(proc: str = "/proc") -> Optional[str]:
    """One time that this machine was switched on; one life of a container has a name of its own."""
    lines = _lines(proc + "/sys/kernel/random/boot_id")
    if not lines or not _UUID.fullmatch(lines[0].strip()):
        return None
    kernel = lines[0].strip()
    if not _contained(proc):
        return kernel
    try:
        space = re.sub(r"\D", "", os.readlink(proc + "/self/ns/pid"))
    except OSError:
        return None
    ticks = _started_ticks(proc)
    return None if ticks is None else "%s/%s/%d" % (kernel, space, ticks)


def uptime_seconds(proc: str = "/proc") -> Optional[int]:
    """For how long process 1 has run: whoever asks knows the time better than a host's clock."""
    ticks = _started_ticks(proc)
    try:
        kernel = int(time.clock_gettime(_CLOCK_BOOTTIME))
    except (AttributeError, OSError):
        return None
    return None if ticks is None else max(0, kernel - ticks // os.sysconf("SC_CLK_TCK"))


def product_uuid(path: str = "/sys/class/dmi/id/product_uuid", proc: str = "/proc") -> Optional[str]:
    """The machine's own number in its firmware; root alone may read it, and a container has none."""
    lines = [] if _contained(proc) else _lines(path)
    text = lines[0].strip().lower() if lines else ""
    return text if _UUID.fullmatch(text) and len(set(text)) > 3 else None


def mac_addresses(folder: str = "/sys/class/net") -> List[str]:
    """The lasting hardware addresses of this host; those that a bridge or a container drew are none."""
    try:
        names = sorted(os.listdir(folder))[:1000]
    except OSError:
        return []
    found = set()
    for name in names:
        how = _lines("%s/%s/addr_assign_type" % (folder, name))
        lines = _lines("%s/%s/address" % (folder, name))
        if how and how[0].strip() in _LASTING and lines:
            found.add(lines[0].strip().lower())
    return sorted(one for one in found if _MAC.fullmatch(one) and one != _NO_MAC)[:32]


def os_release(paths: Any = _OS_RELEASE) -> Dict[str, Optional[str]]:
    """id, version and full name as os-release(5) gives them."""
    found: Dict[str, str] = {}
    for path in paths:
        for line in _lines(path):
            key, equals, value = line.partition("=")
            if equals:
                found[key.strip()] = _unquoted(value.strip())
        if found:
            break
    return {"id": found.get("ID"), "version": found.get("VERSION_ID"), "name": found.get("PRETTY_NAME")}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return _QUOTED.sub(r"\1", value)


def memory_bytes(path: str = "/proc/meminfo") -> Optional[int]:
    for line in _lines(path):
        match = re.match(r"MemTotal:\s+(\d+) kB", line)
        if match:
            return int(match.group(1)) * 1024
    return None


def disk_free_bytes(path: str) -> Optional[int]:
    """What is left for others than root on the file system of a path."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def addresses(ipv4: str = "/proc/net/fib_trie", ipv6: str = "/proc/net/if_inet6") -> List[str]:
    """The host's own addresses, loopback and link-local ones left out, IPv4 first."""
    return _ipv4(_lines(ipv4)) + _ipv6(_lines(ipv6))


def _ipv4(lines: List[str]) -> List[str]:
    """fib_trie names an address on one line and what it is ("/32 host LOCAL") on the next."""
    found = set()
    for line, following in zip(lines, lines[1:]):  # noqa: RUF007 - Python 3.6
        match = re.search(r"\|-- (\d+\.\d+\.\d+\.\d+)$", line)
        if match and "/32 host LOCAL" in following and not match.group(1).startswith("127."):
            found.add(match.group(1))
    return sorted(found, key=lambda address: [int(part) for part in address.split(".")])


def _ipv6(lines: List[str]) -> List[str]:
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) >= 4 and fields[3] == "00" and re.fullmatch(r"[0-9a-f]{32}", fields[0]):
            found.append(_shortened(fields[0]))
    return sorted(found)


def _shortened(digits: str) -> str:
    """32 hexadecimal digits as an IPv6 address in the form of RFC 5952."""
    groups = ["%x" % int(digits[at : at + 4], 16) for at in range(0, 32, 4)]
    zeros = max(
        re.finditer(r"(?:\b0(?: |$))+", " ".join(groups)), key=lambda run: len(run.group()), default=None
    )
    if zeros is None or len(zeros.group().split()) < 2:
        return ":".join(groups)
    text = " ".join(groups)
    before, after = text[: zeros.start()].split(), text[zeros.end() :].split()
    return ":".join(before) + "::" + ":".join(after)
