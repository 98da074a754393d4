# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files of one change, or none: journal, stage, back up, swap, commit or restore.

Knows files, not TLS. A transaction is a directory `transactions/<id>/` (0700) with a
journal and the back-ups. The journal is written before each step, so that whoever finds
it later knows what a killed run may have done:

    staged     new content lies beside the files under names of its own; nothing was touched
    swapping   some files may be new
    verified   all are new and a client was shown to see them
    committed  nothing is left to do; kept as the back-up for `previous`
    restored   the old content was put back

rename(2) is atomic for each file; what lies between two renames is what the journal is for.
"""

import errno
import hashlib
import os
import shutil
import stat
import time
from typing import Any, Dict, List, NamedTuple, Optional

from . import state
from .errors import Blocked, HostError

LIMIT = 8 * 1024 * 1024
KEEP = 5
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Change(NamedTuple):
    """The content that one file is to have; `secret` decides the mode of a file that is new."""

    path: str
    content: bytes
    secret: bool


class Restored(NamedTuple):
    """What a restore could not do: `failures` want another try, `foreign` files are not ours to touch."""

    failures: List[str]
    foreign: List[str]


def read(path: str) -> Optional[bytes]:
    """The content of a regular file (through symbolic links), None when there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Blocked("unreadable", "%s: %s" % (path, error.strerror)) from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise Blocked("not_a_file", "%s is no regular file" % path)
        content = stream.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise Blocked("too_large", "%s is larger than %d bytes" % (path, LIMIT))
    return content


