"""The folders that images are built from hold what the Dockerfile copies, and it says what the proof carries out."""

import importlib.util
import stat
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from coatcheck_infra.build.images import (
    API,
    EPOCH,
    WORKER,
    Image,
    build_contexts,
    dockerfile,
    write_context,
)
from coatcheck_infra.build.owner_code import OwnerCode
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.zip_checks import find_faults
from coatcheck_infra.build.zip_specs import ZipSpec, image_target
from coatcheck_infra.container_programs import HEALTH_FILE
from coatcheck_infra.project.config import ContainersConfig, find_project
from tests.container.dockerfile import UnknownInstruction, read_dockerfile
from tests.container.rootfs import build_image, inside
from tests.repository import ROOT
from tests.unit.build.owner_project import make_project

BASE = f"python:3.13-slim-trixie@sha256:{'a' * 64}"
TINY = ZipSpec("tiny", packages=("tiny",), groups=(), handlers=("tiny.main.handler",), runs_jobs=False)


def text_of(image: Image) -> str:
    return dockerfile(image, BASE, ["jobs.words", "jobs.images"])


@pytest.mark.parametrize("image", [API, WORKER], ids=lambda image: image.name)
def test_an_image_is_run_by_nobody_on_a_pinned_base(image: Image) -> None:
    config = read_dockerfile(text_of(image))
    assert config.base == BASE
    assert all(int(number) > 0 for number in config.user.split(":"))
    assert config.stop_signal == "SIGTERM"
    assert config.environment["COATCHECK_JOBS"] == "jobs.words,jobs.images"
    assert config.environment["HOME"] not in config.volumes


@pytest.mark.parametrize("image", [API, WORKER], ids=lambda image: image.name)
def test_what_an_image_starts_is_there(image: Image) -> None:
    config = read_dockerfile(text_of(image))
    for command in (config.entrypoint, config.healthcheck):
        assert command[:2] == ["python", "-m"]
        assert importlib.util.find_spec(command[2]) is not None
    for handler in image.spec.handlers:
        assert importlib.util.find_spec(handler.rpartition(".")[0]) is not None


def test_the_worker_and_its_health_check_mean_the_same_file() -> None:
    config = read_dockerfile(text_of(WORKER))
    assert HEALTH_FILE in config.entrypoint
    assert HEALTH_FILE in config.healthcheck
    assert any(Path(HEALTH_FILE).is_relative_to(volume) for volume in config.volumes)


def test_an_image_that_is_for_lambda_too_has_the_adapter_where_lambda_looks_for_extensions() -> None:
    adapter = f"public.ecr.aws/awsguru/aws-lambda-adapter:1.1.0@sha256:{'b' * 64}"
    config = read_dockerfile(dockerfile(API, BASE, ["jobs.words"], adapter))
    assert config.copies_of_images == [(adapter, "/lambda-adapter", "/opt/extensions/lambda-adapter")]
    # nothing else differs: elsewhere the adapter is never started
    assert replace(config, copies_of_images=()) == read_dockerfile(dockerfile(API, BASE, ["jobs.words"]))


def test_the_base_is_a_build_argument() -> None:
    other = f"example.com/python@sha256:{'b' * 64}"
    assert read_dockerfile(text_of(API), {"BASE": other}).base == other


@pytest.mark.parametrize("line", ["RUN pip install x", "ADD app /app", "HEALTHCHECK NONE"])
def test_what_the_proof_does_not_carry_out_is_refused(line: str) -> None:
    with pytest.raises(UnknownInstruction):
        read_dockerfile(f"{text_of(API)}{line}\n")


def tiny_zip(path: Path) -> Path:
    with ZipFile(path, "w") as archive:
        archive.writestr("tiny/__init__.py", "")
        archive.writestr("tiny/main.py", "def handler(event, context): ...\n")
    return path


@pytest.mark.parametrize("image", [API, WORKER], ids=lambda image: image.name)
def test_a_context_is_whole(image: Image, tmp_path: Path) -> None:
    context = write_context(tiny_zip(tmp_path / "tiny.zip"), text_of(image), tmp_path / "context")
    (tmp_path / "base" / "usr").mkdir(parents=True)
    (tmp_path / "base" / "usr" / "python").touch()
    built = build_image(context, tmp_path / "base", tmp_path / "root")
    assert inside(built.root, "/app/tiny/main.py").read_text() == "def handler(event, context): ...\n"
    assert inside(built.root, "/usr/python").exists()
    assert not (tmp_path / "base" / "app").exists()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (context / "app").rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_a_context_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    archive = tiny_zip(tmp_path / "tiny.zip")
    context = write_context(archive, text_of(API), tmp_path / "context")
    (context / "app" / "left.py").touch()
    again = write_context(archive, text_of(API), tmp_path / "context")
    assert not (again / "app" / "left.py").exists()
    assert {path.stat().st_mtime for path in (again / "app").rglob("*")} == {EPOCH}


def test_without_a_base_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"tool\.coatcheck\.containers\.base is missing: name the image"):
        build_contexts(find_project(ROOT), tmp_path, print)


def test_a_base_with_another_python_than_the_project_is_refused(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    containers = ContainersConfig(base=f"python:3.13-slim-trixie@sha256:{'a' * 64}")
    config = project.config.model_copy(update={"python": "3.14", "containers": containers})
    with pytest.raises(BuildError, match=r'base has Python 3\.13, and tool\.coatcheck\.python is "3\.14"'):
        build_contexts(replace(project, config=config), tmp_path / "out", print)


@pytest.mark.parametrize(("architecture", "wrong"), [("x86_64", "x86-64"), ("arm64", "64-bit ARM")])
def test_a_library_for_another_machine_is_found(architecture: str, wrong: str, tmp_path: Path) -> None:
    with ZipFile(tiny_zip(tmp_path / "tiny.zip"), "a") as archive:
        archive.writestr("m68k.so", b"\x7fELF" + bytes(14) + (4).to_bytes(2, "little"))
    faults = find_faults(tmp_path / "tiny.zip", TINY, image_target("3.13", architecture), OwnerCode((), (), ()))
    assert f"m68k.so: not a library for {wrong}" in faults
