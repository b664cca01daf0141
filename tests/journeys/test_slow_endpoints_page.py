"""The code of docs/slow-endpoints.md, run as it stands: endpoints before, and the job type with its caller after."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coatcheck.core.part_plan import UPLOAD_LIMIT
from tests.journeys.up_process import UpProcess
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "slow-endpoints.md").read_text()
FILES = {
    name: textwrap.dedent(code)
    for name, code in re.findall(r"^ *```python\n *# (\S+\.py)\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
}
SALES = b"region,amount\nnorth,1.5\nsouth,2\nnorth,3\n"
TOTALS = {"north": 4.5, "south": 2.0}

PYPROJECT = """\
[project]
name = "reports"
version = "0"
dependencies = ["coatcheck"]

[tool.coatcheck]
jobs = ["jobs.reports"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the files of the page."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "sales.csv").write_bytes(SALES)
    return tmp_path


async def test_the_endpoint_of_fastapi_answers_as_the_page_says(project: Path) -> None:
    app = runpy.run_path(str(project / "before" / "fastapi_app.py"))["app"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http:
        answer = await http.post("/reports", content=SALES)
    assert answer.json() == TOTALS


def test_the_endpoint_of_flask_answers_as_the_page_says(project: Path) -> None:
    app = runpy.run_path(str(project / "before" / "flask_app.py"))["app"]
    answer = app.test_client().post("/reports", data=SALES)
    assert answer.get_json() == TOTALS


def test_the_test_of_the_job_type_passes(project: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    tested = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert (tested.returncode, "1 passed" in tested.stdout) == (0, True), tested.stdout


def test_the_caller_gets_what_the_endpoint_answered(project: Path, start_up: Callable[..., UpProcess]) -> None:
    stack = start_up(cwd=project).ready()
    env = {**os.environ, "COATCHECK_URL": stack.url, "COATCHECK_API_KEY": stack.api_key}
    called = subprocess.run(
        [sys.executable, "after/caller.py", "sales.csv"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout.replace("'", '"')) == TOTALS


def test_the_page_says_how_large_an_upload_may_be() -> None:
    assert UPLOAD_LIMIT == 1024**4
    assert "| 1 TB |" in PAGE
