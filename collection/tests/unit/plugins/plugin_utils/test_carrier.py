# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host program reaches a host as one text on standard input, and answers between two lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import program
from ansible_collections.notafter.tls.plugins.plugin_utils import bytecode, carrier

HOST = Path(program.__file__).parent


def ask(request: dict[str, t.Any], home: Path, *, other_python: bool = False) -> dict[str, t.Any]:
    """Runs the host program here, as a host would; that of another Python has no use for our byte code."""
    text = carrier.payload(request)
    if other_python:
        ours = repr(bytecode.KIND).encode()
        assert text.count(ours) == 1
        text = text.replace(ours, b"'0d0d0d0a cpython-36'")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-"],
        input=text,
        capture_output=True,
        check=False,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        timeout=60,
    )
    return carrier.parse(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_request_goes_there_and_its_answer_comes_back(tmp_path: Path) -> None:
    endpoint = {
        "id": 7,
        "address": "127.0.0.1",
        "port": 1,
        "name": "a.example.com",
        "expected_fingerprint": "ab",
    }
    (one,) = ask({"op": "probe", "endpoints": [endpoint]}, tmp_path)["endpoints"]
    assert (one["id"], one["state"], one["matches"]) == (7, "failed", False)
    assert "refused" in one["error"]


def test_s7_a_request_that_is_cut_off_on_its_way_shows_nothing_of_itself() -> None:
    text = carrier.payload({"op": "deploy", "key": "PRIVATE"})
    text = text[: text.index(b"PRIVATE") + 7]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-"], input=text, capture_output=True, check=False, timeout=60
    )
    with pytest.raises(carrier.HostProgramError) as caught:
        carrier.parse(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert caught.value.kind == "no_answer"
    assert "SyntaxError" in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize("text", ["'; touch /tmp/x; '", '"""', "\\", "{{ 7*7 }}", "\u202e\x1b[2J\n"])
def test_any_text_in_a_request_is_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(carrier.HostProgramError) as caught:
        ask({"op": text}, tmp_path)
    assert caught.value.kind == "unknown_operation"
    assert repr(text) in str(caught.value)


def test_a_login_banner_does_not_confuse_the_answer() -> None:
    answer = json.dumps({"ok": True, "x": 1})
    stdout = f"Welcome!\n{carrier.BEGIN}\n{answer}\n{carrier.END}\nlogout\n"
    assert carrier.parse(0, stdout, "") == {"x": 1}


def test_no_answer_is_an_error_that_tells_what_the_host_said() -> None:
    with pytest.raises(carrier.HostProgramError) as caught:
        carrier.parse(127, "", "no python3 here\n")
    assert "no python3 here" in str(caught.value)


def test_an_interpreter_is_quoted_and_a_discovered_one_is_looked_for() -> None:
    assert carrier.command("/opt/my python/bin/python3").startswith("'/opt/my python/bin/python3' ")
    for unset in (None, "", "auto", "auto_silent"):
        assert "platform-python" in carrier.command(unset)


@pytest.mark.parametrize("other_python", [False, True], ids=["byte code", "source"])
def test_a_defect_of_ours_is_told_with_the_place_where_it_is(tmp_path: Path, other_python: bool) -> None:
    with pytest.raises(carrier.HostProgramError) as caught:
        ask({"op": "scan", "services": 7}, tmp_path, other_python=other_python)
    assert caught.value.kind == "internal"
    lines = (HOST / "scan.py").read_text().splitlines()
    where = next(number for number, line in enumerate(lines, 1) if "in asked if" in line)
    assert f'"host.scan", line {where}, in _kinds' in str(caught.value)


@pytest.mark.parametrize("other_python", [False, True], ids=["byte code", "source"])
def test_a_host_with_another_python_says_the_same(tmp_path: Path, other_python: bool) -> None:
    request = {"op": "scan", "services": ["files", "nginx"], "handshakes": False}
    answer = ask(request, tmp_path, other_python=other_python)
    assert answer["server"]["hostname"] == os.uname().nodename
    assert "files" in [one["name"] for one in answer["server"]["services"]]
