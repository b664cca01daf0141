"""Checks what matters on AWS alone: the template's parameters and limits, and those of Lambda."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.utils import canonicalize_name

from coatcheck.authoring.loading import Declaration
from coatcheck.core.suggestions import unknown
from coatcheck_infra.project.config import Project, ProjectError
from coatcheck_infra.project.lane_config import SECONDS
from coatcheck_infra.project.project_template import project_template
from coatcheck_infra.project.template_parameters import parameter_error, unknown_parameter

DISTRO = "opentelemetry-distro"
"""What sets a provider when a process starts."""


def deployment_problems(project: Project, declared: Sequence[Declaration]) -> Iterator[str]:
    """Yield a line for each thing that would be refused, or would not work, when the project is deployed."""
    try:
        parameters = project_template(project)["Parameters"]
    except ProjectError as error:
        yield str(error)
        return
    for name, value in project.config.deploy.parameters.items():
        if name not in parameters:
            yield f"tool.coatcheck.deploy.parameters: {unknown_parameter(name, parameters)}"
        elif wrong := parameter_error(parameters[name], str(value)):
            yield f"tool.coatcheck.deploy.parameters.{name}: {wrong}"
    yield from _missing_packages(project)
    deployed = sorted(one.job_type.name for one in declared if one.module in project.config.jobs)
    for name in project.config.failure_alarms:
        if name not in deployed:
            wrong = unknown("job type", name, deployed, see=f"there are {', '.join(deployed)}")
            yield f"tool.coatcheck.failure-alarms: {wrong}"
    for one in declared:
        job_type, modules = one.job_type, project.config.jobs
        longest = SECONDS.get(project.config.lanes[job_type.lane].kind)
        if longest is not None and job_type.timeout > longest and one.module in modules:
            yield (
                f"{one.where} {job_type.name}: timeout {job_type.timeout:g} s is more than a Lambda function runs "
                f"({longest} s): lower it, and return Continue for longer work, or give it a lane of "
                'kind = "container" (docs/containers.md)'
            )


def _missing_packages(project: Project) -> Iterator[str]:
    """Yield a line if the functions were to be started by packages that are not there."""
    dependencies = project.pyproject.get("project", {}).get("dependencies", ())
    named = {canonicalize_name(re.split(r"[^A-Za-z0-9._-]", one.strip(), maxsplit=1)[0]) for one in dependencies}
    if project.config.traces.packages and DISTRO not in named:
        yield (
            f"tool.coatcheck.traces.packages: {DISTRO} is not in [project] dependencies: add it, and an exporter, as "
            "opentelemetry-exporter-otlp-proto-http (docs/traces.md)"
        )
