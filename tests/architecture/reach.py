"""Which of our functions can be reached from an entry point, by the names that each one mentions.

A class is reached whole, and so is what a decorator of ours registers (`@router.get`). That is more than what runs,
never less, as long as what is called was mentioned somewhere on the way.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.repository import ROOT

PACKAGES = {
    "coatcheck": ROOT,
    "coatcheck_service": ROOT / "service",
    "coatcheck_worker": ROOT / "worker",
    "jobs": ROOT,
}
"""Ours, and the folder that each is in."""

Symbol = tuple[str, str]
"""A module and the name of something at its top level."""


@dataclass(frozen=True)
class Module:
    """What a module defines at its top level, what it imports by which name, and what its decorators register."""

    name: str
    defined: Mapping[str, list[ast.AST]]
    imported: Mapping[str, str]
    registered: Mapping[str, list[str]] = field(default_factory=dict)


@functools.cache
def module(name: str) -> Module | None:
    """The module of ours of that name, read; None where there is none."""
    file = file_of(name)
    if file is None:
        return None
    tree = ast.parse(file.read_text())
    defined: dict[str, list[ast.AST]] = {}
    registered: dict[str, list[str]] = {}
    for node in tree.body:
        for target in targets(node):
            defined.setdefault(target, []).append(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                registered.setdefault(next(names(decorator), ""), []).append(node.name)
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return Module(name, defined, imported, registered)


def file_of(name: str) -> Path | None:
    """The source of the module `name`, if it is one of ours."""
    source = PACKAGES.get(name.split(".", maxsplit=1)[0])
    if source is None:
        return None
    path = source / name.replace(".", "/")
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None)


def targets(node: ast.AST) -> Iterator[str]:
    """The names that a statement at the top level binds; none for an import."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=bound):
            yield from (one.id for target in bound for one in ast.walk(target) if isinstance(one, ast.Name))
        case ast.AnnAssign(target=ast.Name(name)):
            yield name
        case ast.If() | ast.Try() | ast.With():
            yield from (name for inner in ast.iter_child_nodes(node) for name in targets(inner))


def names(node: ast.AST) -> Iterator[str]:
    """Each name in `node`, and each `name.attribute`."""
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(owner), attr=attribute):
                yield owner
                yield f"{owner}.{attribute}"
            case ast.Name(name):
                yield name


def reached(*entries: Symbol) -> set[Symbol]:
    """Everything of ours that can be reached from `entries`, they included. Raises KeyError where one is not there."""
    found: set[Symbol] = set()
    waiting = list(entries)
    while waiting:
        symbol = waiting.pop()
        if symbol not in found:
            found.add(symbol)
            waiting += mentioned(symbol)
    return found


def nodes(symbol: Symbol) -> list[ast.AST]:
    """The statements that define `symbol`."""
    home = module(symbol[0])
    assert home is not None, symbol
    return list(home.defined[symbol[1]])


@functools.cache
def mentioned(symbol: Symbol) -> list[Symbol]:
    """What of ours the definition of `symbol` mentions, and what was registered with it."""
    home = module(symbol[0])
    assert home is not None, symbol
    said = {name for node in nodes(symbol) for name in names(node)}
    found = [one for name in said if (one := resolved(home, name)) is not None]
    return found + [(home.name, name) for name in home.registered.get(symbol[1], ())]


def resolved(home: Module, name: str) -> Symbol | None:
    """What `name` means in `home`, where that is of ours."""
    owner, _, attribute = name.partition(".")
    if not attribute and owner in home.defined:
        return home.name, owner
    if owner not in home.imported:
        return None
    whole = home.imported[owner]
    module_name, _, last = whole.rpartition(".")
    where = (whole, attribute) if attribute and file_of(whole) else (module_name, last)
    there = module(where[0])
    if there is None or not where[1]:
        return None
    if where[1] in there.defined:
        return where
    # handed on by the module that it was imported from
    return resolved(there, where[1]) if where[1] in there.imported else None
