"""Builds the zips that Lambda runs, without Docker or Lambda's own Python."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from coatcheck_infra.build import bytecode, zip_checks, zip_files
from coatcheck_infra.build.lock import REMEDIES, UV_LOCK, Lock, make_lock, read_lock, select
from coatcheck_infra.build.owner_code import OwnerCode, owner_code
from coatcheck_infra.build.programs import BuildError, CommandError, uv
from coatcheck_infra.build.requirements import zip_requirements
from coatcheck_infra.build.zip_files import SourceFile
from coatcheck_infra.build.zip_specs import (
    API_IMAGE,
    AWS_SERVICES,
    EXCLUDED,
    SERVICE,
    STREAMED_SERVICE,
    TRIM,
    WORKER,
    Target,
    ZipSpec,
)
from coatcheck_infra.project.config import Project

BUILD_INPUTS = (
    "lambda_zips.py",
    "bytecode.py",
    "zip_specs.py",
    "zip_files.py",
    "wasm/compile.mjs",
    "wasm/python3.13/package-lock.json",
    "wasm/python3.14/package-lock.json",
)
"""Files of this folder that decide what a zip contains, besides the files that go into it."""


@dataclass(frozen=True)
class Zips:
    """The paths of the zips, and the name of the lock that they are made from."""

    service: Path
    worker: Path
    lock: str


def build_zips(project: Project, target: Target, out: Path, write_line: Callable[[str], None]) -> Zips:
    """Build and check service.zip and worker.zip of `project` for `target` in the directory `out`.

    Where the project has no lock, one is made. `write_line` is told that, and what takes a while. A zip with unchanged
    inputs is not built again. Dependencies are kept in a zip of their own below `out`, so that a change of code costs
    seconds. What is not in uv's cache is downloaded. Raises BuildError.
    """
    build = start_build(project, target, out, write_line)
    # this machine has no layers, and so no adapter; with an image, the zip is that of the other functions
    api = project.config.api
    service = STREAMED_SERVICE if api.streaming and target.platform and not api.adapter_image else SERVICE
    return Zips(service=build.make(service), worker=build.make(WORKER), lock=build.lock.name)


def start_build(project: Project, target: Target, out: Path, write_line: Callable[[str], None]) -> ZipBuild:
    """Read what the zips of `project` are made from, as `build_zips` does. Raises BuildError."""
    lock = read_lock(project.root)
    if lock is None:
        lock = lock_project(project)
        write_line(f"made {lock.name}: commit it")
    return ZipBuild(project, target, out, lock, owner_code(project, local=target.platform is None), write_line)


def lock_project(project: Project, constraints: Sequence[Path] = ()) -> Lock:
    """Make the project's requirements.lock, or bring it up to date. Raises BuildError, also if it has a uv.lock."""
    if (project.root / UV_LOCK).exists():
        raise BuildError(f"the project has a {UV_LOCK}, which the build reads: {REMEDIES[UV_LOCK]}")
    wanted = {one for spec in (SERVICE, WORKER, API_IMAGE) for one in zip_requirements(spec, project.pyproject)}
    requires_python = project.pyproject.get("project", {}).get("requires-python", "")
    return make_lock(project.root, sorted(wanted), requires_python, constraints, python=project.config.python)


@dataclass(frozen=True)
class ZipBuild:
    """Makes the zips of a project for one target, below `out`."""

    project: Project
    target: Target
    out: Path
    lock: Lock
    code: OwnerCode
    write_line: Callable[[str], None]

    def make(self, spec: ZipSpec) -> Path:
        """Return the path of the zip, which is made and checked unless it is there. Raises BuildError."""
        dependencies = self._dependencies(spec)
        own = [*(file for package in spec.packages for file in our_files(package)), *self.code.files]
        path = self.out / f"{spec.name}.zip"
        complete = zip_files.digest(str(zip_files.source_digest(dependencies)), own)
        if zip_files.source_digest(path) != complete:
            _refuse_collisions(dependencies, self.code)
            with _staging_directory() as stage:
                zip_files.copy(own, stage)
                bytecode.compile_all(stage, self.target.python)
                zip_files.write(path, stage, complete, on=dependencies)
            try:
                zip_checks.check_zip(path, spec, self.target, self.project, self.code)
            except BuildError:
                path.unlink()
                raise
        return path

    def _dependencies(self, spec: ZipSpec) -> Path:
        """Make the zip of what other makers made, unless it is there."""
        selected = self._selected(spec)
        without_header = selected.read_text().partition("\n")[2]
        here = Path(__file__).parent
        inputs = [SourceFile(PurePosixPath(name), here / name) for name in BUILD_INPUTS]
        installed = zip_files.digest(f"{self.target!r}\0{without_header}", inputs)
        dependencies = self.out / "dependencies" / f"{spec.name}.zip"
        if zip_files.source_digest(dependencies) != installed:
            with _staging_directory() as stage:
                self.write_line(f"installing the packages of {spec.name}.zip")
                install_packages(selected, self.target, stage, self.project.root)
                bytecode.compile_all(stage, self.target.python, strict=False)
                zip_files.write(dependencies, stage, installed)
        return dependencies

    def _selected(self, spec: ZipSpec) -> Path:
        """Write what of the lock goes into the zip, with the digest of its inputs: resolving again takes seconds."""
        requirements = zip_requirements(spec, self.project.pyproject)
        inputs = zip_files.digest("\0".join([repr(self.target), self.lock.text, *requirements]), ())
        path = self.out / "dependencies" / f"{spec.name}.txt"
        header = f"# {inputs}\n"
        if not (path.exists() and path.read_text().startswith(header)):
            selected = select(self.lock, requirements, self.target, self.project.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(header + selected)
        return path


@contextmanager
def _staging_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coatcheck-build-") as stage:
        yield Path(stage)


def install_packages(requirements: Path, target: Target, stage: Path, root: Path) -> None:
    """Install hash-pinned requirements for `target` into `stage`, without what no function needs.

    The settings of uv in the pyproject of `root` apply. Raises BuildError.
    """
    platform = ("--python-platform", target.platform) if target.platform else ()
    try:
        uv(
            *("pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(stage.resolve())),
            *("--python-version", target.python, *platform, "--only-binary", ":all:"),
            *("--require-hashes", "--requirement", str(requirements.resolve())),
            cwd=root,
        )
    except CommandError as failed:
        raise BuildError(f"a package cannot be installed: {failed.reason}") from failed
    unused = [path for pattern in TRIM for path in stage.glob(pattern)]
    services = [path for path in stage.glob("boto*/data/*") if path.is_dir()]
    for path in (*unused, *(path for path in services if path.name not in AWS_SERVICES)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def our_files(package: str) -> list[SourceFile]:
    """Return the files of our own `package` as it is installed, in a checkout or not, that a function needs."""
    folder = Path(str(import_module(package).__file__)).parent
    return [
        file
        for file in zip_files.code_files(folder, PurePosixPath(package))
        if not any(file.path.is_relative_to(excluded) for excluded in EXCLUDED)
    ]


def _refuse_collisions(dependencies: Path, code: OwnerCode) -> None:
    with ZipFile(dependencies) as archive:
        taken = {name.partition("/")[0].removesuffix(".py") for name in archive.namelist()}
    if both := sorted(taken & code.packages):
        raise BuildError(
            f"{', '.join(both)}: a package of that name is installed by a dependency: rename the project's"
        )
