"""The template of a project: ours, with what the project's `[tool.coatcheck]` adds to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from coatcheck_infra.project.config import Project, ProjectConfig, ProjectError
from coatcheck_infra.project.environment_size import MAX_ENVIRONMENT, environment_size
from coatcheck_infra.project.iam_statements import read_statements
from coatcheck_infra.project.proxied_types import ProxiedType, read_proxied_types
from coatcheck_infra.project.template_alarms import render_failure_alarms
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.project.template_containers import render_containers
from coatcheck_infra.project.template_function_image import render_function_image
from coatcheck_infra.project.template_handlers import render_handlers
from coatcheck_infra.project.template_lanes import render_lanes
from coatcheck_infra.project.template_managed import render_managed
from coatcheck_infra.project.template_service_proxy import check_service_proxy
from coatcheck_infra.project.template_traces import render_traces
from coatcheck_infra.template import read_template

Json = dict[str, Any]

TEMPLATE_FILE = "template.json"
FUNCTION = "AWS::Serverless::Function"


def render_template(
    template: Json, config: ProjectConfig, statements: Sequence[Json] = (), proxied: Sequence[ProxiedType] = ()
) -> Json:
    """Return `template` with the project's job modules, lanes, authorizer, and what its handlers get.

    `statements` are IAM statements for its handlers, which were checked; `proxied` are the job types of its
    `service-proxy`. Nothing else of the template changes. Raises ProjectError.
    """
    rendered = copy.deepcopy(template)
    functions = rendered["Globals"]["Function"]
    functions["Runtime"] = f"python{config.python}"
    functions["Environment"]["Variables"]["COATCHECK_JOBS"] = ",".join(config.jobs)
    rendered = render_api(rendered, config.api, proxied)
    rendered = render_handlers(render_lanes(rendered, config.lanes), config.handlers, statements)
    rendered = render_traces(render_containers(render_managed(rendered, config), config), config)
    rendered = render_failure_alarms(render_function_image(rendered, config), config.failure_alarms)
    for name, resource in rendered["Resources"].items():
        if resource["Type"] == FUNCTION:
            size = environment_size(rendered, resource["Properties"])
            if size > MAX_ENVIRONMENT:
                raise ProjectError(
                    f"tool.coatcheck: the environment variables of {name} may take {size} bytes, and Lambda has room "
                    f"for {MAX_ENVIRONMENT}: declare fewer lanes, or less in handlers.environment and handlers.secrets"
                )
    return rendered


def project_template(project: Project) -> Json:
    """Return the template that is deployed for the project. Raises ProjectError."""
    check_service_proxy(project.config.api)
    return render_template(
        read_template(), project.config, read_statements(project), proxied=read_proxied_types(project)
    )


def write_template(project: Project, zips: Path) -> Path:
    """Write the project's template beside the folder of its zips, which it refers to. Returns its path.

    Raises ProjectError.
    """
    template = project_template(project)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            properties["CodeUri"] = f"{zips.name}/{PurePosixPath(properties['CodeUri']).name}"
    path = zips.with_name(TEMPLATE_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(template, indent=1) + "\n")
    return path
