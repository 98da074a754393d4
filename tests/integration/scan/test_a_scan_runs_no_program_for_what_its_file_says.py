"""What the file of a program says of it is what the program prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.integration.hosts import scan

if TYPE_CHECKING:
    from tests.lab.host import LabHost

PRINTED = {
    "apache": (["apache2", "-v"], r"Apache/(\S+)"),
    "haproxy": (["haproxy", "-v"], r"version (\S+)"),
    "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
}


def test_a_version_is_the_one_that_the_server_prints(servers: LabHost) -> None:
    """Of each kind that can be read in its file."""
    told = {one["name"]: one["version"] for one in scan(servers, *PRINTED).raw["server"]["services"]}
    printed = {}
    for kind, (command, pattern) in PRINTED.items():
        done = servers.run(command)
        match = re.search(pattern, done.stdout + done.stderr)
        printed[kind] = match and match.group(1)
    assert told == printed
