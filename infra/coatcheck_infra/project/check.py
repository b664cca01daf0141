"""Checks a project: `python -m coatcheck_infra.project.check [--local] [--report FILE] [FOLDER]`.

It imports the project's modules. So `coatcheck up`, each reload and the build run it as a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coatcheck.authoring.loading import Declaration, JobTypeError, check_handler, declarations, load_module
from coatcheck_infra.project.api_imports import ForbiddenImportError, as_in_the_api
from coatcheck_infra.project.config import Project, ProjectError, find_project
from coatcheck_infra.project.deployment_check import deployment_problems
from coatcheck_infra.project.iam_statements import read_statements
from coatcheck_infra.project.plain_secrets import plain_secrets
from coatcheck_infra.project.template_handlers import check_handlers
from coatcheck_infra.project.unnamed_modules import unnamed_modules


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found: the job types, and a line for each thing that is wrong.

    `warnings` are lines on what may be meant so. `api_files` are the project's files that the API imports; others are
    of the handlers alone.
    """

    declared: Sequence[Declaration]
    problems: Sequence[str]
    warnings: Sequence[str] = ()
    api_files: Sequence[str] = ()

    def as_json(self) -> str:
        """Return it as JSON, for the process that ordered the check."""
        served = [{"name": one.job_type.name, "lane": one.job_type.lane} for one in self.declared]
        lines = {"problems": [*self.problems], "warnings": [*self.warnings], "api_files": [*self.api_files]}
        return json.dumps({"served": served, **lines})


def check_project(project: Project, *, local: bool = False, deployment: bool = False) -> Report:
    """Import the project's modules and check its job types.

    With `local` also those that only `up` serves; with `deployment` also what matters on AWS alone.
    """
    sys.path.insert(0, str(project.root))
    modules = [*project.config.jobs, *(project.config.local.jobs if local else ())]
    importable, problems = [], []
    for module in modules:
        # one by one: a problem in one does not hide those of the next
        try:
            with as_in_the_api(project.root, project.pyproject):
                load_module(module)
            importable.append(module)
        except JobTypeError as error:
            forbidden = isinstance(error.__cause__, ForbiddenImportError)
            problems.append(str(error.__cause__) if forbidden else str(error))
    api_files = _loaded_below(project.root)
    try:
        declared = declarations(importable)
    except JobTypeError as error:
        return Report((), [*problems, str(error)], (), api_files)
    if not declared and not problems:
        problems.append(f"no job types in {', '.join(modules)}: make one with @job")
    problems += [problem for one in declared for problem in _problems(one, project)]
    problems += _handler_problems(project)
    if deployment and not problems:
        problems += deployment_problems(project, declared)
    warnings = [*unnamed_modules(project, declared), *plain_secrets(project.config.handlers.environment)]
    return Report(declared, problems, warnings, api_files)


def _loaded_below(root: Path) -> list[str]:
    files = [module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
    return sorted(file for file in files if file and Path(file).is_relative_to(root))


def _handler_problems(project: Project) -> Iterator[str]:
    try:
        check_handlers(project.config.handlers)
        read_statements(project)
    except ProjectError as error:
        yield str(error)


def _problems(declared: Declaration, project: Project) -> Iterator[str]:
    job_type, lanes = declared.job_type, project.config.lanes
    if job_type.lane not in lanes:
        yield (
            f'{declared.where} {job_type.name}: lane "{job_type.lane}" is not in [tool.coatcheck.lanes] '
            f"({', '.join(sorted(lanes))})"
        )
    try:
        check_handler(job_type)
    except JobTypeError as error:
        yield str(error) if error.located else f"{declared.where} {error}"


def main() -> int:
    """Print the problems of a project, or what it serves. Returns 1 if there are problems, 2 if there is no project."""
    arguments = argparse.ArgumentParser(prog="python -m coatcheck_infra.project.check")
    arguments.add_argument("folder", nargs="?", type=Path, default=Path())
    arguments.add_argument("--local", action="store_true", help="check the job types of [tool.coatcheck.local] too")
    arguments.add_argument("--report", type=Path, metavar="FILE", help="write what was found to a file, as JSON")
    arguments.add_argument("--deployment", action="store_true", help="check what matters on AWS alone, too")
    options = arguments.parse_args()
    try:
        project = find_project(options.folder)
    except ProjectError as error:
        print(error, file=sys.stderr)
        return 2
    os.chdir(project.root)
    report = check_project(project, local=options.local, deployment=options.deployment)
    if options.report:
        options.report.write_text(report.as_json())
    for line in (*report.problems, *report.warnings):
        print(line, file=sys.stderr)
    if report.problems:
        return 1
    for one in report.declared:
        print(f"{one.job_type.name} (lane {one.job_type.lane})  {one.where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
