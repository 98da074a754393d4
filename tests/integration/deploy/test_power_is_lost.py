"""T9, goal B: the machine stops at any file operation of a deploy, and its server comes up from cold."""

from __future__ import annotations

import random
import re
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ansible_collections.notafter.tls.plugins.plugin_utils import carrier

from tests.integration.deploy.conftest import WHOLE
from tests.integration.hosts import PYTHON

if TYPE_CHECKING:
    from tests.authority import Issued
    from tests.integration.deploy.conftest import Target

#: What changes names, rights and contents on a disk, or makes them last.
OPERATIONS = (
    *("rename", "linkat", "symlink", "unlink", "unlinkat", "mkdir", "rmdir", "ftruncate"),
    *("fsync", "chmod", "fchmod", "chown", "fchown", "fsetxattr", "utimensat"),
)
#: How many of the points `make test` draws for each kind of server.
FEW = 2
_CALL = re.compile(r"^(\w+)\(", re.MULTILINE)


def trace(target: Target, issued: Issued, *options: str) -> None:
    """A deploy under strace, which sees, or ends, what the host program asks of the kernel."""
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={','.join(OPERATIONS)}", *options]
    request = carrier.payload(target.request(issued, verify_seconds=2)).decode()
    subprocess.run(
        [*command, *target.host.enter_prefix(), *PYTHON],
        input=request,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def operations(target: Target) -> list[tuple[str, int]]:
    """Every file operation of a deploy that goes well: its name, and which of its kind it is."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        trace(target, target.issue(), "-ff", "-o", str(log))
        traced = [Counter(_CALL.findall(path.read_text())) for path in Path(folder).iterdir()]
    ours = max(traced, key=lambda counted: counted["rename"])
    return [(name, number) for name in ours for number in range(1, ours[name] + 1)]


def test_t9_b_a_server_starts_from_cold_after_a_stop_at_any_file_operation(target: Target) -> None:
    points = operations(target)
    assert len(points) > 40
    seed = random.getrandbits(32)
    print(f"seed {seed:x}, {len(points)} operations")
    drawn = points if WHOLE else random.Random(seed).sample(points, FEW)  # noqa: S311 - it draws cases
    for name, number in drawn:
        served, issued = target.served(), target.issue()
        trace(target, issued, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={number}")
        target.start_from_cold()
        assert target.served() in (served, issued.fingerprint), (name, number)
        target.send(target.request(issued, deployments=[]))
        assert target.settled(), (name, number, target.left())


def test_t9_b_a_stop_on_the_way_back_is_survived_as_well(drawn: Target) -> None:
    """The configuration test fails with the new files, and the machine stops while the old ones return."""
    drawn.fail_at("tested", "raise")
    points = operations(drawn)
    seed = random.getrandbits(32)
    print(f"seed {seed:x}, {len(points)} operations")
    chosen = points if WHOLE else random.Random(seed).sample(points, 1)  # noqa: S311 - it draws cases
    for name, number in chosen:
        served = drawn.served()
        drawn.fail_at("tested", "raise")
        trace(drawn, drawn.issue(), "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={number}")
        drawn.host.run(["rm", "-f", "/run/notafter-failpoint"])
        drawn.start_from_cold()
        lying = drawn.served()
        drawn.send(drawn.request(drawn.issue(), deployments=[]))
        assert drawn.settled(), (name, number, drawn.left())
        assert drawn.served() == served, (name, number, lying)
