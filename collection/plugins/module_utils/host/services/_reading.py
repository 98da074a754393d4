# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files of the host so that nothing there can make a scan hang, swell or stop.

Text of a configuration is UTF-8 with what is no UTF-8 kept as surrogates (`text`), so that a
path goes back to the very same bytes (`raw`) whatever the locale is; what leaves the program
is made plain text first (`shown`).
"""

import contextlib
import errno
import os
import stat
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

SMALL_LIMIT = 256 * 1024
PEM_LIMIT = 1024 * 1024
CONFIG_LIMIT = 8 * 1024 * 1024
TOTAL_LIMIT = 512 * 1024 * 1024
FILES_LIMIT = 200000
MATCHES_LIMIT = 100000

_PLAIN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NOATIME = getattr(os, "O_NOATIME", 0)


class Unreadable(Exception):
    """One file cannot be read; `kind` is one of the contract's kinds of problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Exhausted(Exception):
    """The scan has used up its time or its share of the host; what was found so far stands."""


class Content(NamedTuple):
    """The bytes of a regular file and what fstat said of it."""

    data: bytes
    status: os.stat_result


def raw(path: str) -> bytes:
    """The bytes that a path of a configuration stands for."""
    return path.encode("utf-8", "surrogateescape")


def text(data: bytes) -> str:
    """The text of bytes; no byte is lost."""
    return data.decode("utf-8", "surrogateescape")


def shown(value: str) -> str:
    r"""A text as it may leave the program: what is no UTF-8 is written as \xNN."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


def real(path: str) -> str:
    """Where a path ends when all symbolic links are followed."""
    try:
        return _told_by_kernel(raw(path)) or text(os.path.realpath(raw(path)))
    except (OSError, ValueError):
        return path


def _told_by_kernel(path: bytes) -> Optional[str]:
    """The same in a few calls of the kernel instead of one for each folder on the way; None if all fails."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = text(os.readlink(b"/proc/self/fd/%d" % handle))
    except OSError:
        return None
    finally:
        os.close(handle)
    return found if found.startswith("/") and os.path.exists(raw(found)) else None


def tidy(path: str) -> str:
    """A path without `..` and the like, where it then still leads to the same place."""
    normal = os.path.normpath(path)
    return normal if normal == path or real(normal) == real(path) else path


def status(path: str) -> Optional[os.stat_result]:
    """What stat says of a path, None when it says nothing."""
    try:
        return os.stat(raw(path))
    except (OSError, ValueError):
        return None


def small(path: str) -> str:
    """The text of a small file that no scan counts, such as settings of systemd; "" where there is none."""
    try:
        return text(_read(raw(path), SMALL_LIMIT).data)
    except (OSError, ValueError, Unreadable):
        return ""


def pieces(path: str, step: int, around: int, limit: int) -> Iterator[Tuple[int, bytes]]:
    """A program in steps, each with so many bytes more on either side, and the place where it begins.

    A few pages of memory do for any size. Nothing comes of one that cannot be read.
    """
    try:
        handle, found = _known(raw(path))
    except (OSError, ValueError, Unreadable):
        return
    try:
        for at in range(0, min(found.st_size, limit), step):
            first = max(0, at - around)
            yield first, os.pread(handle, at - first + step + around, first)
    except OSError:
        return
    finally:
        os.close(handle)


class Reader:
    """Reads files until the time or the share of the host is used up."""

    def __init__(self, seconds: float = 60.0, total: int = TOTAL_LIMIT, files: int = FILES_LIMIT) -> None:
        self.deadline = time.monotonic() + seconds
        self.bytes_left = total
        self.files_left = files
        self._listings: Dict[str, List[str]] = {}
        self._ends: Dict[str, str] = {}
        self._folders: Dict[str, bool] = {}

    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    @contextlib.contextmanager
    def share(self, part: float) -> Iterator[None]:
        """Within it there is a part of what is left: who uses up his takes nothing of the others'."""
        now = time.monotonic()
        whole = (self.deadline, self.bytes_left, self.files_left)
        self.deadline = now + max(0.0, self.deadline - now) * part
        self.bytes_left, self.files_left = int(whole[1] * part), int(whole[2] * part)
        given = (self.bytes_left, self.files_left)
        try:
            yield
        finally:
            self.deadline = whole[0]
            self.bytes_left = whole[1] - given[0] + max(0, self.bytes_left)
            self.files_left = whole[2] - given[1] + max(0, self.files_left)

    def partly(self, share: float, work: Callable[[], object]) -> Optional[Exhausted]:
        """Does work within a share; what ended it early, if anything did.

        So of a configuration that has no end there is time to say what was read of it.
        """
        try:
            with self.share(share):
                work()
        except Exhausted as error:
            return error
        return None

    def tick(self) -> None:
        """Raises Exhausted when the time is over; called wherever a file decides how much is done."""
        if time.monotonic() > self.deadline:
            raise Exhausted("the time for the scan is over")

    def read(self, path: str, limit: int) -> Content:
        """The content of a regular file of at most `limit` bytes; never waits for a writer."""
        self.tick()
        self.files_left -= 1
        if self.files_left < 0:
            raise Exhausted("the configuration names too many files")
        try:
            content = _read(raw(path), limit)
        except ValueError as error:
            raise Unreadable("malformed", "no path: %s" % error) from error
        except OSError as error:
            kind = "missing" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
            raise Unreadable(kind, os.strerror(error.errno or 0)) from error
        self.bytes_left -= len(content.data)
        if self.bytes_left < 0:
            raise Exhausted("the configuration is too large")
        return content

    def config(self, path: str) -> str:
        """The text of a configuration file."""
        data = self.read(path, CONFIG_LIMIT).data
        return text(data[3:] if data.startswith(b"\xef\xbb\xbf") else data)

    def real(self, path: str) -> str:
        """Where a path ends; what is asked of the kernel once for a scan."""
        if path not in self._ends:
            self._ends[path] = real(path)
        return self._ends[path]

    def names(self, directory: str) -> List[str]:
        """What lies in a directory, in byte order; nothing when it cannot be listed."""
        if directory not in self._listings:
            self.tick()
            try:
                found = os.listdir(raw(directory) or b".")
            except (OSError, ValueError):
                found = []
            self._listings[directory] = [text(name) for name in sorted(found)]
        return self._listings[directory]

    def glob(self, pattern: str) -> List[str]:
        """The files that an absolute pattern matches, in byte order."""
        if not has_wildcard(pattern):
            return [pattern]
        found = [""]
        parts = pattern.split("/")[1:]
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            found = [path for parent in found for path in self._step(parent, part, last)]
            if len(found) > MATCHES_LIMIT:
                raise Exhausted("a pattern matches too many files")
        return found

    def _is_folder(self, path: str) -> bool:
        """Asked once: many patterns go through the same folders."""
        if path not in self._folders:
            self._folders[path] = os.path.isdir(raw(path))
        return self._folders[path]

    def _step(self, parent: str, part: str, last: bool) -> List[str]:
        self.tick()
        if not has_wildcard(part):
            path = parent + "/" + part
            return [path] if not last or os.path.lexists(raw(path)) else []
        return [
            parent + "/" + name
            for name in self.names(parent or "/")
            if matches(name, part) and (last or self._is_folder(parent + "/" + name))
        ]


