# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in Caddy's files a path or a name stands; what Caddy itself tells has no lines."""

import os
import re
from typing import Any, Dict, Set, Tuple

from . import _reading

_DEPTH = 16
_VARIABLE = re.compile(r"\{(?:\$|env\.)([A-Za-z_][A-Za-z0-9_]*)")
_EDGES = "\"'`,{}[]:"


class Places:
    """The first line of each word of a configuration file and of what it imports."""

    def __init__(self, reader: _reading.Reader, warn: Any) -> None:
        self.reader = reader
        self.warn = warn
        self.words: Dict[str, Tuple[str, int]] = {}
        self.variables: Set[str] = set()
        self.config = ""

    def read(self, path: str) -> None:
        self.config = self.config or path
        self._file(path, 0)

    def _file(self, path: str, depth: int) -> None:
        try:
            text = self.reader.config(path)
        except _reading.Unreadable as error:
            self.warn("%s is not read: %s" % (path, error.message), path)
            return
        self.variables.update(_VARIABLE.findall(text))
        for number, line in enumerate(text.split("\n"), 1):
            words = [word.strip(_EDGES) for word in line.split()]
            for word in words:
                if word and not word.startswith("#"):
                    self.words.setdefault(_bare(word), (path, number))
            if len(words) > 1 and words[0] == "import" and depth < _DEPTH:
                pattern = os.path.join(os.path.dirname(path), words[1])
                if "." in words[1] or "/" in words[1] or _reading.has_wildcard(words[1]):
                    self._import(pattern, depth)

    def _import(self, pattern: str, depth: int) -> None:
        for found in self.reader.glob(pattern):
            if _reading.status(found) is not None:
                self._file(found, depth + 1)

    def of(self, *texts: str) -> Tuple[str, int]:
        """The place of the first of these that is found; the file alone where none is."""
        for text in texts:
            if text in self.words:
                return self.words[text]
        return self.config, 0


def _bare(word: str) -> str:
    """The name in an address such as https://a.test:8443; a path as it is."""
    if word.startswith("/"):
        return word
    word = word[word.find("://") + 3 :] if "://" in word else word
    return re.sub(r":[0-9]+$", "", word)
