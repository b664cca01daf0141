"""Builds the project of a folder, renders its template, and deploys both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.build.project_build import build, build_folder
from coatcheck_infra.build.zip_specs import LAMBDA
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
    if code := build(project.root):
        return code
    # again, for a stack and a region that an option names
    template = write_template(project, build_folder(project, LAMBDA))
    declared = json.loads(template.read_text())["Parameters"]
    return deploy(target, Request(template, declared, asked, options), confirmed=confirmed)