def opened(path: str) -> int:
    """A descriptor of a regular file; it never waits for a writer."""
    return _opened(raw(path))


def _opened(path: bytes) -> int:
    return _known(path)[0]


def _known(path: bytes) -> Tuple[int, os.stat_result]:
    """A descriptor of a regular file, and what it says of itself."""
    _require_regular(os.stat(path))
    try:
        handle = os.open(path, _PLAIN | _NOATIME)
    except PermissionError:
        handle = os.open(path, _PLAIN)
    try:
        found = os.fstat(handle)
        _require_regular(found)
    except (OSError, Unreadable):
        os.close(handle)
        raise
    return handle, found


def _read(path: bytes, limit: int) -> Content:
    handle, found = _known(path)
    try:
        chunks = []
        left = limit + 1
        while left > 0:
            wanted = min(left, max(found.st_size + 1, 1 << 14))
            chunk = os.read(handle, wanted)
            chunks.append(chunk)
            left -= len(chunk)
            if not chunk or (len(chunk) == found.st_size and len(chunk) < wanted):
                break  # that was all: a file of the kernel's says of itself that it has no size
    finally:
        os.close(handle)
    if left <= 0:
        raise Unreadable("malformed", "larger than %d KiB" % (limit // 1024))
    return Content(b"".join(chunks), found)


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise Unreadable("malformed", "no regular file but %s" % what)


def has_wildcard(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def matches(name: str, pattern: str, hidden: bool = False) -> bool:
    """Whether a file name matches `*`, `?` and `[...]`, in time linear in both for each star."""
    if name.startswith(".") and not hidden and not pattern.startswith("."):
        return False
    head, star_sign, tail = pattern.partition("*")
    if star_sign and not any(sign in pattern for sign in "?[\\") and "*" not in tail:  # most are `*.conf`
        return len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
    at = cursor = 0
    star = -1
    mark = 0
    while at < len(name):
        width = _one(name[at], pattern, cursor)
        if cursor < len(pattern) and pattern[cursor] == "*":
            star, mark = cursor, at
            cursor += 1
        elif width:
            at += 1
            cursor += width
        elif star >= 0:
            mark += 1
            at, cursor = mark, star + 1
        else:
            return False
    return not pattern[cursor:].strip("*")


def _one(sign: str, pattern: str, cursor: int) -> int:
    """How many signs of the pattern stand for this one sign of the name; 0 when they do not match."""
    if cursor >= len(pattern):
        return 0
    here = pattern[cursor]
    if here == "\\" and cursor + 1 < len(pattern):
        return 2 if pattern[cursor + 1] == sign else 0
    if here == "[":
        end = pattern.find(
            "]", cursor + 2 if pattern[cursor + 1 : cursor + 2] not in ("!", "^") else cursor + 3
        )
        if end > 0:
            return end + 1 - cursor if _in_set(sign, pattern[cursor + 1 : end]) else 0
    return 1 if here in ("?", sign) else 0


def _in_set(sign: str, body: str) -> bool:
    negated = body[:1] in ("!", "^")
    body = body[1:] if negated else body
    found = False
    position = 0
    while position < len(body):
        if body[position + 1 : position + 2] == "-" and position + 2 < len(body):
            found = found or body[position] <= sign <= body[position + 2]
            position += 3
        else:
            found = found or body[position] == sign
            position += 1
    return found != negated
