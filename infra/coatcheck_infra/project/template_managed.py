"""The lanes of kind `lambda-managed` in the template: their functions run on Lambda Managed Instances.

Such a function serves one job at a time, as every function that runs jobs does, and may take 90 minutes for it. All
that follows from that time is changed with it: the queue's visibility timeout, and the alarms.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.lane_config import SECONDS, Lane
from coatcheck_infra.project.template_containers import CONTAINERS
from coatcheck_infra.project.template_lanes import lane_id, renamed
from coatcheck_infra.template import TEMPLATE

Json = dict[str, Any]

MANAGED = TEMPLATE.with_name("managed.yaml")
KIND = "lambda-managed"

VISIBILITY_FACTOR = 6
"""A queue hides a message for six times the time of its function, as AWS asks.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""

SETTLE_MARGIN = 7
"""Seconds before the limit at which a worker that is not done is told of, as for other lanes."""


def render_managed(template: Json, config: ProjectConfig) -> Json:
    """Return `template`, which has all that a project adds to functions, with managed lanes. Raises ProjectError."""
    lanes = {name: lane for name, lane in config.lanes.items() if lane.kind == KIND}
    if not lanes:
        return template
    if config.handlers.vpc is None:
        raise ProjectError(
            f'tool.coatcheck.handlers.vpc is missing: lanes of kind = "{KIND}" ({", ".join(lanes)}) run on machines '
            "in a network of yours (docs/project.md)"
        )
    rendered, sections = copy.deepcopy(template), yaml_parse(MANAGED.read_text())
    shared = sections["Shared"]["Resources"]
    # the network that the functions of other lanes are in; a function on managed instances has none of its own
    shared["ManagedInstances"]["Properties"]["VpcConfig"] = {
        "SubnetIds": [*config.handlers.vpc.subnets],
        "SecurityGroupIds": [*config.handlers.vpc.security_groups],
    }
    rendered["Resources"] |= shared
    stopped = yaml_parse(CONTAINERS.read_text())["Stopped"]
    for name, lane in lanes.items():
        _add_parameters(rendered, name, lane, renamed(sections["Lane"]["Parameters"], name))
        _change_function(rendered["Resources"], name, lane)
        _change_queue_and_alarms(rendered["Resources"], name, renamed(stopped["Resources"], name))
        rendered = _with_function_of_its_own(rendered, lane_id(name))
    return rendered


def _add_parameters(template: Json, name: str, lane: Lane, parameters: Mapping[str, Json]) -> None:
    own = lane_id(name)
    for size in ("Memory", "Concurrency"):
        del template["Parameters"][f"{own}Lane{size}"]
    template["Parameters"] |= parameters
    for size, number in lane.parameters.items():
        if number is not None:
            template["Parameters"][f"{own}Lane{size}"]["Default"] = number


def _change_function(resources: Json, name: str, lane: Lane) -> None:
    own, (cpu, memory) = lane_id(name), lane.size
    function = resources[f"{own}Worker"]["Properties"]
    del function["VpcConfig"]
    most = {"Ref": f"{own}LaneEnvironments"}
    function |= {
        "Timeout": SECONDS[KIND],
        "MemorySize": memory,
        "CapacityProviderConfig": {
            "Arn": {"Fn::GetAtt": ["ManagedInstances", "Arn"]},
            # the worker runs one job at a time, with all of the memory
            "PerExecutionEnvironmentMaxConcurrency": 1,
            "ExecutionEnvironmentMemoryGiBPerVCpu": int(memory / 1024 / cpu),
        },
        "FunctionScalingConfig": {
            "MinExecutionEnvironments": {"Ref": f"{own}LaneReadyEnvironments"},
            "MaxExecutionEnvironments": most,
        },
        # what is deployed is what the queue's messages go to
        "PublishToLatestPublished": True,
    }
    function["Events"]["Jobs"]["Properties"]["ScalingConfig"] = {"MaximumConcurrency": most}


def _change_queue_and_alarms(resources: Json, name: str, stopped: Mapping[str, Json]) -> None:
    own = lane_id(name)
    resources[f"{own}Queue"]["Properties"]["VisibilityTimeout"] = VISIBILITY_FACTOR * SECONDS[KIND]
    near = resources[f"{own}WorkerNearTimeout"]["Properties"]
    near["Threshold"] = (SECONDS[KIND] - SETTLE_MARGIN) * 1000
    # while environments start, messages are refused and come again: no news for anybody
    del resources[f"{own}WorkerThrottled"]
    # an environment that is busy for an hour takes no message: what counts is that one is being worked on
    resources |= stopped
    resources[f"{own}LaneStopped"]["Properties"]["AlarmDescription"] = (
        f"Messages of lane {name} wait, and for ten minutes no worker took any or worked on one. Does its capacity "
        "provider start instances? docs/operate.md#a-lane-stands-still"
    )


def _with_function_of_its_own(template: Json, own: str) -> Json:
    """Return the template with another name for the function: Lambda cannot change what a function runs on.

    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-capacityproviderconfig.html
    """
    old, new = f"{own}Worker", f"{own}ManagedWorker"
    text = json.dumps(template).replace(f'"{old}"', f'"{new}"').replace(f"${{{old}}}", f"${{{new}}}")
    made: Json = json.loads(text)
    return made
