"""A lane on Lambda Managed Instances: one job at a time, for 90 minutes, and all that follows from that."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import pytest
from pydantic import ValidationError

from coatcheck_infra.ops.deploy.account_limits import LANE_PARAMETER
from coatcheck_infra.ops.deploy.lanes import lanes_of, project_parameters
from coatcheck_infra.ops.deploy.plan import DeployRefused
from coatcheck_infra.ops.deploy.regions import check_region
from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.template import read_template

Json = dict[str, Any]

VPC = {"subnets": ["subnet-0a1b2c3d"], "security-groups": ["sg-0a1b2c3d"]}
FILMS = {"kind": "lambda-managed", "cpu": 2, "memory": 8192, "concurrency": 5, "ready": 2}

shared = functools.cache(read_template)


def config(lanes: Json, **handlers: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"jobs": ["jobs.films"], "lanes": lanes, "handlers": {"vpc": VPC, **handlers}})


def rendered(lanes: Json, **handlers: Any) -> Json:
    return render_template(copy.deepcopy(shared()), config(lanes, **handlers))


def properties(template: Json, name: str) -> Json:
    found: Json = template["Resources"][name]["Properties"]
    return found


def test_a_function_runs_one_job_at_a_time_on_the_instances() -> None:
    template = rendered({"films": FILMS})
    function = properties(template, "FilmsManagedWorker")
    assert function["CapacityProviderConfig"] == {
        "Arn": {"Fn::GetAtt": ["ManagedInstances", "Arn"]},
        "PerExecutionEnvironmentMaxConcurrency": 1,
        "ExecutionEnvironmentMemoryGiBPerVCpu": 4,
    }
    assert (function["Timeout"], function["MemorySize"], function["PublishToLatestPublished"]) == (5400, 8192, True)
    # Lambda takes one or the other: the network is the capacity provider's
    assert "VpcConfig" not in function
    assert properties(template, "ManagedInstances")["VpcConfig"] == {
        "SubnetIds": VPC["subnets"],
        "SecurityGroupIds": VPC["security-groups"],
    }
    assert "VpcConfig" in properties(template, "DefaultWorker")


def test_as_many_jobs_run_as_there_are_environments() -> None:
    template = rendered({"films": FILMS})
    most, least = {"Ref": "FilmsLaneEnvironments"}, {"Ref": "FilmsLaneReadyEnvironments"}
    function = properties(template, "FilmsManagedWorker")
    assert function["FunctionScalingConfig"] == {"MinExecutionEnvironments": least, "MaxExecutionEnvironments": most}
    assert function["Events"]["Jobs"]["Properties"]["ScalingConfig"] == {"MaximumConcurrency": most}
    defaults = {name: one["Default"] for name, one in template["Parameters"].items() if name.startswith("FilmsLane")}
    assert defaults == {"FilmsLaneEnvironments": 5, "FilmsLaneReadyEnvironments": 2}
    # they are machines of the owner's, and take nothing of the account's concurrency
    assert not [name for name in defaults if LANE_PARAMETER.fullmatch(name)]
    assert project_parameters(config({"films": FILMS}))["FilmsLaneEnvironments"] == "5"
    assert lanes_of(template["Parameters"]) == ["default", "films"]


def test_queue_and_alarms_have_the_time_of_the_function() -> None:
    template = rendered({"films": FILMS})
    assert properties(template, "FilmsQueue")["VisibilityTimeout"] == 6 * 5400
    assert properties(template, "FilmsWorkerNearTimeout")["Threshold"] == 5_393_000
    # an environment that works for an hour takes no message, and is not still
    stopped = json.dumps(properties(template, "FilmsLaneStopped")["Metrics"])
    assert "ApproximateNumberOfMessagesNotVisible" in stopped
    assert "FilmsWorkerThrottled" not in template["Resources"]


def test_a_lane_that_changes_its_kind_gets_another_function() -> None:
    # Lambda cannot change what a function runs on
    template = rendered({"films": FILMS})
    text = json.dumps(template)
    assert '"FilmsWorker"' not in text
    assert "${FilmsWorker}" not in text
    assert properties(template, "FilmsWorkerFails")["Dimensions"] == [
        {"Name": "FunctionName", "Value": {"Ref": "FilmsManagedWorker"}}
    ]


def test_handlers_have_there_what_they_have_elsewhere() -> None:
    function = properties(rendered({"films": FILMS}, environment={"MODEL": "small"}), "FilmsManagedWorker")
    assert function["Environment"]["Variables"]["MODEL"] == "small"


def test_the_default_lane_may_be_managed_and_no_project_gets_what_it_does_not_ask_for() -> None:
    assert "DefaultManagedWorker" in rendered({"default": {"kind": "lambda-managed"}})["Resources"]
    assert "ManagedInstances" not in rendered({"default": {}})["Resources"]


def test_without_a_network_there_are_no_instances() -> None:
    with pytest.raises(ProjectError, match=r"handlers\.vpc is missing: lanes of kind = \"lambda-managed\" \(films\)"):
        rendered({"films": FILMS}, vpc=None)


@pytest.mark.parametrize(
    ("lane", "why"),
    [
        ({"cpu": 0.5}, "a managed instance has 1 to 16 whole CPUs"),
        ({"cpu": 2, "memory": 3072}, "with 2 CPUs, a managed instance has 4096 or 8192 or 16384"),
        ({"cpu": 8, "memory": 65_536}, "with 8 CPUs, a managed instance has 16384 or 32768"),
        ({"concurrency": 1}, "Lambda runs 2 or more"),
        ({"ready": 0}, "ready is 1 or more"),
        ({"ready": 4, "concurrency": 3}, "not more than concurrency"),
    ],
    ids=str,
)
def test_what_no_instance_has_is_refused(lane: Json, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Lane.model_validate({"kind": "lambda-managed", **lane})


def test_a_region_without_instances_is_named_before_anything_is_built() -> None:
    with pytest.raises(DeployRefused, match="no Lambda Managed Instances in us-gov-west-1"):
        check_region(config({"films": FILMS}), "us-gov-west-1")
    check_region(config({"films": FILMS}), "eu-central-1")
    check_region(config({}), "us-gov-west-1")
