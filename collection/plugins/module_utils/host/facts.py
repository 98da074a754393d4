# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host is: name, addresses, system, size. Each fact that cannot be had is null."""

import os
import re
import sys
from typing import Any, Dict, List, Optional

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_QUOTED = re.compile(r"\\(.)")


def gather() -> Dict[str, Any]:
    """The facts of contracts.md §2 about this host, apart from its services."""
    return {
        "hostname": os.uname().nodename,
        "machine_id": machine_id(),
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
