# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a request to the host program through the open connection, and its answer back.

The program, its importer and the request are one text on the standard input of `python3 -`:
nothing is copied to the host, and a secret exists only in that pipe. See
docs/decisions/0001-one-host-program.md. Only those modules go there that the operation may
import, compressed as one; an action makes them ready when it is loaded, once for all hosts.
"""

from __future__ import annotations

import ast
import base64
import functools
import json
import re
import shlex
import typing as t
import zlib
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader

from . import bytecode

if t.TYPE_CHECKING:
    from ansible.plugins.action import ActionBase
    from ansible.plugins.connection import ConnectionBase

BEGIN = "-----BEGIN NOTAFTER ANSWER-----"
END = "-----END NOTAFTER ANSWER-----"
_PROGRAM = Path(__file__).resolve().parent.parent / "module_utils" / "host"
_FLAGS = "-I -S -B -"  # isolated, no site, no byte code: nothing of the host's own Python set-up
_SEARCH = (
    "for p in /usr/bin/python3 /usr/libexec/platform-python python3; do "
    f'command -v "$p" >/dev/null 2>&1 && exec "$p" {_FLAGS}; done; echo "no python3 here" >&2; exit 127'
)
# What every host does before anything else: it loads as little as it can. At the end all is said and
# closed, and the kernel takes a process away faster than Python does.
_BOOTSTRAP = """
import binascii, gc, json, marshal, os, sys, zlib
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
_USUAL = "\n    usual = True\n"


class HostProgramError(AnsibleError):
    """The host program gave no answer, or said that it could not do what was asked."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Module(t.NamedTuple):
    """A module of the host program: its source as it travels, and what it imports of the others."""

    source: str
    imports: frozenset[str]
    first: frozenset[str]  # those of them that it cannot be loaded without


def _modules() -> dict[str, Module]:
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


_MODULES = _modules()
_KIND = r"host\.services\.[^_.]\w*"
_PACKAGES = [name for name in _MODULES if any(other.startswith(name + ".") for other in _MODULES)]


def needed(operation: object) -> list[str]:
    """The modules that an operation may import, wherever in its code it does.

    Kinds of server are found by their names, not by imports: with one of `services` go all.
    """
    waiting = ["host", "host.program", f"host.{operation}"]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in _MODULES and name not in found:
            found.add(name)
            waiting.extend(_MODULES[name].imports)
            if name == "host.services":
                waiting.extend(other for other in _MODULES if other.startswith("host.services."))
    return sorted(found)


def _always(operation: object) -> set[str]:
    """The modules that an operation loads on nearly every host: without it goes no host, or many have it."""
    kinds = [
        name
        for name in needed(operation)
        if re.fullmatch(_KIND, name)
        and (_USUAL in _MODULES[name].source or not _HEAD.search(_MODULES[name].source))
    ]
    waiting = ["host", "host.program", f"host.{operation}", *kinds]
    waiting += [other for name in kinds for other in _MODULES[name].imports]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in _MODULES and name not in found:
            found.add(name)
            waiting.extend(_MODULES[name].first)
    return found


def _heads(names: t.Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Where each kind of server may be, for a host to look before it compiles that kind.

    Of a kind that does not say so there is nothing here, and it is always loaded.
    """
    kinds = [name for name in names if re.fullmatch(_KIND, name)]
    heads = {
        name.rpartition(".")[2]: {
            what: ast.literal_eval(value) for what, value in _HEAD.findall(_MODULES[name].source)
        }
        for name in kinds
    }
    return {name: head for name, head in heads.items() if len(head) == 2}


