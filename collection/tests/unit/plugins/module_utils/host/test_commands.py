# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No program of the host can make ours wait for ever or fill its memory."""

from __future__ import annotations

import os
import resource
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import commands
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import HostError

SHELL = ["/bin/sh", "-c"]


def timed(script: str, **options: t.Any) -> tuple[commands.Result, float]:
    began = time.monotonic()
    return commands.run([*SHELL, script], **options), time.monotonic() - began


def test_a_program_that_never_stops_talking_is_ended() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result, seconds = timed("exec cat /dev/zero", timeout=60, limit=8 << 20)
    assert result.overflowed
    assert not result.timed_out
    assert (8 << 20) - (64 << 10) <= len(result.stdout) <= 8 << 20
    assert seconds < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_both_streams_together_are_limited() -> None:
    result, _seconds = timed("cat /dev/zero >&2", timeout=60, limit=1 << 20)
    assert result.overflowed
    assert len(result.stderr) <= 1 << 20


def test_what_it_said_before_it_hung_is_kept() -> None:
    result, seconds = timed("echo first; echo second >&2; sleep 60 & sleep 60", timeout=0.5)
    assert result.timed_out
    assert (result.stdout, result.stderr) == (b"first\n", b"second\n")
    assert seconds < 30


def test_a_program_that_closes_its_output_and_goes_on_is_ended() -> None:
    result, seconds = timed("exec >&- 2>&-; sleep 60", timeout=0.5)
    assert result.timed_out
    assert seconds < 30


def test_its_children_end_with_it(tmp_path: Path) -> None:
    result, _seconds = timed(f"sleep 61 & echo $! > {tmp_path}/child; sleep 60", timeout=0.5)
    child = int((tmp_path / "child").read_text())
    assert result.timed_out
    for _attempt in range(500):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    os.kill(child, 9)
    pytest.fail("the child outlived the program that started it")


def test_a_daemon_that_keeps_its_output_open_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "daemon"
    script = f"setsid sh -c 'echo $$ > {place}; exec sleep 60' & until [ -s {place} ]; do :; done"
    result, seconds = timed(f"{script}; echo done", timeout=50)
    os.kill(int(place.read_text()), 9)
    assert result.stdout == b"done\n"
    assert not result.timed_out
    assert result.returncode == 0
    assert seconds < 20


def test_all_that_is_said_to_it_arrives_while_it_answers() -> None:
    text = os.urandom(4 << 20)
    assert commands.run(["cat"], input=text).stdout == text


def test_it_need_not_listen() -> None:
    result, _seconds = timed("exec <&-; echo heard nothing", input=bytes(4 << 20))
    assert (result.returncode, result.stdout) == (0, b"heard nothing\n")


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(HostError, match="/nowhere/program cannot be run"):
        commands.run(["/nowhere/program"])


def test_a_variable_of_a_server_chooses_no_program_and_no_library(tmp_path: Path) -> None:
    own = tmp_path / "id"
    own.write_text("#!/bin/sh\necho another program\n")
    own.chmod(0o755)
    steering = {"PATH": str(tmp_path), "LD_PRELOAD": "/nowhere.so", "LC_ALL": "de_DE", "PERL5OPT": "-Mno"}
    assert b"uid=" in commands.run(["id"], env=steering).stdout
    told = commands.run(["env"], env=dict(steering, SITE="shop.test", LD_AUDIT="/nowhere.so"))
    told_names = {line.partition(b"=")[0] for line in told.stdout.splitlines()}
    assert b"SITE=shop.test" in told.stdout.splitlines()
    assert b"LC_ALL=C" in told.stdout.splitlines()
    assert not told_names & {b"LD_PRELOAD", b"LD_AUDIT", b"PERL5OPT"}
    assert told.stderr == b""
