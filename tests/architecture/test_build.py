"""The zips run where they are for, hold what they need, and are made once."""

import os
import py_compile
import shutil
import struct
import zipfile
from pathlib import Path
from typing import get_args
from zipfile import ZipFile

import pytest

from coatcheck_infra.build import zip_files
from coatcheck_infra.build.bytecode import compile_all, interpreter
from coatcheck_infra.build.lambda_zips import BUILD_INPUTS, Zips, build_zips
from coatcheck_infra.build.owner_code import OwnerCode, owner_code
from coatcheck_infra.build.programs import BuildError
from coatcheck_infra.build.project_build import build_folder
from coatcheck_infra.build.zip_checks import UNCHECKED_HASH, find_faults, function_environment, import_modules
from coatcheck_infra.build.zip_specs import (
    AWS_SERVICES,
    LAMBDA,
    LOCAL,
    MAGIC_NUMBERS,
    SERVICE,
    WORKER,
    ZipSpec,
    lambda_target,
)
from coatcheck_infra.project.config import Project, PythonVersion, find_project
from tests.repository import ROOT

TINY = ZipSpec("tiny", packages=("tiny",), groups=(), handlers=("tiny.main.handler",), runs_jobs=False)
NO_CODE = OwnerCode((), (), ())
LARGEST = {"service": 20_500_000, "worker": 42_000_000}
"""Bytes of the example's zips. They were 19.0 and 36.9 MB for Lambda, 19.3 and 40.3 MB for Linux on x86-64."""


@pytest.fixture(scope="module")
def example() -> Project:
    return find_project(ROOT)


@pytest.fixture(scope="module")
def local(example: Project) -> Zips:
    said: list[str] = []
    zips = build_zips(example, LOCAL, build_folder(example, LOCAL), said.append)
    assert "made requirements.lock: commit it" not in said
    return zips


def test_the_handlers_import_with_nothing_but_their_zip(local: Zips, example: Project) -> None:
    code = owner_code(example, local=True)
    environment = function_environment(example, code)
    import_modules(local.service, SERVICE, environment, code)
    import_modules(local.worker, WORKER, environment, code)


def test_the_service_carries_no_handlers_dependencies_and_neither_the_client(local: Zips) -> None:
    with ZipFile(local.service) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        assert {"coatcheck", "coatcheck_service", "jobs", "fastapi"} <= tops
        assert not {"duckdb", "PIL", "coatcheck_worker", "typer", "httpx"} & tops
        assert not [name for name in archive.namelist() if name.startswith(("coatcheck/client/", "coatcheck/cli/"))]


def test_the_worker_carries_what_handlers_need_and_nothing_of_the_api(local: Zips) -> None:
    with ZipFile(local.worker) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {"coatcheck", "coatcheck_worker", "jobs", "duckdb", "PIL", "boto3"} <= tops
    assert not {"coatcheck_service", "fastapi", "aioboto3", "typer", "rich", "httpx", "stamina"} & tops


def test_the_zips_are_no_larger_than_they_were(local: Zips) -> None:
    for path in (local.service, local.worker):
        assert path.stat().st_size < LARGEST[path.stem], path.name


def test_the_sdk_knows_only_the_services_that_are_used(local: Zips) -> None:
    for path in (local.service, local.worker):
        with ZipFile(path) as archive:
            known = {
                name.split("/")[2]
                for name in archive.namelist()
                if name.startswith("botocore/data/") and name.count("/") > 2
            }
        assert known == AWS_SERVICES


def test_what_is_built_is_left_alone(local: Zips, example: Project) -> None:
    before = [path.stat().st_mtime_ns for path in (local.service, local.worker)]
    build_zips(example, LOCAL, local.service.parent, print)
    assert [path.stat().st_mtime_ns for path in (local.service, local.worker)] == before


def test_the_same_files_make_the_same_zips(local: Zips, example: Project, tmp_path: Path) -> None:
    shutil.copytree(local.service.parent, tmp_path / "again")
    (tmp_path / "again" / "service.zip").unlink()
    again = build_zips(example, LOCAL, tmp_path / "again", print)
    assert again.service.read_bytes() == local.service.read_bytes()


def test_a_zip_is_left_alone_when_the_lock_changes_for_something_else(
    local: Zips, example: Project, tmp_path: Path
) -> None:
    other = tmp_path / "example"
    shutil.copytree(example.root, other, ignore=shutil.ignore_patterns("build", "__pycache__"))
    shutil.copytree(local.service.parent, other / "build" / "local")
    with (other / "requirements.lock").open("a") as lock:
        lock.write(f"unrelated==1 \\\n    --hash=sha256:{'0' * 64}\n")
    again = build_zips(find_project(other), LOCAL, other / "build" / "local", print)
    assert again.service.read_bytes() == local.service.read_bytes()
    assert again.worker.read_bytes() == local.worker.read_bytes()


