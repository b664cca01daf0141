"""An owner's first hour, from the wheels alone: an empty folder, a project, a job, its tests, a build."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coatcheck_infra.toolchain.environments import SAM, ensure_installed
from tests.packages.conftest import ROOT, uv

READY_LIMIT = 180.0
COMMAND_LIMIT = 600.0


class Owner:
    """Who types commands in a folder, with an environment into which the wheels were installed and nothing else."""

    def __init__(self, environment: Path, folder: Path, wheels: Path) -> None:
        self.environment, self.folder, self.wheels = environment, folder, wheels
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("COATCHECK_", "PYTHON"))}
        self._environ = {
            **plain,
            "VIRTUAL_ENV": str(environment),
            "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "UV_FIND_LINKS": str(wheels),
            "NO_COLOR": "1",
        }

    def types(self, *command: str) -> str:
        """What a command prints. It must succeed."""
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environ,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
        )
        assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    @contextmanager
    def up(self, *options: str) -> Iterator[str]:
        """`coatcheck up`, ready; gives what it printed until then. Ctrl-C ends it."""
        log = self.folder.parent / "up.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["coatcheck", "up", "--port", "0", *options],
                cwd=self.folder,
                env=self._environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                endpoint, limit = self.folder / ".coatcheck" / "endpoint.json", time.monotonic() + READY_LIMIT
                while not endpoint.exists():
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < limit, log.read_text()
                    time.sleep(0.1)
                yield log.read_text()
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(60)
        assert process.returncode == 0, log.read_text()


@pytest.fixture(scope="module")
def owner(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Owner:
    """An owner who has made a project `words`."""
    folder = tmp_path_factory.mktemp("owner")
    environment = folder / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv(
        *("pip", "install", "--quiet", "--python", environment / "bin" / "python"),
        *("--constraint", ROOT / "requirements" / "dev.txt", "--find-links", wheels["coatcheck"].parent),
        *("coatcheck[local]", "pytest"),
    )
    owner = Owner(environment, folder, wheels["coatcheck"].parent)
    made = owner.types("coatcheck", "init", "words")
    assert "jobs/words.py" in made
    owner.folder = folder / "words"
    return owner


def test_the_project_is_the_owners_own(owner: Owner) -> None:
    assert owner.types("coatcheck", "check") == "text.words (lane default)  jobs/words.py:19\n"
    assert "1 passed" in owner.types("coatcheck", "test", "-q")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", [(), ("--whole",)], ids=["processes", "whole"])
def test_a_job_of_ones_own_runs(owner: Owner, options: tuple[str, ...]) -> None:
    (owner.folder / "poem.txt").write_text("two words\nand three more\n")
    with owner.up(*options) as said:
        assert "serving text.words" in said
        types = owner.types("coatcheck", "types")
        assert "text.words" in types
        assert "coatcheck.ping" not in types
        assert json.loads(owner.types("coatcheck", "run", "text.words", "--upload", "text=poem.txt")) == {"words": 5}


@pytest.mark.timeout(900)
def test_what_would_be_deployed_is_valid(owner: Owner) -> None:
    said = owner.types("coatcheck", "build")
    assert "service.zip" in said
    assert "worker.zip" in said
    (template,) = (owner.folder / "build").rglob("template.*")
    sam = ensure_installed(SAM, os.environ, lambda _: None).with_name("sam")
    ended = subprocess.run(
        [sam, "validate", "--lint", "--region", "us-east-1", "--template", template],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.timeout(600)
def test_the_example_runs_outside_of_the_checkout(owner: Owner, tmp_path: Path) -> None:
    folder = tmp_path / "example"
    unwanted = shutil.ignore_patterns("build", ".coatcheck", "__pycache__")
    shutil.copytree(ROOT / "example", folder, ignore=unwanted)
    uv(
        *("pip", "install", "--quiet", "--python", owner.environment / "bin" / "python"),
        *("--constraint", ROOT / "requirements" / "dev.txt", "--group", f"{folder / 'pyproject.toml'}:handlers"),
    )
    (folder / "t.csv").write_text("a\n1\n2\n")
    example = Owner(owner.environment, folder, owner.wheels)
    names = [line.split()[0] for line in example.types("coatcheck", "check").splitlines()]
    assert names == ["table.query", "image.thumbnails", "demo.sleep", "demo.bytes"]
    query = json.dumps({"sql": "SELECT sum(a) AS total FROM t"})
    with example.up():
        run = ("coatcheck", "run", "table.query", "--input", query, "--upload", "tables.t=t.csv")
        assert example.types(*run) == "total\n3\n"
