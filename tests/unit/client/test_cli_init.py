"""`coatcheck init`: what it makes works as it stands, and what was there stays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from coatcheck.cli.init_command import FILES, MAX_NAME_LENGTH, project_name
from coatcheck.cli.main import COMMANDS, EXTRAS
from coatcheck.client.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from tests.unit.client.conftest import Run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(run: Run, here: Path) -> Path:
    """A new project `words`."""
    assert run("init", "words")[0] == 0
    return here / "words"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def ran(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=project, check=False, capture_output=True, text=True)


def test_it_says_what_it_made_and_what_comes_next(run: Run, here: Path) -> None:
    code, out, err = run("init", "words")
    assert (code, err) == (0, "")
    *made, following = out.splitlines()
    assert [line.split()[0] for line in made] == [*FILES]
    assert files_in(here / "words") == set(FILES)
    assert made[0].split(maxsplit=1)[1] == "name, dependencies, [tool.coatcheck]"
    assert following == "Next: cd words && uv run coatcheck up"


def test_it_may_be_the_folder_that_one_is_in_with_other_files(run: Run, here: Path) -> None:
    (here / ".git").mkdir()
    (here / "LICENSE").write_text("mine")
    code, out, _ = run("init", ".")
    assert (code, out.splitlines()[-1]) == (0, "Next: uv run coatcheck up")
    assert files_in(here) == {*FILES, "LICENSE"}
    assert tomllib.loads((here / "pyproject.toml").read_text())["project"]["name"] == "here"


def test_the_hint_can_be_typed_for_any_folder(run: Run) -> None:
    assert run("init", "my jobs/word's")[1].splitlines()[-1] == (
        """Next: cd 'my jobs/word'"'"'s' && uv run coatcheck up"""
    )


def test_its_pyproject_asks_for_this_version_or_a_later_one(project: Path) -> None:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == "words"
    assert pyproject["project"]["dependencies"] == [f"coatcheck>={version('coatcheck')}"]
    assert pyproject["dependency-groups"]["handlers"] == []
    assert pyproject["tool"]["coatcheck"]["deploy"] == {"stack": "words"}
    assert f"coatcheck[local]>={version('coatcheck')}" in pyproject["dependency-groups"]["dev"]


def test_it_passes_its_own_check_and_tests(project: Path) -> None:
    checked = ran(project, "coatcheck_infra.project.check")
    assert (checked.returncode, checked.stdout.split()[0]) == (0, "text.words"), checked.stderr
    tested = ran(project, "pytest", "-q", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("mypy", "--strict", "--cache-dir", os.devnull, "jobs", "tests"),
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--check", "--no-cache", "."),
    ],
    ids=["mypy", "lint", "format"],
)
def test_the_usual_tools_find_nothing_in_it(project: Path, command: tuple[str, ...]) -> None:
    done = ran(project, *command)
    assert done.returncode == 0, done.stdout


def test_the_commands_of_its_readme_and_its_workflow_exist(project: Path) -> None:
    readme, workflow = (project / "README.md").read_text(), (project / ".github/workflows/check.yml").read_text()
    steps = yaml.safe_load(workflow)["jobs"]["check"]["steps"]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    used = re.findall(r"uv run coatcheck (\w+)", readme + workflow)
    assert {"up", "run", "check", "test", "deploy"} == set(used) <= {*dict(COMMANDS), *EXTRAS}


def test_the_number_in_our_readme_is_that_of_its_readme(project: Path) -> None:
    counted = len((project / "README.md").read_text().split())
    assert f'--upload text=README.md\n{{"words":{counted}}}\n' in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("taken", [*FILES, "jobs", ".github"])
@pytest.mark.parametrize("how", ["file", "link"])
def test_what_is_there_is_not_overwritten(run: Run, here: Path, taken: str, how: str) -> None:
    path = here / "words" / taken
    path.parent.mkdir(parents=True)
    if how == "file":
        path.write_text("mine")
    else:
        path.symlink_to(here / "nowhere")
    assert run("init", "words") == (2, "", f"coatcheck: words has {taken} already; nothing was written\n")
    assert files_in(here) == {f"words/{taken}"}
    assert path.is_symlink() or path.read_text() == "mine"


def test_every_file_that_is_there_is_named(run: Run, project: Path) -> None:
    assert run("init", "words") == (
        2,
        "",
        f"coatcheck: words has {', '.join(FILES)} already; nothing was written\n",
    )
    assert project.is_dir()


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("", "DIR is empty: name a folder, or . for this one"),
        ("file", "file is not a folder"),
        ("file/words", "file/words: Not a directory"),
        ("名前", "'名前' gives the project no name: name the folder with letters (a to z) or digits"),
        ("/", "'/' gives the project no name: name the folder with letters (a to z) or digits"),
        (f"{'w' * 300}", f"{'w' * 300}: File name too long"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(run: Run, here: Path, directory: str, message: str) -> None:
    (here / "file").touch()
    assert run("init", directory) == (2, "", f"coatcheck: {message}\n")
    assert files_in(here) == {"file"}


def test_what_cannot_be_finished_leaves_nothing_behind(run: Run, here: Path) -> None:
    # pyproject.toml still fits into the longest path that the system takes, .github/workflows/check.yml does not
    length = os.pathconf("/", "PC_PATH_MAX") - len("/.github/workflows/")
    folder = ("w" * 99 + "/") * (length // 100) + "w" * (length % 100)
    code, out, err = run("init", folder.rstrip("/"))
    assert (code, out) == (2, "")
    assert "File name too long" in err
    assert [*here.iterdir()] == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("words", "words"),
        ("a/b/My Words_2.0", "my-words-2-0"),
        ("Größe", "groe"),
        ("-x-", "x"),
        ("2026", "jobs-2026"),
        ("coatcheck", "coatcheck-jobs"),
        ("PyTest", "pytest-jobs"),
        ("w" * 200, "w" * MAX_NAME_LENGTH),
    ],
)
def test_the_name_of_the_project_is_that_of_its_folder(folder: str, name: str) -> None:
    assert project_name(Path(folder)) == name


def test_a_folder_may_have_no_name(here: Path) -> None:
    assert project_name(Path()) == here.name
    with pytest.raises(InvalidArgumentError, match="gives the project no name"):
        project_name(Path("…"))
