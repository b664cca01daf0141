"""What of a project runs in containers, in the template: lanes of kind `container`, deliverer, sweeper and API.

Each takes the place of its Lambda function, and has what the function has: variables, role, log. Nothing is said twice.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.container_programs import (
    API_PORT,
    BEHIND_LOAD_BALANCER,
    DELIVERER,
    SWEEPER,
    WORKER,
    ContainerProgram,
)
from coatcheck_infra.project.config import ContainersConfig, ProjectConfig, ProjectError
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.template_handlers import IDENTIFIERS
from coatcheck_infra.project.template_lanes import lane_id, renamed
from coatcheck_infra.template import TEMPLATE

Json = dict[str, Any]

CONTAINERS = TEMPLATE.with_name("containers.yaml")
API = "api"

OF_A_FUNCTION = frozenset(
    {
        *("COATCHECK_AUTHORIZER", "COATCHECK_LONGEST_WAIT", "COATCHECK_MAX_WAITS"),
        *("COATCHECK_LONGEST_STREAM", "COATCHECK_MAX_STREAMS"),
    }
)
"""Settings that a function of the API has because it is one: it serves a request at a time, behind API Gateway."""

ECS_ARCHITECTURES = {"arm64": "ARM64", "x86_64": "X86_64"}

GRACE = 100
"""Seconds that a job has to end when its container is stopped: Fargate allows 120, and the worker itself takes some."""

USABLE_MEMORY = 0.9
"""The part of a container's memory that a job may take."""

PATIENT_CHECK = {"Interval": 30, "Timeout": 10, "Retries": 3, "StartPeriod": 120}
"""When ECS takes a container for unhealthy: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html"""

GOES_WITH_FUNCTION = ("AWS::CloudWatch::Alarm", "AWS::IAM::Policy", "AWS::Lambda::Permission")
"""Resources that are about a function, and go with it."""


@dataclass(frozen=True)
class Part:
    """A part that runs in containers.

    `name` begins the names of its resources, `function` is what it is in template.yaml, and `settings` are parameters
    and conditions of the function alone. `tasks` is how many containers it has, or None if their number is scaled.
    """

    name: str
    function: str
    program: ContainerProgram
    cpu: float
    memory: int
    settings: Sequence[str]
    tasks: int | None = None
    image: str = "WorkerImage"


SERVICES = {
    API: Part("Api", "ApiFunction", BEHIND_LOAD_BALANCER, 1, 2048, [], image="ApiImage"),
    "deliverer": Part("Deliverer", "Deliverer", DELIVERER, 0.5, 1024, ["WebhookConcurrency"], tasks=1),
    "sweeper": Part(
        "Sweeper", "Sweeper", SWEEPER, 1, 2048, ["SweeperReservedConcurrency", "ReservesForSweeper"], tasks=1
    ),
}


def lane_part(name: str, lane: Lane) -> Part:
    """Return the part that runs the jobs of a lane: a container for each job."""
    cpu, memory = lane.size
    limits = ("--grace", str(GRACE), "--memory", str(int(memory * USABLE_MEMORY)))
    arguments = ("--lane", name, "--runners", "1", *limits)
    made_id = lane_id(name)
    settings = [f"{made_id}LaneMemory", f"{made_id}LaneConcurrency"]
    return Part(made_id, f"{made_id}Worker", replace(WORKER, arguments=arguments), cpu, memory, settings)


def check_containers(config: ProjectConfig) -> None:
    """Raise ProjectError if something in `[tool.coatcheck.containers]` cannot be deployed."""
    containers = config.containers
    where = "tool.coatcheck.containers"
    for key, values in (("subnets", containers.subnets), ("security-groups", containers.security_groups)):
        pattern, what = IDENTIFIERS[f"vpc.{key}"]
        if needs_containers(config) and not values:
            raise ProjectError(f"{where}.{key} is missing: containers run in a network of yours (docs/containers.md)")
        for value in values:
            if not pattern.fullmatch(value):
                raise ProjectError(f'{where}.{key}: "{value}" is not {what}')
    if API in containers.services and "alb" not in config.api.front_door.split("+"):
        raise ProjectError(f'{where}.services: "api" needs a load balancer: front-door = "alb" in [tool.coatcheck.api]')
    if API in containers.services and containers.vpc is None:
        raise ProjectError(f"{where}.vpc is missing: a load balancer finds the API's containers in a VPC")


def needs_containers(config: ProjectConfig) -> bool:
    """Whether something of the project runs in containers on AWS."""
    return bool(config.containers.services or _container_lanes(config))


def render_containers(template: Json, config: ProjectConfig) -> Json:
    """Return the template with containers in place of the functions that the project does not want.

    `template` has all that a project adds to functions. Raises ProjectError as `check_containers` does.
    """
    check_containers(config)
    if not needs_containers(config):
        return template
    rendered, sections = copy.deepcopy(template), yaml_parse(CONTAINERS.read_text())
    _add(rendered, sections["Shared"])
    for name, lane in _container_lanes(config).items():
        _replace(rendered, lane_part(name, lane), sections, config.containers)
        _size_lane(rendered, renamed(sections["Lane"], name), name, lane)
        _add(rendered, renamed(sections["Stopped"], name))
    if API in config.containers.services:
        _add_api(rendered, sections, config.containers)
    for service in sorted(set(config.containers.services) - {API}):
        _replace(rendered, SERVICES[service], sections, config.containers)
        if service == "deliverer":
            _add(rendered, renamed(sections["Stopped"], "webhooks"))
    return rendered


