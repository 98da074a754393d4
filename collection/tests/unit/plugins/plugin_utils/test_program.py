# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to a host is the program as it is written, without what only people read."""

from __future__ import annotations

import ast
import inspect
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import program as edge
from ansible_collections.notafter.tls.plugins.module_utils.host import services
from ansible_collections.notafter.tls.plugins.plugin_utils import program
from ansible_collections.notafter.tls.plugins.plugin_utils.untyped import untyped

HOST = Path(edge.__file__).parent


def test_only_what_an_operation_may_import_goes_to_the_host() -> None:
    probe, scan = program.needed("probe"), program.needed("scan")
    assert "host.handshake" in probe
    assert not [name for name in probe if name.startswith("host.services")]
    assert {"host.services.nginx", "host.services._nginx_syntax", "host.pem"} <= set(scan)
    assert "host.acme_sh" not in scan


@pytest.mark.parametrize("operation", edge.OPERATIONS)
def test_every_module_that_an_operation_names_goes_with_it(operation: str) -> None:
    sent = program.needed(operation)
    for name in sent:
        place = HOST.joinpath(*name.split(".")[1:])
        source = (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
        package = name if place.is_dir() else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1]])
                base = f"{above}.{node.module}" if node.module else above
                named = {base} | {f"{base}.{alias.name}" for alias in node.names}
                assert {one for one in named if one in program.modules()} <= set(sent)


def statements(source: str) -> list[str]:
    """A program as Python understands it, with its lines; docstrings and types of results do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0].value = ast.Constant(0)
    lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    return [ast.dump(tree), *map(str, lines)]


@pytest.mark.parametrize("path", sorted(HOST.rglob("*.py")), ids=lambda path: path.name)
def test_a_host_gets_the_same_program_without_what_only_people_read(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    sent = program.lean(source)
    assert statements(sent) == statements(source)
    assert len(sent) < len(source)


def test_where_a_kind_of_server_may_be_is_what_its_class_says() -> None:
    heads = program.heads(program.needed("scan"))
    assert {"apache", "haproxy", "nginx", "postfix"} <= set(heads)
    for name, head in heads.items():
        kind = services.get(name)
        assert head == {"process_names": kind.process_names, "traces": kind.traces}


def names_of_typing(tree: ast.Module) -> set[str]:
    """What a module imports from `typing`."""
    nodes = [one for one in tree.body if isinstance(one, ast.ImportFrom) and one.module == "typing"]
    return {alias.name for node in nodes for alias in node.names}


@pytest.mark.parametrize("path", sorted(HOST.rglob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_host_program_needs_typing_once_its_types_are_out(path: Path) -> None:
    assert names_of_typing(untyped(ast.parse(path.read_text(encoding="utf-8")))) == set()


TYPED = """
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, cast
if TYPE_CHECKING:
    from nowhere import Nothing
Warn = Callable[[str], None]
class Place(NamedTuple):
    'A place.'
    path: str
    line: Optional[int] = 7
    names: "List[Nothing]" = ()
    def told(self, *more: str, **rest: Any) -> str:
        found: Dict[str, int] = {"a": 1}
        left: int
        return "%s:%s %s %s" % (self.path, self.line, found, more)
class Further(Place):
    pass
def made(path: str, warn: "Warn" = None) -> Place:
    def inner(x: int) -> int:
        return cast(int, x)
    return Place(path, inner(8))._replace(names=[1])
"""


def test_without_its_types_a_module_does_what_it_did() -> None:
    typed: dict[str, t.Any] = {"__name__": "typed"}
    exec(compile(TYPED, "typed", "exec"), typed)  # noqa: S102 - our own text, from above
    bare: dict[str, t.Any] = {"__name__": "bare"}
    tree = untyped(ast.parse(TYPED))
    exec(compile(tree, "bare", "exec"), bare)  # noqa: S102 - the same
    assert names_of_typing(tree) == {"cast"}, "what is used stays"
    for one in (typed, bare):
        made = one["made"]("/x")
        assert (made, made.told("a")) == (("/x", 8, [1]), "/x:8 {'a': 1} ('a',)")
        assert one["Place"]._fields == ("path", "line", "names")
        assert one["Place"]("/y") == ("/y", 7, ())
        assert repr(one["Further"]("/y")) == "Further(path='/y', line=7, names=())"
        assert not hasattr(made, "__dict__")
    assert bare["Warn"] is None
    assert inspect.signature(bare["made"]).return_annotation is inspect.Signature.empty
    assert issubclass(bare["Place"], tuple)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[program.Kept]:
    """What is kept of an operation, in a folder of the test's own."""
    monkeypatch.setattr(program, "_HERE", tmp_path / "program.py")
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    program.prepare.cache_clear()
    yield program.Kept("probe")
    program.prepare.cache_clear()


def test_what_was_made_for_an_operation_is_kept_and_not_made_again(
    kept: program.Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = program.prepare("probe")
    assert kept.text() == first
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name], "nothing half-made is left"
    program.prepare.cache_clear()
    monkeypatch.setattr(program, "_made", lambda _operation: pytest.fail("it was made again"))
    assert program.prepare("probe") == first


@pytest.mark.parametrize("content", ["", "another\n", "another\nNAMES = []\n", "\xe9", None])
def test_what_is_kept_and_not_true_any_more_is_made_again(kept: program.Kept, content: str | None) -> None:
    kept.path.parent.mkdir()
    if content is None:
        kept.path.mkdir()
    else:
        kept.path.write_text(content, encoding="latin-1")
    assert program.prepare("probe").startswith("NAMES = ['host'")
    assert (kept.text() is not None) == (content is not None)


def test_with_a_change_in_one_module_what_was_kept_is_not_true_any_more(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1\n")
    (tmp_path / "two.py").write_text("")
    before = program.digest_of([tmp_path / "one.py", tmp_path / "two.py"])
    assert program.digest_of([tmp_path / "one.py", tmp_path / "two.py"]) == before
    (tmp_path / "one.py").write_text("a = 2\n")
    assert program.digest_of([tmp_path / "one.py", tmp_path / "two.py"]) != before


def test_no_byte_code_is_kept_where_python_is_told_to_keep_none(
    kept: program.Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    program.prepare("probe")
    assert not kept.path.exists()


@pytest.mark.parametrize("operation", ["../../etc/passwd", "", None, 7, "PROBE"])
def test_an_operation_that_is_none_has_no_file(kept: program.Kept, operation: object) -> None:
    assert program.prepare(operation)
    assert not kept.path.parent.exists()
