"""`coatcheck up` from the folder of an owner's project, which is not this repository's."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.journeys.results import fetch_result, submitted
from tests.journeys.up_process import COATCHECK, Stack, UpProcess
from tests.waiting import eventually

StartUp = Callable[..., UpProcess]

PYPROJECT = """\
[project]
name = "greetings"
version = "0"
dependencies = ["coatcheck"]

[tool.coatcheck]
jobs = ["jobs.greet"]

[tool.coatcheck.lanes]
slow = { memory = 512, concurrency = 2 }

[tool.coatcheck.handlers]
environment = { GREETING = "good day" }
secrets = { TITLES = "people/titles" }
layers = ["arn:aws:lambda:eu-central-1:123456789012:layer:fonts:1"]

[tool.coatcheck.local]
tenants = ["acme", "globex", "initech"]
"""

GREET = """\
import os
import time

from pydantic import BaseModel

from coatcheck import Context, job


class Name(BaseModel):
    name: str


class Pause(BaseModel):
    seconds: float


class Greeting(BaseModel):
    text: str


@job("text.greet")
def greet(given: Name, ctx: Context) -> Greeting:
    \"\"\"Greet somebody.\"\"\"
    return Greeting(text=f"{os.environ['GREETING']}, {ctx.secret('TITLES')} {given.name}")


@job("text.pause", lane="slow")
def pause(given: Pause, ctx: Context) -> None:
    \"\"\"Pause.\"\"\"
    for _ in range(int(given.seconds * 10)):
        ctx.check()
        time.sleep(0.1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "greetings"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "jobs" / "greet.py").write_text(GREET)
    (folder / "ministack.py").write_text("raise RuntimeError('the emulator must not see modules of the project')")
    return folder


def greeting(http: httpx.Client, name: str) -> str:
    return str(fetch_result(http, submitted(http, "text.greet", {"name": name})).json()["text"])


def of_tenant(stack: Stack, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False)


def is_running(http: httpx.Client, job: str) -> bool:
    return bool(http.get(f"/v1/jobs/{job}").json()["status"] == "running")


def test_a_project_is_served_to_its_tenants_and_another_worker_joins(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TITLES", "Dr.")
    home = project / ".coatcheck"
    up = UpProcess(
        home, ["--workers", "1"], tmp_path / "up.log", command=COATCHECK, cwd=project / "jobs", is_named=False
    )
    try:
        stack = up.ready()
        eventually(lambda: "Ctrl-C stops everything" in up.output(), described=up.output)
        output = up.output()
        assert "\n  serving text.greet (lane default, 1 runner)\n" in output
        assert "\n  serving text.pause (lane slow, 1 runner)\n" in output
        assert re.search(r"worker +│ .*serving text\.greet \(lane default, 1 runner\)", output)
        assert "coatcheck types text.greet" in output
        assert "demo.sleep" not in output

        keys = json.loads((home / "keys.json").read_text())
        assert list(keys) == ["local", "acme", "globex", "initech"]
        assert keys["local"] == stack.api_key
        assert f"of acme, globex, initech: {home / 'keys.json'}" in output
        with of_tenant(stack, keys["acme"]) as acme, of_tenant(stack, keys["initech"]) as initech:
            assert greeting(acme, "Ada") == "good day, Dr. Ada"
            assert len(acme.get("/v1/jobs").json()["data"]) == 1
            assert initech.get("/v1/jobs").json()["data"] == []

        env = home / "env"
        assert stat.S_IMODE(env.stat().st_mode) == 0o600
        log = tmp_path / "worker.log"
        with stack.client() as http, worker(env, log):
            jobs = [submitted(http, "text.pause", {"seconds": 60}) for _ in range(2)]
            eventually(lambda: all(is_running(http, job) for job in jobs), described=log.read_text)
        assert up.stop() == 0, up.output()
        assert not env.exists()
    finally:
        up.kill()


def worker(env: Path, log: Path) -> subprocess.Popen[bytes]:
    """A worker that joins the stack as the file `env` says. It ends with the block."""

    class Worker(subprocess.Popen[bytes]):
        def __exit__(self, *_: object) -> None:
            self.kill()
            self.wait()

    script = 'set -a; . "$1"; exec "$2" -m coatcheck_worker --lane slow'
    with log.open("w") as output:
        return Worker(["/bin/sh", "-c", script, "sh", str(env), sys.executable], stdout=output, stderr=output, cwd="/")


def starts_up_in(folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}
    return subprocess.run(
        [*COATCHECK, "up", "--port", "0"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_outside_of_a_project(tmp_path: Path) -> None:
    ended = starts_up_in(tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"coatcheck up: no project here: neither {tmp_path} nor ")
    assert "coatcheck init" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_project_that_is_wrong_is_not_started(project: Path) -> None:
    greet = project / "jobs" / "greet.py"
    greet.write_text(GREET.replace('@job("text.greet")', '@job("text.greet", lane="gpu")'))
    ended = starts_up_in(project)
    line = GREET.splitlines().index('@job("text.greet")') + 1
    assert ended.returncode == 1
    assert ended.stderr == (
        f'coatcheck up: jobs/greet.py:{line} text.greet: lane "gpu" is not in [tool.coatcheck.lanes] (default, slow)\n'
    )

    another = textwrap.dedent(
        """
        from coatcheck import JobType
        from jobs.greet import Greeting, Name

        LATER = JobType("text.later", Name, Greeting)
        """
    )
    (project / "jobs" / "later.py").write_text(another)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(PYPROJECT.replace('["jobs.greet"]', '["jobs.greet", "jobs.later"]'))
    ended = starts_up_in(project)
    assert ended.stderr == "coatcheck up: 2 things are wrong with the project; see the lines above\n"
    assert "up        │ jobs/greet.py:" in ended.stdout
    assert "up        │ jobs/later.py:5 text.later: has no handler" in ended.stdout

    greet.write_text("print('imported')\nraise SystemExit(3)\n")
    pyproject.write_text(PYPROJECT)
    assert starts_up_in(project).stderr == "coatcheck up: jobs/greet.py:2: SystemExit: 3\n"
    greet.write_text("import os\nos._exit(3)\n")
    assert starts_up_in(project).stderr == "coatcheck up: the check of the project ended with status 3\n"
