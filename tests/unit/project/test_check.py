"""`coatcheck check`: each thing that is wrong with a project, in one line that says where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """\
[project]
name = "words"
dependencies = ["coatcheck"]

[tool.coatcheck]
jobs = ["jobs.words"]

[tool.coatcheck.local]
jobs = ["jobs.demo"]
"""
WORDS = """\
from pydantic import BaseModel
from coatcheck import Context, JobType, job

class Words(BaseModel):
    words: int

@job("text.words")
def words(given: Words, ctx: Context) -> Words:
    return given
"""
FIVE = """
def five(given: Words, ctx: Context) -> int:
    return 5

FIVE = JobType("text.five", Words, Words, handler="jobs.words:five")
"""
NOT_CARRIED = ", which the API does not carry: import it inside the handler, or name the handler by reference"
DEMO = WORDS.replace("text.words", "demo.words")


def check(folder: Path, words: str = WORDS, demo: str = DEMO, pyproject: str = PYPROJECT) -> tuple[int, str, str]:
    (folder / "jobs").mkdir(exist_ok=True)
    files = {"pyproject.toml": pyproject, "jobs/__init__.py": "", "jobs/words.py": words, "jobs/demo.py": demo}
    for name, text in files.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "coatcheck_infra.project.check", "--local"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_good_project_is_shown(tmp_path: Path) -> None:
    assert check(tmp_path) == (
        0,
        "text.words (lane default)  jobs/words.py:7\ndemo.words (lane default)  jobs/demo.py:7\n",
        "",
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            WORDS.replace('"text.words"', '"text.words", lane="gpu"'),
            'jobs/words.py:7 text.words: lane "gpu" is not in [tool.coatcheck.lanes] (default)',
        ),
        (
            f"import PIL\n{WORDS}",
            f"jobs/words.py:1 imports PIL{NOT_CARRIED}",
        ),
        (
            f"{WORDS}{FIVE}",
            "jobs/words.py:14 text.five returns int, its type says Words",
        ),
        (
            WORDS.replace("text.words", "demo.words"),
            "jobs/demo.py:7 demo.words: is declared in jobs/words.py:7 as well",
        ),
        ("", "no job types in jobs.words, jobs.demo: make one with @job"),
        (f"import httpx\n{WORDS}", f"jobs/words.py:1 imports httpx{NOT_CARRIED}"),
        (f"{WORDS}\n(", "jobs/words.py:11: '(' was never closed"),
    ],
)
def test_a_problem_is_one_line_that_says_where(tmp_path: Path, words: str, problem: str) -> None:
    assert check(tmp_path, words, demo=DEMO if words else "") == (1, "", f"{problem}\n")


def test_each_problem_is_shown(tmp_path: Path) -> None:
    lanes = WORDS.replace('"text.words"', '"text.words", lane="gpu"')
    code, _, problems = check(tmp_path, f"import PIL\n{WORDS}", lanes.replace("text.words", "demo.words"))
    assert code == 1
    assert [line.split()[0] for line in problems.splitlines()] == ["jobs/words.py:1", "jobs/demo.py:7"]


def test_what_handlers_import_inside_may_be_anything(tmp_path: Path) -> None:
    assert check(tmp_path, WORDS.replace("    return given", "    import PIL\n    return given"))[0] == 0


def test_what_the_project_depends_on_may_be_imported(tmp_path: Path) -> None:
    pyproject = PYPROJECT.replace('["coatcheck"]', '["coatcheck", "pillow>=12"]')
    assert check(tmp_path, f"import PIL\n{WORDS}", pyproject=pyproject)[0] == 0


def test_what_handlers_get_on_aws_is_checked(tmp_path: Path) -> None:
    (tmp_path / "policies.json").write_text('[{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]')
    handlers = '[tool.coatcheck.handlers]\npolicies = "policies.json"\n'
    refused = 'policies.json: statement 1: Resource "*" is not allowed with s3:GetObject: name the resource by its ARN'
    assert check(tmp_path, pyproject=f"{PYPROJECT}{handlers}") == (1, "", f"{refused}\n")


def test_what_fails_only_on_aws_is_found_before_a_deployment(tmp_path: Path) -> None:
    long = WORDS.replace('"text.words"', '"text.words", timeout=901')
    settings = '[tool.coatcheck.deploy.parameters]\nDefaultRetentionDays = "x"\nNope = 3\n'
    alarms = PYPROJECT.replace("[tool.coatcheck]\n", '[tool.coatcheck]\nfailure-alarms = ["text.words", "text.word"]\n')
    assert check(tmp_path, long, pyproject=f"{alarms}{settings}")[0] == 0
    command = [sys.executable, "-m", "coatcheck_infra.project.check", "--local", "--deployment"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    retention, unknown, alarm, timeout = done.stderr.splitlines()
    assert alarm == "tool.coatcheck.failure-alarms: unknown job type `text.word`; did you mean `text.words`?"
    assert done.returncode == 1
    assert retention.startswith("tool.coatcheck.deploy.parameters.DefaultRetentionDays: must be one of 1, 3,")
    assert unknown.startswith("tool.coatcheck.deploy.parameters: unknown parameter `Nope`")
    assert timeout.startswith("jobs/words.py:7 text.words: timeout 901 s is more than a Lambda function runs (900 s)")


@pytest.mark.parametrize(("seconds", "code"), [(5400, 0), (5401, 1)])
def test_a_managed_instance_gives_a_job_ninety_minutes(tmp_path: Path, seconds: int, code: int) -> None:
    long = WORDS.replace('"text.words"', f'"text.words", timeout={seconds}')
    settings = """
[tool.coatcheck.lanes]
default = { kind = "lambda-managed" }

[tool.coatcheck.handlers]
vpc = { subnets = ["subnet-0a1b2c3d"], security-groups = ["sg-0a1b2c3d"] }
"""
    assert check(tmp_path, long, pyproject=f"{PYPROJECT}{settings}")[0] == 0
    command = [sys.executable, "-m", "coatcheck_infra.project.check", "--deployment"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, "more than a Lambda function runs (5400 s)" in done.stderr) == (code, bool(code))


def test_spans_by_packages_need_the_packages(tmp_path: Path) -> None:
    without = f"{PYPROJECT}\n[tool.coatcheck.traces]\npackages = true\n"
    assert check(tmp_path, WORDS, pyproject=without)[0] == 0
    command = [sys.executable, "-m", "coatcheck_infra.project.check", "--deployment"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.stderr.startswith(
        "tool.coatcheck.traces.packages: opentelemetry-distro is not in [project] dependencies"
    )
    bringing = without.replace('["coatcheck"]', '["coatcheck", "OpenTelemetry_Distro>=0.60b0"]')
    (tmp_path / "pyproject.toml").write_text(bringing)
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_with_job_types_that_no_setting_names_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "more.py").write_text(WORDS.replace("text.words", "text.more"))
    (tmp_path / "jobs" / "helpers.py").write_text("def job(): ...\n")
    code, _, said = check(tmp_path)
    assert (code, said) == (0, "jobs/more.py has job types, and `jobs` in [tool.coatcheck] lacks jobs.more\n")
