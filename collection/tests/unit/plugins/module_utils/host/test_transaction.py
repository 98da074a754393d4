# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files of one change, or none: also when the run is killed at any of its steps."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import deploy, state, transaction
from ansible_collections.notafter.tls.plugins.module_utils.host.errors import Blocked, HostError
from ansible_collections.notafter.tls.plugins.module_utils.host.replacement import Replacement
from ansible_collections.notafter.tls.plugins.module_utils.host.transaction import Change, Transaction

OLD, NEW = b"old\n", b"new and longer\n"


@pytest.fixture(autouse=True)
def state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """notafter's own directory, away from the machine's."""
    monkeypatch.setattr(state, "SYSTEM_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(state, "FAILPOINT_FILE", str(tmp_path / "failpoint"))
    return tmp_path / "state"


def pair(folder: Path) -> tuple[Path, Path]:
    """A certificate and a key as an administrator would have them."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "shop.pem", folder / "shop.key"
    certificate.write_bytes(OLD)
    key.write_bytes(OLD)
    certificate.chmod(0o644)
    key.chmod(0o640)
    return certificate, key


def staged(*paths: Path) -> Transaction:
    """A transaction that wants new content in these files."""
    change = Transaction("t1")
    change.stage([Change(str(path), NEW, path.suffix == ".key") for path in paths], {"services": ["nginx"]})
    return change


def left_in(folder: Path) -> set[str]:
    """The names in a folder: nothing of ours may stay there."""
    return {path.name for path in folder.iterdir()}


def test_staging_touches_no_file_in_use(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path / "tls")
    staged(certificate, key)
    assert (certificate.read_bytes(), key.read_bytes()) == (OLD, OLD)


def test_a_committed_change_has_the_new_content_and_the_old_mode(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path / "tls")
    change = staged(certificate, key)
    change.swap()
    change.commit()
    assert (certificate.read_bytes(), key.read_bytes()) == (NEW, NEW)
    assert stat.S_IMODE(key.stat().st_mode) == 0o640
    assert stat.S_IMODE(certificate.stat().st_mode) == 0o644
    assert left_in(tmp_path / "tls") == {"shop.pem", "shop.key"}
    assert transaction.unfinished() == []


def test_a_new_key_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    key = tmp_path / "fresh.key"
    change = staged(key)
    change.swap()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


STEPS = ["swapping", "linked", "switched", "swapped-0", "swapped-1"]


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_ended_while_it_swapped_is_put_right_by_the_next(tmp_path: Path, step: str) -> None:
    files = pair(tmp_path / "tls")
    inodes = [path.stat().st_ino for path in files]
    change = staged(*files)
    (tmp_path / "failpoint").write_text(f"{step}:raise")
    with pytest.raises(HostError):
        change.swap()
    assert len({path.read_bytes() for path in files}) == 1  # one is never new while another is old
    (left,) = transaction.unfinished()
    restored = left.restore()
    assert (restored.failures, restored.foreign) == ([], [])
    assert [path.read_bytes() for path in files] == [OLD, OLD]
    assert [path.lstat().st_ino for path in files] == inodes
    assert left_in(tmp_path / "tls") == {"shop.pem", "shop.key"}
    assert len(transaction.unfinished()) == 1, "the server has not read them yet"
    left.settled()
    assert transaction.unfinished() == []


def test_a_file_that_was_new_is_gone_after_the_restore(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.pem"
    change = staged(fresh)
    change.swap()
    change.restore()
    assert not fresh.exists()


def test_a_file_that_somebody_changed_meanwhile_is_left_alone_and_named(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path / "tls")
    change = staged(certificate, key)
    change.swap()
    certificate.write_bytes(b"certbot was here\n")
    restored = change.restore()
    assert certificate.read_bytes() == b"certbot was here\n"
    assert key.read_bytes() == OLD
    assert len(restored.foreign) == 1
    assert str(certificate) in restored.foreign[0]


def test_a_symbolic_link_is_kept_and_its_target_replaced(tmp_path: Path) -> None:
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    live.mkdir()
    (archive / "cert1.pem").write_bytes(OLD)
    link = live / "cert.pem"
    link.symlink_to("../archive/cert1.pem")
    change = staged(link)
    change.swap()
    change.commit()
    assert os.readlink(link) == "../archive/cert1.pem"
    assert (archive / "cert1.pem").read_bytes() == NEW


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    certificate, _key = pair(tmp_path / "tls")
    os.setxattr(certificate, "user.owner", b"team-shop")
    change = staged(certificate)
    change.swap()
    assert os.getxattr(certificate, "user.owner") == b"team-shop"


def test_back_ups_are_kept_where_only_root_can_look(tmp_path: Path, state_directory: Path) -> None:
    change = staged(*pair(tmp_path / "tls"))
    change.swap()
    change.commit()
    backups = sorted((state_directory / "transactions" / "t1").glob("*.backup"))
    assert [path.read_bytes() for path in backups] == [OLD, OLD]
    assert {stat.S_IMODE(path.stat().st_mode) for path in backups} == {0o600}
    assert stat.S_IMODE(state_directory.stat().st_mode) == 0o700


def test_only_the_last_few_back_ups_stay(tmp_path: Path, state_directory: Path) -> None:
    certificate, _key = pair(tmp_path / "tls")
    for number in range(transaction.KEEP + 3):
        change = Transaction(f"t{number}")
        change.stage([Change(str(certificate), b"%d\n" % number, secret=False)], {})
        change.swap()
        change.commit()
    assert len(list((state_directory / "transactions").iterdir())) == transaction.KEEP


def test_t10_the_newest_change_is_the_last_one_whatever_the_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, _key = pair(tmp_path / "tls")
    now, year = time.time(), 365 * 86400
    done = []
    for clock in (now, now + year, now, now - year):
        monkeypatch.setattr(transaction.time, "time", lambda clock=clock: clock)
        change = transaction.begin()
        change.stage([Change(str(certificate), str(len(done)).encode(), secret=False)], {})
        change.swap()
        change.commit()
        done.insert(0, change.identity)
    assert [journal["id"] for journal in transaction.committed()] == done
    assert max(len(identity) for identity in done) == min(len(identity) for identity in done)


def test_a_folder_that_does_not_exist_blocks_before_anything_is_touched(tmp_path: Path) -> None:
    certificate, _key = pair(tmp_path / "tls")
    change = Transaction("t1")
    nowhere = tmp_path / "nowhere" / "x.pem"
    with pytest.raises(Blocked) as caught:
        change.stage(
            [Change(str(certificate), NEW, secret=False), Change(str(nowhere), NEW, secret=False)], {}
        )
    assert caught.value.kind == "not_writable"
    assert certificate.read_bytes() == OLD
    assert left_in(tmp_path / "tls") == {"shop.pem", "shop.key"}
    assert transaction.unfinished() == []


def test_a_pipe_in_place_of_a_file_blocks_and_does_not_hang(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(Blocked) as caught:
        transaction.read(str(pipe))
    assert caught.value.kind == "not_a_file"


def test_a_journal_that_was_never_written_is_forgotten(state_directory: Path) -> None:
    (state_directory / "transactions" / "t0").mkdir(parents=True)
    assert transaction.unfinished() == []
    assert not (state_directory / "transactions" / "t0").exists()


def test_k1_what_was_verified_is_not_mixed_with_the_old_when_somebody_changed_a_file_since(
    tmp_path: Path,
) -> None:
    """Killed at its very end: who writes a file after that goes by the new key, which stays."""
    certificate, key = pair(tmp_path / "tls")
    change = staged(certificate, key)
    change.swap()
    change.verified()
    certificate.write_bytes(NEW + b"another issuer\n")
    (told,) = deploy.recover()
    assert "finished" in told["message"]
    assert (certificate.read_bytes(), key.read_bytes()) == (NEW + b"another issuer\n", NEW)
    assert left_in(tmp_path / "tls") == {"shop.pem", "shop.key"}
    assert transaction.unfinished() == []


def test_t12_a_file_system_without_extended_attributes_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_path: object, **_more: object) -> list[str]:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    certificate, key = pair(tmp_path / "tls")
    monkeypatch.setattr(os, "listxattr", unknown)
    change = staged(certificate, key)
    change.swap()
    change.commit()
    assert (certificate.read_bytes(), key.read_bytes()) == (NEW, NEW)


def test_a_file_with_the_longest_name_that_there_is_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    names = [first + "x" * 250 + ".pem" for first in "ab"]
    for name in names:
        (folder / name).write_bytes(OLD)
    change = staged(*(folder / name for name in names))
    change.swap()
    change.commit()
    assert left_in(folder) == set(names)
    assert {(folder / name).read_bytes() for name in names} == {NEW}


@pytest.mark.parametrize("end", ["commit", "restore"])
def test_t17_what_cannot_be_tidied_up_hides_no_end_and_the_next_run_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def fails(_self: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    certificate, key = pair(tmp_path / "tls")
    change = staged(certificate, key)
    change.swap()
    with monkeypatch.context() as broken:
        broken.setattr(Replacement, "clear", fails)
        if end == "commit":
            change.commit()
        else:
            assert "cannot be taken away" in change.restore().failures[0]
    wanted = NEW if end == "commit" else OLD
    assert (certificate.read_bytes(), key.read_bytes()) == (wanted, wanted)
    (left,) = transaction.unfinished()
    if end == "commit":
        left.commit()
    else:
        assert not left.restore().failures
        left.settled()
    assert (certificate.read_bytes(), key.read_bytes()) == (wanted, wanted)
    assert left_in(tmp_path / "tls") == {"shop.pem", "shop.key"}
    assert transaction.unfinished() == []
