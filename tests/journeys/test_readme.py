"""README's first job, typed as it stands there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.journeys.up_process import Stack

ROOT = Path(__file__).parents[2]


def commands(section: str) -> str:
    """Every `sh` block of a section of README.md, as one script."""
    text = (ROOT / "README.md").read_text().split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))


def test_the_first_job_goes_as_readme_says(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / ".coatcheck").symlink_to(stack.home)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COATCHECK_")}

    ran = subprocess.run(
        ["bash", "-eu", "-c", commands("The first job in a minute")],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "UA,58665" in ran.stdout
    view = next(json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"id"'))
    result = (tmp_path / "build" / "result.csv").read_bytes()
    assert len(result) > 30_000_000
    assert hashlib.sha256(result).hexdigest() == view["result"]["sha256"]
    assert view["result"]["sha256"] in ran.stdout.splitlines()[-1]
