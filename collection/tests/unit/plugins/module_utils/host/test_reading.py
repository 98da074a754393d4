# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing on a host can make the reading of a file hang, swell or stop."""

from __future__ import annotations

import fnmatch
import glob
import os
import socket
import time
import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _reading
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reader() -> _reading.Reader:
    return _reading.Reader(30.0)


def refused(reader: _reading.Reader, path: str, limit: int = 1000) -> tuple[str, str]:
    with pytest.raises(_reading.Unreadable) as caught:
        reader.read(path, limit)
    return caught.value.kind, caught.value.message


def test_a_pipe_without_a_writer_is_refused_at_once(reader: _reading.Reader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(reader, str(tmp_path / "pipe")) == (
        "malformed",
        "no regular file but a pipe, socket or device",
    )


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused(reader: _reading.Reader, device: str) -> None:
    assert refused(reader, device)[0] in {"malformed", "missing", "unreadable"}


def test_a_folder_and_a_socket_are_refused(reader: _reading.Reader, tmp_path: Path) -> None:
    assert refused(reader, str(tmp_path)) == ("malformed", "no regular file but a directory")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        assert refused(reader, str(tmp_path / "s"))[0] == "malformed"


def test_a_file_that_is_too_large_is_refused(reader: _reading.Reader, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 2048)
    assert refused(reader, str(tmp_path / "large"), 1024) == ("malformed", "larger than 1 KiB")
    assert len(reader.read(str(tmp_path / "large"), 2048).data) == 2048


def test_what_is_not_there_is_missing(reader: _reading.Reader, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert refused(reader, str(tmp_path / "gone"))[0] == "missing"
    assert refused(reader, str(tmp_path / "loop"))[0] == "unreadable"
    assert refused(reader, "/a\0b")[0] == "malformed"
    assert refused(reader, "/" + "x" * 5000)[0] == "unreadable"


def test_reading_leaves_the_time_of_access_alone(reader: _reading.Reader, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    os.utime(file, ns=(1, 1))
    reader.read(str(file), 10)
    assert file.stat().st_atime_ns == 1


def test_time_bytes_and_files_are_limited(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    path = str(tmp_path / "file")
    with pytest.raises(_reading.Exhausted, match="time"):
        _reading.Reader(-1.0).read(path, 1000)
    with pytest.raises(_reading.Exhausted, match="too large"):
        _reading.Reader(30.0, total=99).read(path, 1000)
    with pytest.raises(_reading.Exhausted, match="too many"):
        _reading.Reader(30.0, files=0).read(path, 1000)


def test_a_path_of_latin_1_is_read_whatever_the_locale(reader: _reading.Reader, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9", "wb") as file:
        file.write(b"here")
    path = _reading.text(os.fsencode(tmp_path) + b"/caf\xe9")
    assert reader.read(path, 10).data == b"here"
    assert reader.glob(f"{tmp_path}/caf*") == [path]
    assert _reading.shown(path).endswith("/caf\\xe9")


def test_every_byte_of_a_configuration_survives() -> None:
    everything = bytes(range(256))
    assert _reading.raw(_reading.text(everything)) == everything


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.conf",
        "b.conf",
        "ab.conf",
        ".hidden.conf",
        "B.conf",
        "[c].conf",
        "sub/x.conf",
        "sub2/y.conf",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    [
        "*.conf",
        "*",
        "?.conf",
        "[ab].conf",
        "[!a].conf",
        "sub*/*.conf",
        "su[b]/x.conf",
        ".*.conf",
        "no*",
        "*/*",
    ],
)
def test_globs_find_what_the_standard_library_finds(
    reader: _reading.Reader, tree: Path, pattern: str
) -> None:
    assert reader.glob(f"{tree}/{pattern}") == sorted(glob.glob(f"{tree}/{pattern}"))


def test_a_pattern_without_a_wildcard_is_itself(reader: _reading.Reader) -> None:
    assert reader.glob("/no/such/file") == ["/no/such/file"]


_NAMES = st.text(alphabet="ab.-]", max_size=8)
_PATTERNS = st.text(alphabet="ab.*?", max_size=8)


@given(_NAMES, _PATTERNS)
def test_matching_agrees_with_fnmatch(name: str, pattern: str) -> None:
    assert _reading.matches(name, pattern, hidden=True) == fnmatch.fnmatchcase(name, pattern)


@given(st.text(max_size=30), st.text(alphabet="a*?[]!^-\\", max_size=30))
def test_matching_never_raises(name: str, pattern: str) -> None:
    assert _reading.matches(name, pattern) in (True, False)


def test_many_stars_do_not_make_matching_slow() -> None:
    start = time.process_time()
    assert not _reading.matches("a" * 255, "*a" * 100 + "b")
    assert time.process_time() - start < 1


def test_a_tidy_path_leads_to_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    assert _reading.tidy(f"{tmp_path}/a/../a/b") == f"{tmp_path}/a/b"
    assert _reading.tidy(f"{tmp_path}/link/../b") == f"{tmp_path}/link/../b"
