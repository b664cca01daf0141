"""The code of docs/job-types.md, run as it stands in a fresh project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages.conftest import ROOT

PAGE = ROOT / "docs" / "job-types.md"
COATCHECK = Path(sys.executable).with_name("coatcheck")


def files() -> dict[str, str]:
    """The Python blocks of the page that begin with a comment that names their file, by that name."""
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return dict(blocks)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that `init` made, with the files of the page."""
    subprocess.run([COATCHECK, "init", "words"], cwd=tmp_path, check=True, capture_output=True)
    folder = tmp_path / "words"
    for name, text in files().items():
        (folder / name).write_text(text)
    return folder


def ran(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=project, check=False, capture_output=True, text=True)


def test_the_page_has_the_files_of_a_project() -> None:
    assert {"jobs/words.py", "tests/test_words.py", "jobs/thumbnails.py", "jobs/imaging.py"} <= set(files())
    assert {"jobs/pages.py", "jobs/page_reader.py"} <= set(files())


def test_its_job_types_pass_the_check(project: Path) -> None:
    pyproject = project / "pyproject.toml"
    text = pyproject.read_text()
    assert 'jobs = ["jobs.words"]' in text
    pyproject.write_text(text.replace('jobs = ["jobs.words"]', 'jobs = ["jobs.words", "jobs.thumbnails"]'))
    checked = ran(project, "coatcheck_infra.project.check")
    assert checked.returncode == 0, checked.stderr
    assert [line.split()[0] for line in checked.stdout.splitlines()] == ["text.words", "image.thumbnail"]


def test_its_test_passes(project: Path) -> None:
    tested = ran(project, "pytest", "-q", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout


COUNTED = """
from coatcheck import run_job
from jobs.pages import count_pages
print(run_job(count_pages, {"document": {"$upload": "upl_a"}}, {"upl_a": b"one\\ftwo"}).output)
"""


def test_its_confined_function_runs(project: Path) -> None:
    command = [sys.executable, "-c", COUNTED]
    counted = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    assert counted.stdout == "pages=2\n", counted.stderr
