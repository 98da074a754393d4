# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host program as it travels: one text that a host's Python reads from its standard input.

Only those modules go there that the operation may import, compressed as one. That text is made once
for an operation and kept as Python keeps its own byte code, for as long as nothing in it has changed:
to make it takes as long as two scans.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import functools
import hashlib
import os
import re
import sys
import tempfile
import typing as t
import zlib
from pathlib import Path

from . import bytecode, untyped

_HERE = Path(__file__).resolve()
_PROGRAM = _HERE.parent.parent / "module_utils" / "host"
#: What the text depends on beside the modules in it.
_MAKERS = (_HERE, Path(bytecode.__file__), Path(untyped.__file__))
# What every host does before anything else: it loads as little as it can. At the end all is said and
# closed, and the kernel takes a process away faster than Python does.
BOOTSTRAP = """
import binascii, gc, json, marshal, os, sys, zlib
if sys.version_info < (3, 6):
    sys.exit("Python %s is too old for notafter, which needs 3.6: name another one as "
             "ansible_python_interpreter" % sys.version.split()[0])
gc.set_threshold(100000)
def unpacked(text):
    return zlib.decompress(binascii.a2b_base64(text))
MAGIC = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", b"")
OURS = MAGIC.hex() + " " + str(sys.implementation.cache_tag)
CODES = marshal.loads(unpacked(BYTECODE)) if OURS == KIND else {}
class Importer:
    heads = HEADS
    sources = None
    def find_spec(self, name, path=None, target=None):
        if name in NAMES:
            return type(sys.__spec__)(name, self, is_package=name in PACKAGES)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(CODES.get(module.__name__) or self.compiled(module.__name__), module.__dict__)
    def compiled(self, name):
        if self.sources is None:
            self.sources = dict(zip(NAMES, unpacked(SOURCES).decode().split("\\0")))
        return compile(self.sources[name], name, "exec", dont_inherit=True)
    def sent_modules(self, package):
        return [name.rpartition(".")[2] for name in NAMES if name.rpartition(".")[0] == package]
sys.meta_path.insert(0, Importer())
from host.program import main
main(json.loads(REQUEST))
os._exit(0)
"""
_IMPORT = re.compile(r"^( *)from (\.+)([\w.]*) import (\([^)]*\)|[^\n#]*)", re.MULTILINE)
#: What a host's compiler need not read: docstrings, comments, and the types of results.
_DOCSTRING = re.compile(r'((?<=:\n) +|^)r?"""(?:[^"]|"(?!""))*"""$', re.MULTILINE)
_COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)
_RESULT = re.compile(r"^( *(?:def \w+\(.*)?\)) -> .*:$", re.MULTILINE)
#: What a kind of server says at its head of where it is (services/_base.py), as literals.
_HEAD = re.compile(r"^    (process_names|traces) = (\([^()]*\))", re.MULTILINE)
_KIND = r"host\.services\.[^_.]\w*"
_USUAL = "\n    usual = True\n"


class Module(t.NamedTuple):
    """A module of the host program: its source as it travels, and what it imports of the others."""

    source: str
    imports: frozenset[str]
    first: frozenset[str]  # those of them that it cannot be loaded without


@functools.cache
def modules() -> dict[str, Module]:
    """The host program's modules by name; a package bears the name of its folder."""
    found = {}
    for path in sorted(_PROGRAM.rglob("*.py")):
        parts = ["host", *path.relative_to(_PROGRAM).with_suffix("").parts]
        package = parts[:-1]
        name = ".".join(package if parts[-1] == "__init__" else parts)
        source = path.read_text(encoding="utf-8")
        imports = frozenset(_imports(source, package))
        first = frozenset(_imports(source, package, indented=False))
        found[name] = Module(lean(source), imports, first)
    return found


def lean(source: str) -> str:
    """The same program without what only people read; each line stays where it is."""
    shorter = _DOCSTRING.sub(lambda found: found.group(1) + "0" + "\n" * found.group().count("\n"), source)
    return _RESULT.sub(r"\1:", _COMMENT.sub("", shorter))


