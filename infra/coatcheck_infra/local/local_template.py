"""The project's template as the emulator gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coatcheck.authoring import ping
from coatcheck_infra.local.up_error import UpError
from coatcheck_infra.project.config import ContainersConfig, Project, ProjectConfig, ProjectError, TracesConfig
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.project_template import project_template

WEBHOOK_TARGETS = {"COATCHECK_WEBHOOK_TARGETS": "local"}
"""Set for every process, in place of the template's value: local receivers must be able to get webhooks."""

NOT_LOCAL: dict[str, Any] = {"layers": [], "vpc": None, "secrets": {}}
"""What handlers get on AWS alone: the emulator has neither layers nor networks, secrets are environment variables."""

ONLY_ON_AWS: dict[str, Any] = {
    "iam": "none",
    "streaming": False,
    "web_adapter": None,
    "cloudfront": False,
    "service_proxy": [],
}
"""What the API has on AWS alone: the emulator knows no callers inside AWS, sends answers in one piece, and runs no
mapping templates."""


def local_template(project: Project, inherited: Mapping[str, str], door: str) -> dict[str, Any]:
    """Return the template of the project for this machine, with its local job types and the front door `door`.

    The handlers' secrets are variables of the environment `inherited`. Raises `UpError`.
    """
    secrets = {name: inherited[name] for name in project.config.handlers.secrets if name in inherited}
    handlers = project.config.handlers.model_copy(update=NOT_LOCAL)
    own = project.config.api.front_door
    doors = own if door in own.split("+") else door
    api = project.config.api.model_copy(update={"front_door": doors, **ONLY_ON_AWS})
    # nor has it Fargate: what runs in containers on AWS are functions here
    lanes = {name: lane if lane.kind == "lambda" else Lane() for name, lane in project.config.lanes.items()}
    changes = {
        "handlers": handlers,
        "api": api,
        "lanes": lanes,
        "containers": ContainersConfig(),
        "traces": TracesConfig(),
    }
    config = project.config.model_copy(update=changes)
    try:
        template = project_template(replace(project, config=config))
    except ProjectError as error:
        raise UpError(str(error)) from None
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables |= {"COATCHECK_JOBS": job_modules(project.config), **WEBHOOK_TARGETS}
    for resource in template["Resources"].values():
        own = resource.get("Properties", {}).get("Environment", {}).get("Variables", {})
        if own.pop("COATCHECK_SECRETS", None) is not None:
            own |= secrets
    # the template allows only https and no address of this machine; here the API is on the loopback interface
    del template["Parameters"]["PublicUrl"]["AllowedPattern"]
    return template


def job_modules(config: ProjectConfig) -> str:
    """Return the modules with job types that a local stack serves, as the setting COATCHECK_JOBS."""
    return ",".join([*config.jobs, *config.local.jobs, ping.__name__])
