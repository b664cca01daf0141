"""Builds what is deployed of a project, and says so: `coatcheck build`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.build.images import build_contexts
from coatcheck_infra.build.lambda_zips import build_zips, lock_project
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_specs import LOCAL, Target, image_target, lambda_target
from coatcheck_infra.project.config import Project, ProjectError, find_project
from coatcheck_infra.project.project_template import write_template

DOCKER_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
"""What container tools call the architectures of `[tool.coatcheck.containers]`."""


def build(folder: Path, *, local: bool = False) -> int:
    """Build what is deployed of the project in `folder`, after a check. Prints what was made, or each thing wrong.

    `local` builds it for this machine, which has been checked by `coatcheck up`. Returns the exit code.
    """
    try:
        project = find_project(folder)
        if not (local or _is_sound(project)):
            return 1
        target = LOCAL if local else lambda_target(project.config.python)
        out = build_folder(project, target)
        if not local:
            # first, since it takes no time; `coatcheck up --whole` makes its own of it
            write_template(project, out)
        made = build_zips(project, target, out, print)
    except (BuildError, ProjectError) as error:
        print(f"coatcheck build: {error}", file=sys.stderr)
        return 1
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (made.service, made.worker))
    print(f"built {sizes} ({target}, from {made.lock})")
    return 0


def build_images(folder: Path) -> int:
    """Write what container images of the project in `folder` are built from, after a check. Says how to build them.

    Returns the exit code.
    """
    try:
        project = find_project(folder)
        if not _is_sound(project):
            return 1
        target = image_target(project.config.python, project.config.containers.architecture)
        made = build_contexts(project, build_folder(project, target), print)
    except (BuildError, ProjectError) as error:
        print(f"coatcheck build: {error}", file=sys.stderr)
        return 1
    folders = [os.path.relpath(path) for path in made.folders]
    print(f"built {', '.join(folders)} ({target}, from {made.lock}); make images of them with")
    for path in folders:
        print(f"  docker build --platform {DOCKER_PLATFORMS[target.machine]} --tag NAME {path}")
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
    """Return where what is for `target` is made, as `build/lambda` below the project's root."""
    return project.root / "build" / target.name


def _is_sound(project: Project) -> bool:
    """Check the project, whose problems are printed."""
    checked = subprocess.run(
        [sys.executable, "-m", "coatcheck_infra.project.check", "--deployment", str(project.root)],
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return checked.returncode == 0
