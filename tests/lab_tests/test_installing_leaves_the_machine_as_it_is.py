"""Building the image touches nothing outside of the cache, also when it is interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.image import _ALONE, install, ready_image

if TYPE_CHECKING:
    import pytest

_TREE = Path(__file__).parents[2]

_CLEAN_UP = """
import subprocess, sys
from pathlib import Path
from tests.lab.image import _only_builder
cache, precious = Path(sys.argv[1]), Path(sys.argv[2])
inside = cache / "building-killed" / "root" / "a b"
inside.mkdir(parents=True)
subprocess.run(["mount", "--bind", precious, inside], check=True)
assert (inside / "file").exists()
with _only_builder(cache):
    pass
"""


def test_what_a_killed_builder_left_mounted_is_let_go_before_its_folder_is_deleted(tmp_path: Path) -> None:
    cache, precious = tmp_path / "cache", tmp_path / "precious"
    cache.mkdir()
    precious.mkdir()
    (precious / "file").write_text("of the machine")
    aside = ["unshare", "--mount", "--propagation", "private", "--"]

    subprocess.run(
        [*aside, sys.executable, "-c", _CLEAN_UP, str(cache), str(precious)], cwd=_TREE, check=True
    )

    assert (precious / "file").read_text() == "of the machine"
    assert list(cache.glob("building-*")) == []


def test_a_program_of_a_killed_builder_ends_with_it_and_its_mounts_too(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    # A daemon of its own session, as package scripts start them.
    script = f"mount -t tmpfs lab {tmp_path} && setsid -f sleep 98765 && echo up && sleep 98765"
    program = f"import subprocess; subprocess.run([*{_ALONE!r}, 'sh', '-c', {script!r}])"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "up\n"
        assert _sleepers() == 2
        assert Path("/proc/self/mounts").read_text() == mounts
        builder.kill()

    deadline = time.monotonic() + 10
    while _sleepers():
        assert time.monotonic() < deadline, "the builder's programs live on"
        time.sleep(0.02)


def test_installing_again_says_where_it_is_and_does_nothing_else() -> None:
    said: list[str] = []
    first = install(say=said.append)
    made = first.folder.stat().st_mtime_ns
    said.clear()

    assert install(say=said.append) == first == ready_image()

    assert said == [f"the lab is installed: {first.folder}"]
    assert first.folder.stat().st_mtime_ns == made


def test_without_an_image_up_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTAFTER_LAB_CACHE", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab", "up", "--name", f"none-{os.getpid()}"],
        cwd=_TREE,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "run `python3 -m tests.lab install` first" in done.stderr


def _sleepers() -> int:
    found = subprocess.run(["pgrep", "-fx", "sleep 98765"], capture_output=True, text=True, check=False)
    return len(found.stdout.split())