def digest(content: bytes) -> str:
    """Lower-case hex SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


class Transaction:
    """One change of several files. Create it, `stage`, `swap`, then `commit` or `restore`."""

    def __init__(self, identity: str, journal: Optional[Dict[str, Any]] = None) -> None:
        self.identity = identity
        self.directory = state.directory("transactions", identity)
        self._journal_path = os.path.join(self.directory, "journal.json")
        self.journal = journal or {"id": identity, "step": "staged", "files": [], "about": {}}

    def stage(self, changes: List[Change], about: Dict[str, Any]) -> None:
        """Writes all new content and all back-ups; no file in use is touched.

        `about` is kept with the journal for whoever has to put things right.
        """
        self.journal["about"] = about
        for number, change in enumerate(changes):
            real = os.path.realpath(change.path)
            self.journal["files"].append(
                {
                    "path": change.path,
                    "real": real,
                    "temporary": os.path.join(
                        os.path.dirname(real), ".%s.notafter-%s" % (os.path.basename(real), self.identity)
                    ),
                    "backup": os.path.join(self.directory, "%d.backup" % number),
                    "after": digest(change.content),
                }
            )
        self._record("staged")
        try:
            for entry, change in zip(self.journal["files"], changes):
                self._back_up(entry)
                self._write_beside(entry, change)
            self._record("staged")
        except OSError as error:
            self.discard()
            if error.errno in _NO_SPACE:
                raise Blocked("no_space", "no space for the new files: %s" % error) from error
            raise Blocked("not_writable", "cannot write beside the files: %s" % error) from error
        except HostError:
            self.discard()
            raise
        state.failpoint("staged")

    def _back_up(self, entry: Dict[str, Any]) -> None:
        content = read(entry["real"])
        entry["before"] = None if content is None else digest(content)
        if content is not None:
            state.write(entry["backup"], content)
            shutil.copystat(entry["real"], entry["backup"])
            os.chmod(entry["backup"], 0o600)

    def _write_beside(self, entry: Dict[str, Any], change: Change) -> None:
        handle = os.open(
            entry["temporary"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(handle, "wb") as stream:
            stream.write(change.content)
            stream.flush()
            _dress(entry["real"], stream.fileno(), change.secret)
            os.fsync(stream.fileno())

    def swap(self) -> None:
        """Puts the new files in place, each by one rename."""
        self._record("swapping")
        state.failpoint("swapping")
        for number, entry in enumerate(self.journal["files"]):
            os.rename(entry["temporary"], entry["real"])
            state.sync_directory(os.path.dirname(entry["real"]))
            state.failpoint("swapped-%d" % number)

    def restore(self) -> Restored:
        """Puts the old content back wherever the new one lies.

        A file that somebody else has changed since is left alone and named as foreign.
        """
        failures: List[str] = []
        foreign: List[str] = []
        for entry in self.journal["files"]:
            try:
                self._restore_one(entry, foreign)
            except (OSError, HostError) as error:
                failures.append("%s: %s" % (entry["path"], error))
        if not failures:
            self._record("restored")
        return Restored(failures, foreign)

    def _restore_one(self, entry: Dict[str, Any], foreign: List[str]) -> None:
        if "before" not in entry:  # killed before this file was backed up: it was never touched
            _unlink(entry["temporary"])
            return
        content = read(entry["real"])
        now = None if content is None else digest(content)
        if now == entry["before"]:
            _unlink(entry["temporary"])
            return
        if now != entry["after"]:
            foreign.append("%s was changed by somebody else meanwhile and is left as it is" % entry["path"])
            _unlink(entry["temporary"])
            return
        if entry["before"] is None:
            _unlink(entry["real"])
            return
        old = read(entry["backup"])
        if old is None or digest(old) != entry["before"]:
            raise HostError("backup_lost", "the back-up %s is not whole" % entry["backup"])
        _unlink(entry["temporary"])
        handle = os.open(entry["temporary"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(old)
            stream.flush()
            _dress(entry["real"], stream.fileno(), True)  # the new file carries the old one's owner and mode
            os.fsync(stream.fileno())
        os.rename(entry["temporary"], entry["real"])
        state.sync_directory(os.path.dirname(entry["real"]))

    def all_new(self) -> bool:
        """Whether every file has its new content."""
        contents = [(entry, read(entry["real"])) for entry in self.journal["files"]]
        return all(content is not None and digest(content) == entry["after"] for entry, content in contents)

    def verified(self) -> None:
        """Says that a client was shown to see the new files: whoever finds this goes on, not back."""
        self._record("verified")
        state.failpoint("verified")

    def commit(self) -> None:
        """Says that the change stands; older back-ups beyond the last few go."""
        self._record("committed")
        state.failpoint("committed")
        _retain()

    def discard(self) -> None:
        """Forgets a change that touched nothing."""
        for entry in self.journal["files"]:
            try:
                _unlink(entry["temporary"])
            except OSError as error:
                if error.errno != errno.EROFS:  # nothing can have been written there
                    raise
        shutil.rmtree(self.directory, ignore_errors=True)

    def _record(self, step: str) -> None:
        self.journal["step"] = step
        self.journal["at"] = int(time.time())
        state.write_json(self._journal_path, self.journal)


def unfinished() -> List[Transaction]:
    """The transactions that a killed run left: neither committed nor restored, oldest first."""
    found = []
    base = state.directory("transactions")
    for identity in sorted(os.listdir(base)):
        path = os.path.join(base, identity, "journal.json")
        journal = state.read_json(path)
        if journal is None and os.path.exists(path):
            raise Blocked(
                "recovery_failed", "the journal %s cannot be read; look at it before anything else" % path
            )
        if journal is None:
            shutil.rmtree(os.path.join(base, identity), ignore_errors=True)  # nothing was written yet
        elif journal["step"] not in ("committed", "restored"):
            found.append(Transaction(identity, journal))
    return found


def _retain() -> None:
    base = state.directory("transactions")
    finished = []
    for identity in os.listdir(base):
        journal = state.read_json(os.path.join(base, identity, "journal.json"))
        if journal is not None and journal["step"] in ("committed", "restored"):
            finished.append((journal.get("at", 0), identity))
    for _at, identity in sorted(finished)[:-KEEP]:
        shutil.rmtree(os.path.join(base, identity), ignore_errors=True)


def _dress(model: str, handle: int, secret: bool) -> None:
    """Gives an open file the owner, mode, ACL and extended attributes of the file that it replaces."""
    try:
        facts = os.stat(model)
    except FileNotFoundError:
        os.fchmod(handle, 0o600 if secret else 0o644)
        return
    os.fchown(handle, facts.st_uid, facts.st_gid)
    os.fchmod(handle, stat.S_IMODE(facts.st_mode))
    for name in os.listxattr(model):
        try:
            os.setxattr(handle, name, os.getxattr(model, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
