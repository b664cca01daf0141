"""Builds the project of a folder, renders its template, and deploys both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coatcheck_infra.build.project_build import build, build_folder
from coatcheck_infra.build.zip_specs import LAMBDA
from coatcheck_infra.ops.deploy.deploy import Request, deploy
from coatcheck_infra.ops.deploy.deployed_stack import live_stack
from coatcheck_infra.ops.deploy.lanes import project_parameters
from coatcheck_infra.ops.deploy.plan import make_plan, parse_parameters
from coatcheck_infra.ops.deploy.regions import check_region
from coatcheck_infra.ops.deploy.target import project_of, target_of
from coatcheck_infra.project.project_template import TEMPLATE_FILE, project_template, write_template


def deploy_project(
    folder: Path, stack: str | None, region: str | None, values: Sequence[str], *, confirmed: bool
) -> int:
    """Deploy the project of `folder`. The options go before what it says. Returns the exit code.

    Raises ProjectError, DeployRefused, ToolError and botocore's errors.
    """
    project = project_of(folder, stack, region)
    target = target_of(project.config.deploy.stack, project.config.deploy.region)
    check_region(project.config, target.region)
    request = Request(
        build_folder(project, LAMBDA).with_name(TEMPLATE_FILE),
        project_template(project)["Parameters"],
        project_parameters(project.config),
        parse_parameters(values),
    )
    # before the build, which takes a while
    make_plan(request.declared, live_stack(target.client("cloudformation"), target.stack), request.values)
    if code := build(project.root):
        return code
    # again, for a stack that an option names
    write_template(project, build_folder(project, LAMBDA))
    return deploy(target, request, confirmed=confirmed)
