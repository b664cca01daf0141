"""Finds modules with job types that no setting names: they would not exist, and nobody would say so."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from coatcheck.authoring.loading import Declaration
from coatcheck_infra.project.config import Project

DECORATOR, CLASS = "job", "JobType"


def unnamed_modules(project: Project, declared: Sequence[Declaration]) -> Iterator[str]:
    """Yield a line for each module beside those of the project's job types that has job types and is not named."""
    config = project.config
    named = {*config.jobs, *config.local.jobs, *(one.module for one in declared)}
    for folder in sorted({project.root / module.replace(".", "/") for module in named}):
        for file in sorted(folder.parent.glob("*.py")):
            module = ".".join(file.relative_to(project.root).with_suffix("").parts)
            if folder.parent != project.root and module not in named and _has_job_types(file):
                named.add(module)
                yield f"{file.relative_to(project.root)} has job types, and `jobs` in [tool.coatcheck] lacks {module}"


def _has_job_types(file: Path) -> bool:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(_makes_job_type(node) for node in tree.body)


def _makes_job_type(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            return any(_calls(one, DECORATOR) for one in decorators)
        case ast.Assign(value=value) | ast.AnnAssign(value=value) if value is not None:
            return _calls(value, CLASS)
    return False


def _calls(node: ast.expr, name: str) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=called)) | ast.Call(func=ast.Attribute(attr=called)):
            return called == name
    return False
