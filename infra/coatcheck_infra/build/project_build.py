"""Builds what is deployed of a project, and says so: `coatcheck build`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.build.lambda_zips import build_zips, lock_project
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_specs import LAMBDA, Target
from coatcheck_infra.project.config import Project, ProjectError, find_project
from coatcheck_infra.project.project_template import write_template


def build(folder: Path, target: Target = LAMBDA) -> int:
    """Build what is deployed of the project in `folder`, after a check. Prints what was made, or each thing wrong.

    Returns the exit code.
    """
    try:
        project = find_project(folder)
        if not _is_sound(project, target):
            return 1
        out = build_folder(project, target)
        if target is LAMBDA:
            # first, since it takes no time; `coatcheck up --whole` makes its own of it
            write_template(project, out)
        made = build_zips(project, target, out, print)
    except (BuildError, ProjectError) as error:
        print(f"coatcheck build: {error}", file=sys.stderr)
        return 1
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (made.service, made.worker))
    print(f"built {sizes} ({target}, from {made.lock})")
    return 0


def make_lock(folder: Path, constraints: Sequence[Path] = ()) -> int:
    """Bring requirements.lock of the project in `folder` up to date. Returns the exit code."""
    try:
        project = find_project(folder)
        print(f"made {lock_project(project, constraints).name}: commit it")
    except (BuildError, ProjectError) as error:
        print(f"coatcheck build: {error}", file=sys.stderr)
        return 1
    return 0


def build_folder(project: Project, target: Target) -> Path:
    """Return where the zips of `target` are made: `build/lambda` below the project's root."""
    return project.root / "build" / target.name


def _is_sound(project: Project, target: Target) -> bool:
    """Check the project, whose problems are printed. Only `coatcheck up` uses other targets, and it has checked."""
    if target is not LAMBDA:
        return True
    checked = subprocess.run(
        [sys.executable, "-m", "coatcheck_infra.project.check", "--deployment", str(project.root)],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return checked.returncode == 0
