"""What the wheels install, and a client's install of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from coatcheck.cli.init_command import FILES
from coatcheck.cli.main import EXTRAS
from tests.packages.conftest import PROJECTS, ROOT, uv

LARGEST_CLIENT = 25_000_000
"""Bytes that a client's install may take on disk, dependencies and all."""


@pytest.fixture(scope="module")
def client(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment in which `pip install coatcheck` was done, and nothing else."""
    environment = tmp_path_factory.mktemp("client") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv(
        *("pip", "install", "--quiet", "--no-compile-bytecode", "--python", environment / "bin" / "python"),
        *("--constraint", ROOT / "requirements" / "dev.txt", wheels["coatcheck"]),
    )
    return environment


def test_each_wheel_installs_one_name_of_its_own(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        with ZipFile(wheel) as archive:
            tops = {path.split("/")[0] for path in archive.namelist()}
        assert {top for top in tops if not top.endswith(".dist-info")} == {name.replace("-", "_")}


def test_the_wheels_are_of_one_version_and_ask_for_each_other_by_it() -> None:
    projects = {
        name: tomllib.loads((folder / "pyproject.toml").read_text())["project"] for name, folder in PROJECTS.items()
    }
    (version,) = {project["version"] for project in projects.values()}
    for project in projects.values():
        extras = [one for wanted in project.get("optional-dependencies", {}).values() for one in wanted]
        for wanted in (*project["dependencies"], *extras):
            if wanted.startswith("coatcheck"):
                assert wanted.partition("==")[2] == version, wanted


def test_the_files_that_are_no_code_are_in_the_wheels(wheels: dict[str, Path]) -> None:
    with ZipFile(wheels["coatcheck"]) as archive:
        assert "coatcheck/py.typed" in archive.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        assert {f"coatcheck/cli/skeleton/{file}.tmpl" for file in FILES} <= set(archive.namelist())
    with ZipFile(wheels["coatcheck-infra"]) as archive:
        assert {
            "coatcheck_infra/template.yaml",
            "coatcheck_infra/stack-policy.json",
            "coatcheck_infra/toolchain/locks/ministack.txt",
            "coatcheck_infra/toolchain/locks/sam.txt",
        } <= set(archive.namelist())


def test_a_client_installs_little(client: Path) -> None:
    (packages,) = client.glob("lib/python*/site-packages")
    assert [path.name for path in packages.glob("coatcheck*") if path.suffix != ".dist-info"] == ["coatcheck"]
    distributions = {path.name.split("-")[0] for path in packages.glob("*.dist-info")}
    assert not distributions & {"boto3", "botocore", "fastapi", "aioboto3", "duckdb", "pillow"}
    assert len(distributions) <= 25, sorted(distributions)
    assert sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) < LARGEST_CLIENT


@pytest.mark.parametrize("command", sorted(EXTRAS))
def test_a_command_that_is_not_installed_says_what_brings_it(client: Path, command: str) -> None:
    ended = subprocess.run([client / "bin" / "coatcheck", command], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"coatcheck: `coatcheck {command}` is not installed: pip install 'coatcheck[local]'\n"


def test_a_client_makes_a_project_that_uv_and_pip_can_install(
    client: Path, wheels: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run([client / "bin" / "coatcheck", "init", "words"], check=True, capture_output=True, cwd=tmp_path)
    project, links = tmp_path / "words", wheels["coatcheck"].parent
    uv("lock", "--quiet", "--project", project, "--find-links", links)
    locked = {package["name"]: package for package in tomllib.loads((project / "uv.lock").read_text())["package"]}
    assert locked["words"]["source"] == {"virtual": "."}
    assert {"coatcheck", "coatcheck-infra", "pytest"} <= locked.keys()
    # what pip does when it is asked for the folder: it builds a wheel with the dependencies and nothing else
    uv("build", "--wheel", "--quiet", "--out-dir", tmp_path, project)
    with ZipFile(tmp_path / "words-0.1.0-py3-none-any.whl") as archive:
        assert all(name.startswith("words-0.1.0.dist-info/") for name in archive.namelist())


def test_a_client_can_be_used(client: Path) -> None:
    code = "from coatcheck import Client, NoServerError, verify; print(Client.__name__)"
    ended = subprocess.run([client / "bin" / "python", "-I", "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "Client\n"
