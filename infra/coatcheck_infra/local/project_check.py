"""Runs the check of the project in a process of its own: it imports the project's code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coatcheck_infra.local.processes import ProcessManager, ProcessSpec, describe_exit
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.project.config import Project

CHECK_LIMIT = 60.0


@dataclass(frozen=True)
class CheckedProject:
    """The names of the served job types by lane, the project's files that the API imports, and lines to show."""

    served: Mapping[str, Sequence[str]]
    api_files: frozenset[Path]
    warnings: Sequence[str] = ()


class CheckFailed(Exception):
    """The project cannot be served. `problems` has a line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


async def check_project(
    project: Project, process_manager: ProcessManager, env: Mapping[str, str], scratch: Path
) -> CheckedProject:
    """Check the project, with the job types that are served locally alone. `scratch` is a folder for its report.

    Raises CheckFailed.
    """
    report = scratch / "check.json"
    report.unlink(missing_ok=True)
    options = ("--local", "--report", str(report), str(project.root))
    spec = ProcessSpec("up", (sys.executable, "-m", "coatcheck_infra.project.check", *options), env)
    lines: list[str] = []
    running = await process_manager.start(spec, lines.append)
    try:
        status = await asyncio.wait_for(running.wait(), CHECK_LIMIT)
    except TimeoutError:
        raise CheckFailed([f"the check of the project took longer than {CHECK_LIMIT:g} s"]) from None
    finally:
        if running.status is None:
            await running.stop()
    if not report.exists():
        raise CheckFailed([*lines[-5:], f"the check of the project {describe_exit(status)}"])
    found = json.loads(report.read_bytes())
    if found["problems"]:
        raise CheckFailed(found["problems"])
    served: dict[str, list[str]] = defaultdict(list)
    for one in found["served"]:
        served[one["lane"]].append(one["name"])
    return CheckedProject(served, frozenset(map(Path, found["api_files"])), found["warnings"])


async def check_at_start(
    project: Project, process_manager: ProcessManager, env: Mapping[str, str], scratch: Path
) -> CheckedProject:
    """Check the project as `check_project` does. Raises `UpError`; several problems are lines on the terminal."""
    try:
        return await check_project(project, process_manager, env, scratch)
    except CheckFailed as failed:
        *others, last = failed.problems
        if not others:
            raise UpError(last) from None
        write_line = process_manager.terminal.line_writer("up")
        for problem in failed.problems:
            write_line(problem)
        raise UpError(f"{len(failed.problems)} things are wrong with the project; see the lines above") from None
