"""The zips that Lambda runs: `python -m infra.build`, without Docker and without Lambda's own Python."""

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

from infra import bytecode, verify, zips
from infra.parts import AWS_SERVICES, LAMBDA, LEFT_OUT, SERVICE, TARGETS, TRIM, WORKER, Part, Target
from infra.tools import BuildError, uv

ROOT = Path(__file__).resolve().parent.parent

MAKERS = ("build.py", "bytecode.py", "parts.py", "zips.py", "wasm/compile.mjs", "wasm/package-lock.json")
"""Files of infra/ that decide what a zip holds, besides what goes into it."""


@dataclass(frozen=True)
class Zips:
    """Where the zips are."""

    service: Path
    worker: Path


def build_zips(target: Target, out: Path) -> Zips:
    """Make and check service.zip and worker.zip for `target` in the directory `out`.

    What would come out the same is left as it is. Dependencies are kept in a zip of their own below `out`, so that
    a change of our code costs seconds; what uv's cache does not hold comes over the network. Raises BuildError.
    """
    return Zips(service=_built(SERVICE, target, out), worker=_built(WORKER, target, out))


def _built(part: Part, target: Target, out: Path) -> Path:
    requirements = ROOT / "requirements" / f"{part.name}.txt"
    installed = zips.digest(repr(target), [requirements, *(ROOT / "infra" / name for name in MAKERS)], ROOT)
    dependencies = out / "dependencies" / f"{part.name}.zip"
    if zips.made_from(dependencies) != installed:
        with _stage() as stage:
            _install(requirements, target, stage)
            bytecode.compile_all(stage, target.python)
            zips.write(dependencies, stage, installed)
    own = _own_files(part)
    whole = out / f"{part.name}.zip"
    complete = zips.digest(installed, own, ROOT)
    if zips.made_from(whole) != complete:
        with _stage() as stage:
            _copy(own, stage)
            bytecode.compile_all(stage, target.python)
            zips.write(whole, stage, complete, on=dependencies)
        try:
            verify.check(whole, part, target)
        except BuildError:
            whole.unlink()
            raise
    return whole


@contextmanager
def _stage() -> Iterator[Path]:
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


def _own_files(part: Part) -> list[Path]:
    return [
        path
        for package in part.packages
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file()
        and path.parent.name != "__pycache__"
        and not any(path.is_relative_to(ROOT / left_out) for left_out in LEFT_OUT)
    ]


def _copy(files: list[Path], stage: Path) -> None:
    for file in files:
        copy = stage / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def main() -> str | None:
    """Build and say what came out; one line on what went wrong, where something did."""
    arguments = argparse.ArgumentParser(prog="python -m infra.build", description=__doc__)
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