@functools.cache
def prepare(operation: object) -> str:
    """The program for an operation as it travels; actions call this before Ansible forks for each host."""
    names = needed(operation)
    sources = "\0".join(_MODULES[name].source for name in names).encode()
    codes = bytecode.of({name: _MODULES[name].source for name in sorted(_always(operation))})
    values = {
        "NAMES": names,
        "PACKAGES": _PACKAGES,
        "HEADS": _heads(names),
        "SOURCES": _packed(sources),
        "KIND": bytecode.KIND,
        "BYTECODE": _packed(codes),
    }
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def payload(request: dict[str, t.Any]) -> bytes:
    """What goes to the standard input of the host's Python."""
    return f"{prepare(request.get('op'))}REQUEST = {json.dumps(request)!r}\n{_BOOTSTRAP}".encode()


def command(interpreter: object) -> str:
    """The command on the host: the interpreter that the inventory names, else the first that is there."""
    if not isinstance(interpreter, str) or not interpreter or interpreter.startswith("auto"):
        return _SEARCH
    return f"{shlex.quote(interpreter)} {_FLAGS}"


def parse(code: int, stdout: str, stderr: str) -> dict[str, t.Any]:
    """The answer in what the host printed; raises HostProgramError where there is none or it says no."""
    _before, begin, rest = stdout.partition(BEGIN)
    text, end, _after = rest.partition(END)
    if not begin or not end:
        told = "; ".join((stderr or stdout).strip().splitlines()[-3:])
        raise HostProgramError(
            "no_answer", f"the host program gave no answer (rc {code}): {told or 'nothing'}"
        )
    answer: dict[str, t.Any] = json.loads(text)
    if not answer.pop("ok"):
        raise HostProgramError(str(answer["kind"]), str(answer["message"]))
    return answer


def send(action: ActionBase, request: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
    """Runs a request on the host of the task (or the one that the task is delegated to)."""
    variables = task_vars
    if action._task.delegate_to:
        variables = task_vars.get("ansible_delegated_vars", {}).get(action._task.delegate_to, task_vars)
    interpreter = variables.get("ansible_python_interpreter")
    if interpreter is not None:
        interpreter = action._templar.template(interpreter)
    result = action._low_level_execute_command(command(interpreter), in_data=payload(request))
    return parse(result["rc"], result["stdout"], result["stderr"])


def send_to(
    action: ActionBase, host: str, request: dict[str, t.Any], task_vars: dict[str, t.Any]
) -> dict[str, t.Any]:
    """Runs a request on another host of the inventory, over a connection of its own.

    What one host answers and another must have (a key, say) so never becomes a variable.
    """
    hostvars = task_vars["hostvars"]
    if host not in hostvars:
        raise AnsibleError(f"there is no host {host!r} in the inventory")
    variables = dict(hostvars[host])
    connection = _connection(action, host, variables)
    text = command(variables.get("ansible_python_interpreter"))
    if connection.become:
        text = connection.become.build_become_command(text, connection._shell)
    try:
        code, stdout, stderr = connection.exec_command(
            f"/bin/sh -c {shlex.quote(text)}", in_data=payload(request), sudoable=bool(connection.become)
        )
    except AnsibleConnectionFailure as error:  # it is not the host of the task that cannot be reached
        raise AnsibleError(f"the issuer {host} cannot be reached: {error}") from error
    finally:
        connection.close()
    return parse(code, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))


def _connection(action: ActionBase, host: str, variables: dict[str, t.Any]) -> ConnectionBase:
    context = action._play_context.copy()
    context.remote_addr = variables.get("ansible_host", host)
    kind = variables.get("ansible_connection", "local" if host == "localhost" else "ssh")
    connection = connection_loader.get(kind, context, None)
    if connection is None:
        raise AnsibleError(f"there is no connection plugin {kind!r} (host {host})")
    connection.set_options(var_options=connection._resolve_option_variables(variables, action._templar))
    connection._shell.set_options(var_options={})
    if boolean(variables.get("ansible_become", context.become), strict=False):
        plugin = become_loader.get(variables.get("ansible_become_method", context.become_method or "sudo"))
        plugin.set_options(var_options=variables)
        connection.set_become_plugin(plugin)
    return connection