def _container_lanes(config: ProjectConfig) -> dict[str, Lane]:
    return {name: lane for name, lane in config.lanes.items() if lane.kind == "container"}


def _size_lane(template: Json, section: Json, name: str, lane: Lane) -> None:
    for size, number in lane.parameters.items():
        if number is not None:
            section["Parameters"][f"{lane_id(name)}Lane{size}"]["Default"] = number
    _add(template, section)


def _replace(template: Json, part: Part, sections: Json, config: ContainersConfig) -> None:
    """Put a service of ECS in the place of the part's function."""
    _add_service(template, part, sections, config)
    _add(template, sections["Worker"])
    _remove_function(template, part)


def _add_api(template: Json, sections: Json, config: ContainersConfig) -> None:
    """Put containers of the API behind the load balancer. The function stays, for other doors."""
    _add_service(template, SERVICES[API], sections, config)
    resources = template["Resources"]
    del resources["LoadBalancerMayInvokeApi"]
    _add(template, sections["Api"])
    resources["ApiTargets"]["Properties"] |= {"VpcId": config.vpc, "Port": API_PORT}
    container = resources["ApiTask"]["Properties"]["ContainerDefinitions"][0]
    container["PortMappings"] = [{"ContainerPort": API_PORT}]
    container["Environment"] = [one for one in container["Environment"] if one["Name"] not in OF_A_FUNCTION]
    resources["ApiService"] |= {"DependsOn": "Listener"}
    resources["ApiService"]["Properties"] |= {
        "HealthCheckGracePeriodSeconds": 60,
        "LoadBalancers": [
            {"ContainerName": "main", "ContainerPort": API_PORT, "TargetGroupArn": {"Ref": "ApiTargets"}}
        ],
    }


def _add_service(template: Json, part: Part, sections: Json, config: ContainersConfig) -> None:
    function = template["Resources"][part.function]["Properties"]
    section = _named(sections["Part"], part.name)
    task = section["Resources"][f"{part.name}Task"]["Properties"]
    task |= {
        "Cpu": str(int(part.cpu * 1024)),
        "Memory": str(part.memory),
        "RuntimePlatform": {
            "CpuArchitecture": ECS_ARCHITECTURES[config.architecture],
            "OperatingSystemFamily": "LINUX",
        },
        "TaskRoleArn": function["Role"],
    }
    task["ContainerDefinitions"][0] |= {
        "Image": {"Ref": part.image},
        "EntryPoint": [*part.program.entrypoint],
        "Command": [*part.program.arguments],
        "Environment": _environment(template, function),
        "HealthCheck": {"Command": ["CMD", *part.program.health_check], **PATIENT_CHECK},
    }
    log = task["ContainerDefinitions"][0]["LogConfiguration"]["Options"]
    log["awslogs-group"] = function["LoggingConfig"]["LogGroup"]
    service = section["Resources"][f"{part.name}Service"]["Properties"]
    service["NetworkConfiguration"] = _network(config)
    if part.tasks is not None:
        service["DesiredCount"] = part.tasks
    _trust_tasks(template["Resources"][function["Role"]["Fn::GetAtt"][0]])
    _add(template, section)


def _environment(template: Json, function: Json) -> list[Json]:
    """Return the variables of a function as ECS takes them."""
    common = template["Globals"]["Function"]["Environment"]["Variables"]
    region = {name: {"Ref": "AWS::Region"} for name in ("AWS_REGION", "AWS_DEFAULT_REGION")}
    variables = {**common, **function.get("Environment", {}).get("Variables", {}), **region}
    return [{"Name": name, "Value": value} for name, value in variables.items()]


def _network(config: ContainersConfig) -> Json:
    return {
        "AwsvpcConfiguration": {
            "Subnets": [*config.subnets],
            "SecurityGroups": [*config.security_groups],
            "AssignPublicIp": "ENABLED" if config.public_ip else "DISABLED",
        }
    }


def _trust_tasks(role: Json) -> None:
    """Let tasks of ECS in this account have the role too."""
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }
    statements = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    if trusted not in statements:
        statements.append(trusted)


def _remove_function(template: Json, part: Part) -> None:
    resources, function = template["Resources"], part.function
    del resources[function]
    for section in ("Parameters", "Conditions"):
        for name in part.settings:
            template[section].pop(name, None)
    about = [
        name
        for name, one in resources.items()
        if one["Type"] in GOES_WITH_FUNCTION and function in set(_references(one))
    ]
    for name in about:
        del resources[name]


def _references(value: Any) -> Iterator[str]:
    """Yield the names that a value of the template refers to."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case dict():
            yield from (name for inner in value.values() for name in _references(inner))
        case list():
            yield from (name for inner in value for name in _references(inner))


def _named(value: Any, name: str) -> Any:
    """Return a value of the section `Part` with the part's name."""
    match value:
        case str():
            return value.replace("PART", name)
        case dict():
            return {_named(key, name): _named(inner, name) for key, inner in value.items()}
        case list():
            return [_named(inner, name) for inner in value]
    return value


def _add(template: Json, section: Mapping[str, Json]) -> None:
    for name, entries in section.items():
        template[name] |= copy.deepcopy(entries)