def test_a_zip_knows_neither_times_nor_modes(tmp_path: Path) -> None:
    made = []
    for name, mode, time in (("one", 0o600, 1_000_000_000), ("two", 0o755, 1_500_000_000)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "file.py"
        file.write_text("pass\n")
        file.chmod(mode)
        os.utime(file, (time, time))
        zip_files.write(tmp_path / f"{name}.zip", tmp_path / name, "made from this")
        made.append((tmp_path / f"{name}.zip").read_bytes())
    assert made[0] == made[1]
    assert zip_files.source_digest(tmp_path / "one.zip") == "made from this"


def test_half_a_zip_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and then the power went")
    assert zip_files.source_digest(tmp_path / "half.zip") is None
    assert zip_files.source_digest(tmp_path / "none.zip") is None


def test_what_a_zip_lacks_is_said(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "tiny.zip", "w") as archive:
        archive.writestr("tiny/main.py", "import nowhere\ndef handler(event, context): ...\n")
    with pytest.raises(BuildError, match="No module named 'nowhere'"):
        import_modules(tmp_path / "tiny.zip", TINY, {}, NO_CODE)
    with ZipFile(tmp_path / "tiny.zip", "w") as archive:
        archive.writestr("tiny/main.py", "def other(event, context): ...\n")
    with pytest.raises(BuildError, match=r"tiny\.main.*handler"):
        import_modules(tmp_path / "tiny.zip", TINY, {}, NO_CODE)


def test_a_file_that_does_not_compile_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def :\n")
    with pytest.raises(BuildError, match=r"broken\.py"):
        compile_all(tmp_path, LOCAL.python)


def test_a_template_among_the_packages_of_others_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sound.py").touch()
    (tmp_path / "template.py").write_text("import {{ name }}\n")
    compile_all(tmp_path, LOCAL.python, strict=False)
    assert [path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")] == ["sound"]
    zip_files.write(tmp_path / "tiny.zip", tmp_path, "")
    faults = find_faults(tmp_path / "tiny.zip", TINY, LAMBDA, NO_CODE)
    assert "sound.py: not compiled for Python 3.13" in faults
    assert not [fault for fault in faults if "template.py" in fault]


@pytest.mark.parametrize("python", MAGIC_NUMBERS)
def test_the_bytecode_is_of_the_python_that_will_run_it(python: str, tmp_path: Path) -> None:
    if not (interpreter(python) or shutil.which("npm")):
        pytest.skip(f"neither Python {python} nor Node to compile for it")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "main.py").write_text("def handler(event, context): ...\n")
    compile_all(tmp_path, python)
    (compiled,) = tmp_path.rglob("*.pyc")
    assert compiled.name == f"main.cpython-{python.replace('.', '')}.pyc"
    assert compiled.read_bytes()[:8] == lambda_target(python).magic + UNCHECKED_HASH


def test_each_python_of_the_setting_can_be_built_for() -> None:
    assert get_args(PythonVersion) == tuple(MAGIC_NUMBERS)
    assert all(f"wasm/python{python}/package-lock.json" in BUILD_INPUTS for python in MAGIC_NUMBERS)


def elf(machine: int) -> bytes:
    return b"\x7fELF" + bytes(14) + struct.pack("<H", machine)


def test_what_lambda_would_stumble_over_is_found(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    (stage / "tiny").mkdir(parents=True)
    (stage / "tiny" / "__init__.py").touch()
    (stage / "tiny" / "main.py").write_text("import json\nfrom tiny import part, gone\nimport elsewhere.deep\n")
    (stage / "tiny" / "part.py").write_text(
        "def later():\n    from tiny.nothing import at_all\nif TYPE_CHECKING:\n    from tiny.types import Any\n"
    )
    for name, machine in (("good.abi3.so", 183), ("other.cpython-311-aarch64-linux-gnu.so", 183), ("amd.so", 62)):
        (stage / name).write_bytes(elf(machine))
    compiled = stage / "tiny" / "__pycache__" / "main.cpython-313.pyc"
    compiled.parent.mkdir()
    py_compile.compile(str(stage / "tiny" / "main.py"), cfile=str(compiled))
    zip_files.write(tmp_path / "tiny.zip", stage, "")
    assert sorted(find_faults(tmp_path / "tiny.zip", TINY, LAMBDA, NO_CODE)) == [
        "amd.so: not a library for 64-bit ARM",
        "other.cpython-311-aarch64-linux-gnu.so: not for Python 3.13",
        "tiny/__init__.py: not compiled for Python 3.13",
        "tiny/__pycache__/main.cpython-313.pyc: Python 3.13 would compile it again",
        "tiny/main.py:3 imports elsewhere.deep, which is not in the zip",
        "tiny/part.py: not compiled for Python 3.13",
        "tiny/part.py:2 imports tiny.nothing, which is not in the zip",
    ]


def test_a_part_without_its_handler_is_found(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "tiny.zip", "w", zipfile.ZIP_DEFLATED):
        pass
    assert find_faults(tmp_path / "tiny.zip", TINY, LAMBDA, NO_CODE) == ["tiny.main: not in the zip"]
