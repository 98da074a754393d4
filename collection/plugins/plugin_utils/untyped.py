# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module without its types, which are for people and for the checkers here (docs/decisions/0009).

A host that runs it need not load `typing`, nor make a type anew for each function that names one. What
is left does the same: a named tuple is made by `collections`, as `typing` itself makes it.
"""

from __future__ import annotations

import ast
import typing as t

_TYPING = "typing"
_TUPLE = "NamedTuple"
_NEVER = "TYPE_CHECKING"


def untyped(tree: ast.Module) -> ast.Module:
    """Takes the types out of a module; of `typing` it then imports what it still uses, mostly nothing."""
    names = {alias.name for node in tree.body if _imports_typing(node) for alias in node.names}
    bare = t.cast("ast.Module", _Bare(names).visit(tree))
    used = {node.id for node in ast.walk(bare) if isinstance(node, ast.Name)}
    wanted = {"typing": names & used, "collections": {"namedtuple"} & used}
    bare.body = [
        one for node in bare.body for one in (_imports(node, wanted) if _imports_typing(node) else [node])
    ]
    return ast.fix_missing_locations(bare)


def _imports_typing(node: ast.AST) -> t.TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and node.module == _TYPING


def _imports(node: ast.AST, wanted: dict[str, set[str]]) -> list[ast.stmt]:
    """What stands in the place of an import from `typing`."""
    found = [
        ast.ImportFrom(module, [ast.alias(name) for name in sorted(names)], 0)
        for module, names in wanted.items()
        if names
    ]
    return [ast.copy_location(one, node) for one in found]


class _Bare(ast.NodeTransformer):
    """Takes types out; `names` are what a module imports from `typing`."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in [*every, *filter(None, (node.args.vararg, node.args.kwarg))]:
            argument.annotation = None
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """A type with a name of its own is nothing; the name stays, for those who import it."""
        if self._is_type(node.value):
            node.value = ast.copy_location(ast.Constant(None), node.value)
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        if isinstance(node.test, ast.Name) and node.test.id == _NEVER and not node.orelse:
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        if any(isinstance(base, ast.Name) and base.id == _TUPLE for base in node.bases):
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            node.bases = [_tuple(node, fields)]
            slots = ast.Assign([ast.Name("__slots__", ast.Store())], ast.Tuple([], ast.Load()))
            rest = [one for one in node.body if not isinstance(one, ast.AnnAssign)]
            node.body = [ast.copy_location(slots, node), *rest]
        self.generic_visit(node)
        return node

    def _is_type(self, value: ast.expr) -> bool:
        """`Any`, `Dict[str, int]` or `TypeVar("Item")`."""
        made_of = value
        if isinstance(value, ast.Subscript):
            made_of = value.value
        elif isinstance(value, ast.Call):
            made_of = value.func
        return isinstance(made_of, ast.Name) and made_of.id in self._names


def _tuple(node: ast.ClassDef, fields: list[ast.AnnAssign]) -> ast.expr:
    """What `typing.NamedTuple` makes of the fields of a class."""
    names = [ast.Constant(field.target.id) for field in fields if isinstance(field.target, ast.Name)]
    defaults = [field.value for field in fields if field.value is not None]
    arguments: list[ast.expr] = [ast.Constant(node.name), ast.Tuple(list(names), ast.Load())]
    more = [ast.keyword("defaults", ast.Tuple(defaults, ast.Load()))]
    made = ast.Call(ast.Name("namedtuple", ast.Load()), arguments, more)
    return ast.copy_location(made, node)
