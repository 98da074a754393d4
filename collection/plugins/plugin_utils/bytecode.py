# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The byte code of modules, for hosts whose Python is the controller's own (docs/decisions/0009).

Types are left out, and where in a line something stands: that is half of the byte code, and of a
defect the line is told and no more.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import sys
import typing as t

from .untyped import untyped

if t.TYPE_CHECKING:
    import types

#: Which Python may run it: the number that changes with every change of the byte code, and whose it is.
KIND = f"{importlib.util.MAGIC_NUMBER.hex()} {sys.implementation.cache_tag}"


def of(sources: t.Mapping[str, str]) -> bytes:
    """The modules of a program, by name."""
    return marshal.dumps({name: _compiled(name, source) for name, source in sources.items()})


def _compiled(name: str, source: str) -> types.CodeType:
    tree = untyped(ast.parse(source))
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr, ast.excepthandler, ast.arg, ast.keyword, ast.alias)):
            node.end_lineno = node.lineno
            node.col_offset = node.end_col_offset = 0
    code: types.CodeType = compile(tree, name, "exec", dont_inherit=True, optimize=0)
    return code
