# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Traefik is configured: by a file, else by flags, else by its environment; by one of them alone."""

import os
import re
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from . import _reading
from ._traefik_tree import Node, put

#: A message, the file that it is about, and the line (0 where none is known).
Warn = Callable[[str, Optional[str], int], None]

_BASES = (
    "/etc/traefik/traefik",
    "$XDG_CONFIG_HOME/traefik",
    "$HOME/.config/traefik",
    "./traefik",
)
_ENDINGS = (".toml", ".yaml", ".yml")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ROOTS = ("entrypoints", "providers", "certificatesresolvers", "api", "ping", "metrics", "acme")
_PREFIX = "TRAEFIK_"


class Settings(NamedTuple):
    """The static configuration, and the file that it is in, if it is in one."""

    root: Node
    file: Optional[str]


def settings(
    words: List[str], environment: Dict[str, str], folder: Optional[str], reader: _reading.Reader, warn: Warn
) -> Settings:
    """What a process that was started so in a folder goes by.

    `words` are its arguments; a file at one of the usual places is taken before any flag.
    """
    told = flags(words)
    file = located(_config_file(told), environment, folder)
    if file is not None:
        return Settings(read(file, reader, warn), file)
    return Settings(told if told.inner else variables(environment), None)


def read(file: str, reader: _reading.Reader, warn: Warn) -> Node:
    """The settings in a file, by the form that its name tells."""

    def told(message: str, line: int) -> None:
        warn(message, file, line)

    try:
        text = reader.config(file)
    except _reading.Unreadable as error:
        told("%s is not read: %s" % (file, error.message), 0)
        return Node(0, inner={})
    if file.lower().endswith(".toml"):
        from . import _traefik_toml  # noqa: PLC0415 - compiled only where there is such a file

        return _traefik_toml.parse(text, told, reader.tick)
    from . import _traefik_yaml  # noqa: PLC0415

    return _traefik_yaml.parse(text, told, reader.tick)


def located(told: str, environment: Dict[str, str], folder: Optional[str]) -> Optional[str]:
    """The first file that exists of the one that a flag names and the usual ones."""
    usual = [base + ending for base in _BASES for ending in _ENDINGS]
    for path in ([told] if told.strip() else []) + usual:
        found = _VARIABLE.sub(lambda one: environment.get(one.group(1) or one.group(2), ""), path)
        if not found.startswith("/") and folder is None:
            continue
        found = os.path.normpath(os.path.join(folder or "/", found))
        if _reading.status(found) is not None:
            return found
    return None


def _config_file(told: Node) -> str:
    found = (told.inner or {}).get("configfile")
    return (found.text if found is not None else None) or ""


def flags(words: List[str]) -> Node:
    """The tree that the flags of a command line make; what is no flag ends them."""
    root = Node(0, inner={})
    at = 0
    while at < len(words):
        name, value, at = _flag(words, at)
        if not name:
            break
        put(root, _path(name), value)
    return root


def _flag(words: List[str], at: int) -> Tuple[str, str, int]:
    """One flag, its value, and where the next one begins; no name where there is none."""
    word = words[at]
    bare = word[2:] if word.startswith("--") else word[1:]
    if not word.startswith("-") or not bare or bare[0] in "-=":
        return "", "", at
    name, equals, value = bare.partition("=")
    if equals:
        return name, value, at + 1
    if at + 1 < len(words) and not words[at + 1].startswith("-"):
        return name, words[at + 1], at + 2
    return name, "true", at + 1


def _path(name: str) -> List[str]:
    """The names between the dots; `x[0]` is the first of `x`."""
    return [part for part in re.sub(r"\[([0-9]+)\]", r".\1", name.lower()).split(".") if part] or ["?"]


def variables(environment: Dict[str, str]) -> Node:
    """The tree that the variables of an environment make."""
    root = Node(0, inner={})
    for name, value in sorted(environment.items()):
        path = re.sub(r"\[([0-9]+)\]", r"_\1", name.lower()).split("_")[1:]
        path = [part for part in path if part]
        if name.startswith(_PREFIX) and path and path[0] in _ROOTS:
            put(root, path, value)
    return root
