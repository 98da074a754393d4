# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the text of an nginx configuration comes from: `nginx -T`, or the files themselves."""

import os
import re
from typing import Any, Dict, List, Optional, Set, Tuple

from . import _reading
from ._nginx_syntax import Block, Directive, Parser

_HEADER = re.compile(r"^# configuration file (/[^\n]*):$", re.MULTILINE)
_INCLUDE_DEPTH = 40
_SHARE = 0.6  # of the time that is left, for reading; the rest is for the certificates
_INCLUDES_LIMIT = 100000

# Directives whose path nginx makes, already when it only tests, if nothing is there.
_MADE = re.compile(
    r"(?:^|[\s;{}])(?:access_log|error_log|pid|lock_file|[a-z]+_temp_path|[a-z]+_cache_path|"
    r"listen\s+unix:)\s*[\"']?([^\s;\"'$]+)"
)
_NOT_MADE = ("off", "stderr", "memory:", "syslog:")

INSIDE = {
    "main": ("http", "stream", "mail"),
    "http": ("server", "map"),
    "stream": ("server", "map"),
    "mail": ("server",),
}
WANTED = frozenset(
    (
        "acme_certificate",
        "listen",
        "protocol",
        "server_name",
        "ssl",
        "ssl_certificate",
        "ssl_certificate_by_lua_block",
        "ssl_certificate_by_lua_file",
        "ssl_certificate_key",
        "ssl_reject_handshake",
        "starttls",
    )
)


class Ambiguous(Exception):
    """A dump that can be cut into files in more than one way."""


class Disk:
    """The files as they lie on the disk."""

    def __init__(self, reader: _reading.Reader) -> None:
        self.reader = reader
        self.texts: Dict[str, str] = {}

    def expand(self, pattern: str) -> List[str]:
        return self.reader.glob(pattern)

    def text(self, path: str) -> str:
        self.texts[path] = text = self.reader.config(path)
        return text


class Dump:
    """What `nginx -T` printed: every file that nginx itself has read, once."""

    def __init__(self, reader: _reading.Reader, said: str) -> None:
        self.reader = reader
        self.files: Dict[str, str] = {}
        self.unread: Set[str] = set()
        self._folders: Dict[str, List[str]] = {}
        headers = list(_HEADER.finditer(said))
        ends = [header.start() for header in headers[1:]] + [len(said)]
        for header, end in zip(headers, ends):
            path = header.group(1)
            if path in self.files:
                raise Ambiguous(path)
            self.files[path] = said[header.end() + 1 : end]
            self._folders.setdefault(os.path.dirname(path), []).append(path)
        if not headers:
            raise Ambiguous("no file")
        self.main = headers[0].group(1)
        self.unread = set(self.files)

    def expand(self, pattern: str) -> List[str]:
        if not _reading.has_wildcard(pattern):
            return [pattern]
        folder, name = os.path.split(pattern)
        folders = [folder]
        if _reading.has_wildcard(folder):
            folders = [one for one in self._folders if _folder_matches(one, folder)]
        found = [
            path
            for one in folders
            for path in self._folders.get(one, ())
            if _reading.matches(os.path.basename(path), name)
        ]
        return sorted(found, key=_reading.raw)

    def text(self, path: str) -> str:
        self.reader.tick()
        self.unread.discard(path)
        if path not in self.files:
            raise Ambiguous(path)
        return self.files[path]


def _folder_matches(folder: str, pattern: str) -> bool:
    theirs, ours = folder.split("/"), pattern.split("/")
    return len(theirs) == len(ours) and all(_reading.matches(one, other) for one, other in zip(theirs, ours))


class Tree:
    """One configuration with all that it includes, as far as certificates are concerned."""

    def __init__(self, source: Any, main: str, report: Any, around: str = "main") -> None:
        """With `around` another block than `main`, the file is one that is included there."""
        self.source = source
        self.prefix = os.path.dirname(main)
        self.proven = False  # whether nginx itself has just loaded every certificate with its key
        self.report = report
        self.warnings: List[Tuple[str, str, int]] = []
        self._open: List[str] = []
        self._left = _INCLUDES_LIMIT
        self._parser = Parser(WANTED, INSIDE, self._include, self._warn)
        self.root = Block(Directive("main", [], main, 0))
        block = self.root
        if around != "main":
            block = Block(Directive(around, [], main, 0))
            self.root.blocks.append(block)
        # What has ended the reading early; what was read until then stands.
        self.cut = report.reader.partly(_SHARE, lambda: self._read(main, block, None))

    def path(self, value: str) -> str:
        """A path of the configuration, which is relative to the folder of its first file."""
        return os.path.join(self.prefix, value)

    def _warn(self, message: str, file: str, line: int) -> None:
        self.warnings.append((message, file, line))

    def _include(self, directive: Directive, block: Block) -> None:
        if len(directive.arguments) != 1:
            self._warn("include needs one path", directive.file, directive.line)
            return
        for path in self.source.expand(self.path(directive.arguments[0])):
            self._read(path, block, directive)

    def _read(self, path: str, block: Block, directive: Optional[Directive]) -> None:
        file, line = (directive.file, directive.line) if directive else (path, 0)
        if path in self._open or len(self._open) >= _INCLUDE_DEPTH:
            self._warn("%s includes itself or lies too deep" % path, file, line)
            return
        self._left -= 1
        if self._left < 0:
            raise _reading.Exhausted("the configuration includes too many files")
        try:
            text = self.source.text(path)
        except _reading.Unreadable as error:
            self._warn("%s is not read: %s" % (path, error.message), file, line)
            return
        self._open.append(path)
        self._parser.parse(text, path, block)
        self._open.pop()


def from_dump(report: Any, said: str) -> Optional[Tree]:
    """The tree of a dump; None when the dump can be understood in several ways.

    A comment in a file may look like the line with which nginx begins the next file. Then
    a "file" appears twice, or one that nothing includes; the disk is read instead.
    """
    try:
        dump = Dump(report.reader, said)
        tree = Tree(dump, dump.main, report)
    except Ambiguous:
        return None
    # Files included where no certificate can stand (in a location, a map) were not asked for.
    if not all(_is_on_disk(dump, path) for path in dump.unread):
        return None
    tree.proven = True
    return tree


def _is_on_disk(dump: Dump, path: str) -> bool:
    try:
        return dump.reader.config(path).rstrip("\n") == dump.files[path].rstrip("\n")
    except _reading.Unreadable:
        return False


def from_disk(report: Any, main: str) -> Tree:
    return Tree(Disk(report.reader), main, report)


def from_part(report: Any, path: str) -> Tree:
    """The tree of a file that is a whole configuration, or else one of those included inside of `http`."""
    whole = from_disk(report, path)
    return whole if whole.root.blocks else Tree(Disk(report.reader), path, report, "http")


def made_by_a_test(tree: Tree) -> Optional[str]:
    """The first path that a test by nginx itself would make, None where all are there."""
    for text in tree.source.texts.values():
        for value in _MADE.findall(text):
            if not value.startswith(_NOT_MADE) and not os.path.lexists(_reading.raw(tree.path(value))):
                return tree.path(value)
    return None
