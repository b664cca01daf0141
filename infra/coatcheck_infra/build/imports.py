"""Reads which modules a source file imports, without running it."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from dataclasses import dataclass
from importlib.util import resolve_name

_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError"})
_TYPE_CHECKING = frozenset({"TYPE_CHECKING", "typing.TYPE_CHECKING"})


@dataclass(frozen=True)
class FoundImport:
    """An import: of which module, in which line, inside a function or not, and whether the code can do without it."""

    module: str
    line: int
    in_function: bool = False
    optional: bool = False


def find_imports(source: str, package: str, modules: Container[str] = ()) -> Iterator[FoundImport]:
    """Yield the imports of a module of `package` ("" at the top).

    `from a import b` imports a, and also a.b if that is in `modules`. Imports for type checkers alone are left out. An
    import is optional if the code catches its ImportError. Raises SyntaxError.
    """
    for node, in_function, optional in _nodes_that_run(ast.parse(source), in_function=False, optional=False):
        for module in _imported(node, package, modules):
            yield FoundImport(module, node.lineno, in_function, optional)


def _imported(node: ast.Import | ast.ImportFrom, package: str, modules: Container[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    relative = "." * node.level + (node.module or "")
    if not node.level or package:
        module = resolve_name(relative, package)
        yield module
        yield from (inner for alias in node.names if (inner := f"{module}.{alias.name}") in modules)


def _nodes_that_run(
    tree: ast.AST, *, in_function: bool, optional: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in _TYPE_CHECKING:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, in_function, optional
        yield from _nodes_that_run(
            node,
            in_function=in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda),
            optional=optional or (isinstance(node, ast.Try) and any(map(_catches_import_errors, node.handlers))),
        )


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    caught = ast.walk(handler.type) if handler.type else ()
    return any(isinstance(node, ast.Name) and node.id in _IMPORT_ERRORS for node in caught)
