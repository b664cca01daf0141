"""The zips that Lambda runs, without Docker or Lambda's own Python: `python -m coatcheck_infra.build.lambda_zips`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from coatcheck_infra.build import bytecode, zip_checks, zip_files
from coatcheck_infra.build.toolchain import BuildError, uv
from coatcheck_infra.build.zip_specs import (
    AWS_SERVICES,
    EXCLUDED,
    LAMBDA,
    SERVICE,
    TARGETS,
    TRIM,
    WORKER,
    Target,
    ZipSpec,
)

ROOT = Path(__file__).resolve().parents[3]

BUILD_INPUTS = (
    "lambda_zips.py",
    "bytecode.py",
    "zip_specs.py",
    "zip_files.py",
    "wasm/compile.mjs",
    "wasm/package-lock.json",
)
"""Files of this folder that decide what a zip contains, besides the files that go into it."""


SOURCE_ROOTS = ("service", "worker")
"""Folders that contain a package but are not packages themselves."""


@dataclass(frozen=True)
class Zips:
    """The paths of the zips."""

    service: Path
    worker: Path


def build_zips(target: Target, out: Path) -> Zips:
    """Build and check service.zip and worker.zip for `target` in the directory `out`.

    A zip with unchanged inputs is not built again. Dependencies are kept in a zip of their own below `out`, so that
    a change of our code costs seconds. What is not in uv's cache is downloaded. Raises BuildError.
    """
    return Zips(service=_build_zip(SERVICE, target, out), worker=_build_zip(WORKER, target, out))


def _build_zip(spec: ZipSpec, target: Target, out: Path) -> Path:
    requirements = ROOT / "requirements" / f"{spec.name}.txt"
    installed = zip_files.digest(
        repr(target), [requirements, *(Path(__file__).parent / name for name in BUILD_INPUTS)], ROOT
    )
    dependencies = out / "dependencies" / f"{spec.name}.zip"
    if zip_files.source_digest(dependencies) != installed:
        with _staging_directory() as stage:
            _install(requirements, target, stage)
            bytecode.compile_all(stage, target.python)
            zip_files.write(dependencies, stage, installed)
    own = _own_files(spec)
    zip_path = out / f"{spec.name}.zip"
    complete = zip_files.digest(installed, own, ROOT)
    if zip_files.source_digest(zip_path) != complete:
        with _staging_directory() as stage:
            _copy(own, stage)
            bytecode.compile_all(stage, target.python)
            zip_files.write(zip_path, stage, complete, on=dependencies)
        try:
            zip_checks.check_zip(zip_path, spec, target)
        except BuildError:
            zip_path.unlink()
            raise
    return zip_path


@contextmanager
def _staging_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coatcheck-build-") as stage:
        yield Path(stage)


def _install(requirements: Path, target: Target, stage: Path) -> None:
    platform = ("--python-platform", target.platform) if target.platform else ()
    uv(
        *("pip", "install", "--quiet", "--python", sys.executable, "--target", str(stage)),
        *("--python-version", target.python, *platform, "--only-binary", ":all:"),
        *("--require-hashes", "--requirement", str(requirements)),
    )
    unused = [path for pattern in TRIM for path in stage.glob(pattern)]
    services = [path for path in stage.glob("boto*/data/*") if path.is_dir()]
    for path in (*unused, *(path for path in services if path.name not in AWS_SERVICES)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _own_files(spec: ZipSpec) -> list[Path]:
    return [
        path
        for package in spec.packages
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file()
        and path.parent.name != "__pycache__"
        and not any(path.is_relative_to(ROOT / excluded) for excluded in EXCLUDED)
    ]


def _path_in_zip(file: Path) -> Path:
    """Return the path in the zip: `service/coatcheck_service/app.py` becomes `coatcheck_service/app.py`."""
    path = file.relative_to(ROOT)
    return path.relative_to(path.parts[0]) if path.parts[0] in SOURCE_ROOTS else path


def _copy(files: list[Path], stage: Path) -> None:
    for file in files:
        copy = stage / _path_in_zip(file)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def main() -> str | None:
    """Build the zips and print their sizes. Returns one line on what went wrong, or None."""
    arguments = argparse.ArgumentParser(prog="python -m coatcheck_infra.build.lambda_zips", description=__doc__)
    arguments.add_argument("--target", choices=TARGETS, default=LAMBDA.name)
    target = TARGETS[arguments.parse_args().target]
    began = time.monotonic()
    try:
        made = build_zips(target, ROOT / "build" / target.name)
    except BuildError as error:
        return f"build: {error}"
    for path in (made.service, made.worker):
        with ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB, {unpacked / 1e6:.1f} MB unpacked")
    print(f"built and checked in {time.monotonic() - began:.1f} s")
    return None


if __name__ == "__main__":
    sys.exit(main())
