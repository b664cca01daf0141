"""`coatcheck test`: the check, then pytest as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.build.owner_project import WORDS, make_project

TESTS = """\
from coatcheck import run_job
from jobs.words import words

def test_words_are_counted() -> None:
    assert run_job(words, {"words": 2}).output.words == 2

def test_it_fails() -> None:
    raise AssertionError("this one fails")
"""


def coatcheck(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from coatcheck.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def test_pytest_gets_the_arguments_and_gives_the_exit_code(tmp_path: Path) -> None:
    root = make_project(tmp_path, {"tests/test_words.py": TESTS}).root
    passed = coatcheck(root / "tests", "test", "-q", "-k", "words_are_counted", "-p", "no:cacheprovider")
    assert passed.returncode == 0
    assert "1 passed, 1 deselected" in passed.stdout
    failed = coatcheck(root, "test", "tests/test_words.py")
    assert failed.returncode == 1
    assert "1 failed, 1 passed" in failed.stdout
    assert coatcheck(root, "test", "-k", "none_of_them").returncode == 5


def test_what_is_wrong_with_the_project_is_said_first(tmp_path: Path) -> None:
    root = make_project(tmp_path, {"tests/test_words.py": TESTS, "jobs/words.py": f"import gone\n{WORDS}"}).root
    ended = coatcheck(root, "test")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("jobs/words.py:1")


def test_a_folder_without_a_project_is_said(tmp_path: Path) -> None:
    for command in ("test", "build"):
        ended = coatcheck(tmp_path, command)
        assert ended.returncode in {1, 2}
        assert "no project here" in ended.stderr
        assert ended.stderr.count("\n") == 1