def _imports(source: str, package: list[str], *, indented: bool = True) -> t.Iterator[str]:
    """What the relative imports of a module may mean: modules, or packages with modules in them."""
    for indent, dots, name, things in _IMPORT.findall(source):
        if indent and not indented:
            continue
        above = [*package[: len(package) - len(dots) + 1], *filter(None, name.split("."))]
        yield from (".".join(above[:size]) for size in range(1, len(above) + 1))
        yield from (
            ".".join([*above, thing.split(" as ")[0].strip()]) for thing in things.strip("()").split(",")
        )


def needed(operation: object) -> list[str]:
    """The modules that an operation may import, wherever in its code it does.

    Kinds of server are found by their names, not by imports: with one of `services` go all.
    """
    every = modules()
    waiting = ["host", "host.program", f"host.{operation}"]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in every and name not in found:
            found.add(name)
            waiting.extend(every[name].imports)
            if name == "host.services":
                waiting.extend(other for other in every if other.startswith("host.services."))
    return sorted(found)


def _always(operation: object) -> set[str]:
    """The modules that an operation loads on nearly every host: without it goes no host, or many have it."""
    every = modules()
    kinds = [name for name in needed(operation) if re.fullmatch(_KIND, name)]
    kinds = [one for one in kinds if _USUAL in every[one].source or not _HEAD.search(every[one].source)]
    waiting = ["host", "host.program", f"host.{operation}", *kinds]
    waiting += [other for name in kinds for other in every[name].imports]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in every and name not in found:
            found.add(name)
            waiting.extend(every[name].first)
    return found


def heads(names: t.Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Where each kind of server may be, for a host to look before it compiles that kind.

    Of a kind that does not say so there is nothing here, and it is always loaded.
    """
    kinds = [name for name in names if re.fullmatch(_KIND, name)]
    found = {
        name.rpartition(".")[2]: {
            what: ast.literal_eval(value) for what, value in _HEAD.findall(modules()[name].source)
        }
        for name in kinds
    }
    return {name: head for name, head in found.items() if len(head) == 2}


@functools.cache
def prepare(operation: object) -> str:
    """The program for an operation as it travels; actions call this before Ansible forks for each host."""
    kept = Kept(str(operation)) if re.fullmatch(r"[a-z_]{1,40}", str(operation)) else None
    text = kept.text() if kept is not None else None
    if text is None:
        text = _made(operation)
        if kept is not None:
            kept.put(text)
    return text


def _made(operation: object) -> str:
    names, every = needed(operation), modules()
    sources = "\0".join(every[name].source for name in names).encode()
    codes = bytecode.of({name: every[name].source for name in sorted(_always(operation))})
    values = {
        "NAMES": names,
        "PACKAGES": [name for name in every if any(other.startswith(name + ".") for other in every)],
        "HEADS": heads(names),
        "SOURCES": _packed(sources),
        "KIND": bytecode.KIND,
        "BYTECODE": _packed(codes),
    }
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


class Kept:
    """What was made for an operation, beside Python's own byte code, and on the same terms.

    It counts while every file that it was made of is what it was. Where nothing can be written,
    or Python is told to write no byte code, it is made anew each time.
    """

    def __init__(self, operation: str) -> None:
        self.path = _HERE.parent / "__pycache__" / f"host-{operation}.{sys.implementation.cache_tag}"
        self._digest = _digest()

    def text(self) -> str | None:
        """What was kept; None where there is nothing that is still true."""
        try:
            digest, _line, text = self.path.read_text(encoding="ascii").partition("\n")
        except (OSError, ValueError):
            return None
        return text if digest == self._digest and text else None

    def put(self, text: str) -> None:
        """Keeps it, whole or not at all."""
        if sys.dont_write_bytecode:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=self.path.name, dir=self.path.parent)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f"{self._digest}\n{text}")
            Path(name).replace(self.path)


@functools.cache
def _digest() -> str:
    return digest_of([*_MAKERS, *sorted(_PROGRAM.rglob("*.py"))])


def digest_of(paths: t.Iterable[Path]) -> str:
    """Of all that a text is made of, and of the Python that makes it."""
    found = hashlib.sha256(f"{bytecode.KIND} {sys.version}".encode())
    for path in paths:
        content = path.read_bytes()
        found.update(f"{path} {len(content)}\n".encode() + content)
    return found.hexdigest()
