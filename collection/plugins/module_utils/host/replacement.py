# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of a change: its new content beside it, its old content kept, each put in its place.

A file is replaced by rename(2), through symbolic links: the links stay, and whoever reads sees the
old content or the new. Where a rename would part it from its other names (hard links), or the
kernel refuses it (a file that something is mounted on), it is written in place: all names see the
new content, and a kill half-way leaves a mixture that the next run knows as its own.
"""

import enum
import errno
import hashlib
import os
import re
import shlex
import shutil
import stat
from typing import Any, Dict, List, NamedTuple, Optional

from . import state
from .errors import Blocked, Conflict, HostError
from .switch import NEW, OLD, UNABLE, unlink

LIMIT = 8 * 1024 * 1024
_MOUNTS = "/proc/self/mountinfo"
_NAME = 80  # encrypted file systems have no more than 143 bytes


class Standing(enum.Enum):
    """What lies in the place of a file."""

    OLD = OLD
    NEW = NEW
    TORN = "torn"  #: some of both: written in place, and not to the end
    FOREIGN = "foreign"  #: neither: somebody else's


class Change(NamedTuple):
    """The content that one file is to have; `secret` decides the mode of a file that is new."""

    path: str
    content: bytes
    secret: bool


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


class Replacement:
    """One file of a change, by its entry in the journal."""

    def __init__(self, entry: Dict[str, Any]) -> None:
        self.entry = entry
        self.real: str = entry["real"]
        self.in_place: bool = entry["in_place"]

    @classmethod
    def planned(cls, number: int, change: Change, identity: str, directory: str) -> "Replacement":
        """Where everything of one file will lie; nothing is there yet."""
        real = os.path.realpath(change.path)
        beside = os.path.join(os.path.dirname(real), ".%s.notafter-%s" % (_short(real), identity))
        backup = os.path.join(directory, "%d.backup" % number)
        in_place = _has_other_names(real)
        return cls(
            {
                "path": change.path,
                "real": real,
                "in_place": in_place,
                "temporary": os.path.join(directory, "%d.new" % number) if in_place else beside,
                "old": backup if in_place else beside + ".old",
                "backup": backup,
                "after": digest(change.content),
                "secret": change.secret,
            }
        )

    def back_up(self) -> None:
        """Keeps the old content where only root looks, and beside the file its old inode itself."""
        self._require_replaceable()
        content = read(self.real)
        self.entry["before"] = None if content is None else digest(content)
        if content is None:
            return
        state.write(self.entry["backup"], content)
        shutil.copystat(self.real, self.entry["backup"])
        os.chmod(self.entry["backup"], 0o600)
        if not self.in_place:
            _second_name(self.real, self.entry["old"])

    def write(self, content: bytes) -> None:
        """Writes the new content beside the file."""
        _create(self.entry["temporary"], content, self.real, self.entry["secret"])
        state.sync_directory(os.path.dirname(self.entry["temporary"]))

    def standing(self) -> Standing:
        """What lies there now, for whoever reads the file."""
        try:
            content = read(self.real)
        except Blocked:  # no regular file any more
            return Standing.FOREIGN
        now = None if content is None else digest(content)
        if now == self.entry["after"]:
            return Standing.NEW
        if now == self.entry["before"]:
            return Standing.OLD
        if self.in_place and content is not None and self._mixed(content):
            return Standing.TORN
        return Standing.FOREIGN

    def require_ours(self) -> Standing:
        """Raises Conflict where somebody else has changed the file since it was looked at."""
        found = self.standing()
        if found is Standing.FOREIGN:
            raise Conflict("file_changed", "somebody else changed %s meanwhile" % self.entry["path"])
        return found

    def linked(self) -> bool:
        """Whether one of our links is in its place."""
        return os.path.islink(self.real)

    def link(self, target: str) -> None:
        """Puts a link in its place, that shows the content that it had."""
        waiting = self.entry["temporary"] + ".link"
        unlink(waiting)
        os.symlink(target, waiting)
        os.rename(waiting, self.real)
        state.sync_directory(os.path.dirname(self.real))

    def put(self, side: str) -> None:
        """Puts a regular file with the old or the new content in its place."""
        if side == OLD:
            self._require_old()
        if side == OLD and self.entry["before"] is None:
            unlink(self.real)
        elif self.in_place:
            _overwrite(self.real, read(self.entry["temporary" if side == NEW else "old"]) or b"")
        else:
            waiting = self.entry["temporary"] + ".put"
            _second_name(self.entry["temporary" if side == NEW else "old"], waiting)
            os.rename(waiting, self.real)
        state.sync_directory(os.path.dirname(self.real))

    def by_hand(self) -> str:
        """The command that puts the old content back, with the owner and mode that the file has."""
        if self.entry["before"] is None:
            return "rm %s" % shlex.quote(self.real)
        return "cat %s > %s" % (shlex.quote(self.entry["backup"]), shlex.quote(self.real))

    def clear(self) -> None:
        """Takes away what lies beside the file."""
        name = self.entry["temporary"]
        names = [name, name + ".put", name + ".link"] + ([] if self.in_place else [self.entry["old"]])
        try:
            for one in names:
                unlink(one)
            if os.path.isdir(os.path.dirname(name)):
                state.sync_directory(os.path.dirname(name))
        except OSError as error:
            if error.errno != errno.EROFS:  # nothing can have been written there
                raise

    def _require_replaceable(self) -> None:
        """Says before anything is touched that a rename would be refused."""
        try:
            os.close(os.open(self.real, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
        except OSError as error:
            if error.errno == errno.EPERM:
                told = "%s is immutable or append-only (lsattr shows it)" % self.entry["path"]
                raise Blocked("not_writable", told) from error
            if error.errno == errno.EROFS or (self.in_place and error.errno != errno.ENOENT):
                raise Blocked("not_writable", "%s: %s" % (self.entry["path"], error.strerror)) from error

    def _require_old(self) -> None:
        """The old content lies beside the file, or is written there again from the back-up."""
        before = self.entry["before"]
        if before is None or self._holds(self.entry["old"], before):
            return
        if self.in_place or not self._holds(self.entry["backup"], before):
            raise HostError("backup_lost", "the back-up %s is not whole" % self.entry["backup"])
        unlink(self.entry["old"])
        # The file that lies there now has its predecessor's owner and mode.
        _create(self.entry["old"], read(self.entry["backup"]) or b"", self.real, True)

    @staticmethod
    def _holds(path: str, expected: str) -> bool:
        content = read(path)
        return content is not None and digest(content) == expected

    def _mixed(self, content: bytes) -> bool:
        """Whether each byte is the old or the new one, or none yet: what a power loss may leave."""
        old, new = read(self.entry["old"]) or b"", read(self.entry["temporary"]) or b""
        whole = max(len(old), len(new))
        if len(content) > whole:
            return False
        pairs = zip(content, old.ljust(whole, b"\0"), new.ljust(whole, b"\0"))
        return all(byte in (before, after, 0) for byte, before, after in pairs)


def _short(real: str) -> str:
    """The name of a file, or a digest of it where a longer name might be one too long (NAME_MAX)."""
    name = os.path.basename(real)
    return name if len(os.fsencode(name)) <= _NAME else digest(os.fsencode(name))[:32]


def _has_other_names(real: str) -> bool:
    """Whether a rename would not change what every user of the file sees."""
    try:
        names = os.stat(real).st_nlink
    except OSError:
        return False
    return names > 1 or real in _mounted()


def _mounted() -> List[str]:
    """The places that something is mounted on (proc(5), mountinfo)."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as stream:
            places = [line.split(" ")[4] for line in stream]
    except OSError:
        return []
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), place) for place in places]


def _second_name(source: str, target: str) -> None:
    """Gives a file another name, or makes a copy where the file system has no hard links."""
    unlink(target)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        _create(target, read(source) or b"", source, True)


def _create(path: str, content: bytes, model: str, secret: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        _dress(model, stream.fileno(), secret)
        os.fsync(stream.fileno())


def _overwrite(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.ftruncate(stream.fileno(), len(content))
        os.fsync(stream.fileno())


def _dress(model: str, handle: int, secret: bool) -> None:
    """Gives an open file the owner, mode, ACL, label and extended attributes of the one that it replaces."""
    try:
        facts = os.stat(model)
    except FileNotFoundError:
        os.fchmod(handle, 0o600 if secret else 0o644)
        return
    os.fchown(handle, facts.st_uid, facts.st_gid)
    os.fchmod(handle, stat.S_IMODE(facts.st_mode))
    for name in _attributes(model):
        try:
            os.setxattr(handle, name, os.getxattr(model, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise


def _attributes(path: str) -> List[str]:
    """The names of a file's extended attributes; a file system may know of none (FUSE)."""
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
        return []
