"""Builds the project of a folder, renders its template, and deploys both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.ops.deploy.deploy import Request, deploy
from coatcheck_infra.ops.deploy.lanes import project_parameters
from coatcheck_infra.ops.deploy.plan import parse_parameters
from coatcheck_infra.ops.deploy.target import project_of, target_of
from coatcheck_infra.project.project_template import write_template


def deploy_project(
    folder: Path, stack: str | None, region: str | None, values: Sequence[str], *, confirmed: bool
) -> int:
    """Deploy the project of `folder`. The options go before what it says. Returns the exit code.

    Raises ProjectError, DeployRefused, ToolError and botocore's errors.
    """
    project = project_of(folder, stack, region)
    target = target_of(project.config.deploy.stack, project.config.deploy.region)
    options, asked = parse_parameters(values), project_parameters(project.config)
    template = write_template(project, project.root / "build" / "lambda")
    built = subprocess.run([sys.executable, "-m", "coatcheck_infra.build", str(project.root)], check=False)
    if built.returncode:
        return built.returncode
    declared = json.loads(template.read_text())["Parameters"]
    return deploy(target, Request(template, declared, asked, options), confirmed=confirmed)
