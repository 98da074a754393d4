# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""T9: the power may go after any call, with any part of what was not made to last by fsync.

Every call of a change that touches the disk is recorded. For each moment each disk that may be left
is built anew from the recording: all that was synced, and any choice of what was not. On all of them
the certificate and the key must be both old or both new.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import state
from ansible_collections.notafter.tls.plugins.module_utils.host.transaction import Change, Transaction

OLD, NEW, LOST = b"old\n", b"new and longer\n", b""


class Call(NamedTuple):
    """What was asked of the kernel; `places` are the folders whose names it changes."""

    name: str
    paths: tuple[str, ...]
    places: tuple[str, ...]


class Recorder:
    """Stands between the program and the kernel, and writes down what it lets through."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.calls: list[Call] = []
        self._real = {name: getattr(os, name) for name in ("open", "fsync", "rename", "link", "symlink")}
        self._real.update({name: getattr(os, name) for name in ("unlink", "mkdir")})
        for name in ("rename", "link", "symlink", "unlink", "mkdir"):
            patch.setattr(os, name, self._noting(name))
        patch.setattr(os, "open", self._open)
        patch.setattr(os, "fsync", self._fsync)
        patch.setattr(shutil, "rmtree", self._rmtree)

    def _note(self, name: str, *paths: str) -> None:
        inside = [path for path in paths if path.startswith(str(self.root))]
        if inside:
            self.calls.append(Call(name, paths, tuple(os.path.dirname(path) for path in inside)))

    def _noting(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = self._real[name](*arguments, **options)
            self._note(name, *[str(one) for one in arguments if isinstance(one, str)])
            return result

        return call

    def _open(self, path: str, flags: int, *rest: Any, **options: Any) -> int:
        handle: int = self._real["open"](path, flags, *rest, **options)
        if flags & os.O_CREAT:
            self._note("create", str(path))
        return handle

    def _fsync(self, handle: int) -> None:
        self._real["fsync"](handle)
        path = os.readlink(f"/proc/self/fd/{handle}")
        if os.path.isdir(path):
            self.calls.append(Call("sync-folder", (path,), ()))
        elif path.startswith(str(self.root)):
            self.calls.append(Call("sync", (path, Path(path).read_text()), ()))

    def _rmtree(self, path: str, **_options: Any) -> None:
        for folder, folders, files in os.walk(path, topdown=False):
            for name in [*files, *[one for one in folders if Path(folder, one).is_symlink()]]:
                os.unlink(os.path.join(folder, name))
            os.rmdir(folder)
            self._note("rmdir", folder)


def disks(calls: list[Call]) -> Iterator[list[Call]]:
    """All that may be on the disk after these calls: each folder as far as it has got, by itself."""
    synced: list[Call] = []
    waiting: dict[str, list[Call]] = {}
    for call in calls:
        if call.name == "sync-folder":
            synced += waiting.pop(call.paths[0], [])
        elif call.name != "sync":
            waiting.setdefault(call.places[0], []).append(call)
    for reached in itertools.product(*[range(len(some) + 1) for some in waiting.values()]):
        kept = [one for some, far in zip(waiting.values(), reached, strict=True) for one in some[:far]]
        lasting = {id(one) for one in (*synced, *kept)}
        yield [one for one in calls if id(one) in lasting]


def build(kept: list[Call], contents: dict[str, bytes], origin: Path, root: Path, there: Path) -> None:
    """Makes the disk on which these calls alone have happened; what cannot happen any more does not."""

    def placed(path: str) -> str:
        return path.replace(str(root), str(there), 1)

    shutil.copytree(origin, there, symlinks=True)
    work: dict[str, Callable[..., Any]] = {
        "create": lambda path: Path(placed(path)).write_bytes(contents.get(path, LOST)),
        "rename": lambda old, new: os.rename(placed(old), placed(new)),
        "link": lambda old, new: os.link(placed(old), placed(new)),
        "symlink": lambda target, path: os.symlink(target, placed(path)),
        "unlink": lambda path: os.unlink(placed(path)),
        "mkdir": lambda path: os.mkdir(placed(path)),
        "rmdir": lambda path: shutil.rmtree(placed(path)),
    }
    for call in kept:
        try:
            work[call.name](*call.paths)
        except (FileNotFoundError, FileExistsError):
            continue


def lasting_contents(calls: list[Call]) -> dict[str, bytes]:
    """What was written into each file before it was synced; a file that was not has lost it."""
    return {call.paths[0]: call.paths[1].encode() for call in calls if call.name == "sync"}


@pytest.mark.parametrize(
    ("end", "apart"), [("commit", False), ("restore", True)], ids=["forwards", "back, in two folders"]
)
def test_t9_no_moment_leaves_a_new_certificate_with_an_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, apart: bool
) -> None:
    root = tmp_path / "etc"
    certificate = root / "certs" / "shop.pem"
    key = root / ("private" if apart else "certs") / "shop.key"
    for path in (certificate, key):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(OLD)
    origin = tmp_path / "origin"
    shutil.copytree(root, origin)
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(state, "FAILPOINT_FILE", str(tmp_path / "failpoint"))
    with monkeypatch.context() as patch:
        recorder = Recorder(root, patch)
        change = Transaction("t1")
        change.stage([Change(str(certificate), NEW, secret=False), Change(str(key), NEW, secret=True)], {})
        change.swap()
        if end == "commit":
            change.commit()
        else:
            assert change.restore().failures == []
    seen = set()
    numbers = itertools.count()
    for moment in range(len(recorder.calls) + 1):
        calls = recorder.calls[:moment]
        contents = lasting_contents(calls)
        for kept in disks(calls):
            there = tmp_path / "disks" / str(next(numbers))
            build(kept, contents, origin, root, there)
            pair = tuple((there / path.relative_to(root)).read_bytes() for path in (certificate, key))
            assert pair in {(OLD, OLD), (NEW, NEW)}, (recorder.calls[moment - 1], kept)
            seen.add(pair)
            shutil.rmtree(there)
    assert seen == {(OLD, OLD), (NEW, NEW)}
