"""What a project runs in containers has what the function has whose place it takes, and the function is gone."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from coatcheck_infra.ops.deploy.lanes import lanes_of, project_parameters
from coatcheck_infra.ops.deploy.plan import DeployRefused, LiveStack, make_plan, warnings
from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.lane_config import Lane
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.template_containers import GRACE, OF_A_FUNCTION, lane_part
from coatcheck_infra.template import read_template

Json = dict[str, Any]

ALB = {"front-door": "alb"}
NETWORK = {"vpc": "vpc-0a1b2c3d", "subnets": ["subnet-0a1b2c3d"], "security-groups": ["sg-0a1b2c3d"]}
HEAVY = {"kind": "container", "cpu": 4, "memory": 16384, "concurrency": 5}
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/words@sha256:{'a' * 64}"
STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}

shared = functools.cache(read_template)


def config(lanes: Json | None = None, services: list[str] | None = None, **tables: Any) -> ProjectConfig:
    containers = {"services": services or [], **NETWORK}
    return ProjectConfig.model_validate(
        {"jobs": ["jobs.words"], "lanes": lanes or {}, "containers": containers, **tables}
    )


def rendered(lanes: Json | None = None, services: list[str] | None = None, **tables: Any) -> Json:
    statements = [STATEMENT] if "handlers" in tables else []
    return render_template(copy.deepcopy(shared()), config(lanes, services, **tables), statements)


def main_container(template: Json, part: str) -> Json:
    found: Json = template["Resources"][f"{part}Task"]["Properties"]["ContainerDefinitions"][0]
    return found


def environment(template: Json, part: str) -> Json:
    return {one["Name"]: one["Value"] for one in main_container(template, part)["Environment"]}


def of_function(template: Json, function: str) -> Json:
    common = template["Globals"]["Function"]["Environment"]["Variables"]
    return {**common, **template["Resources"][function]["Properties"].get("Environment", {}).get("Variables", {})}


def named(value: Any) -> Iterator[str]:
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name.partition(".")[0]
        case {"Fn::If": [str(name), *rest]}:
            yield name
            yield from named(rest)
        case {"Fn::Sub": str(text)}:
            yield from (one.partition(".")[0] for one in re.findall(r"\$\{([\w.]+)\}", text))
        case dict():
            yield from (name for inner in value.values() for name in named(inner))
        case list():
            yield from (name for inner in value for name in named(inner))


ALL = {"default": {"kind": "container"}, "heavy": HEAVY, "gpu-large": {"kind": "container"}}


@pytest.mark.parametrize(
    ("lanes", "services"),
    [
        ({"heavy": HEAVY}, []),
        (ALL, []),
        ({}, ["deliverer"]),
        ({}, ["sweeper"]),
        ({}, ["api"]),
        (ALL, ["sweeper", "deliverer", "api"]),
    ],
    ids=["a lane", "all lanes", "deliverer", "sweeper", "api", "everything"],
)
def test_nothing_refers_to_what_is_gone(lanes: Json, services: list[str]) -> None:
    template = rendered(lanes, services, api=ALB if "api" in services else {})
    there = {name for section in ("Parameters", "Resources", "Conditions") for name in template[section]}
    missing = {name for name in named(template["Resources"]) if name not in there and not name.startswith("AWS")}
    assert not missing
    functions = {name for name, one in template["Resources"].items() if one["Type"] == "AWS::Serverless::Function"}
    assert not {f"{name}Service" for name in functions} & template["Resources"].keys()


def test_a_lane_has_what_its_function_would_have() -> None:
    handlers = {"environment": {"MODEL": "small"}, "secrets": {"KEY": "payments/key"}}
    as_function, as_containers = (
        rendered({"heavy": {}}, handlers=handlers),
        rendered({"heavy": HEAVY}, handlers=handlers),
    )
    region = {name: {"Ref": "AWS::Region"} for name in ("AWS_REGION", "AWS_DEFAULT_REGION")}
    assert environment(as_containers, "Heavy") == of_function(as_function, "HeavyWorker") | region
    assert environment(as_containers, "Heavy")["COATCHECK_HANDLER_ROLE"] == {"Fn::GetAtt": ["HandlerRole", "Arn"]}
    function = as_function["Resources"]["HeavyWorker"]["Properties"]
    task = as_containers["Resources"]["HeavyTask"]["Properties"]
    assert task["TaskRoleArn"] == function["Role"]
    log = main_container(as_containers, "Heavy")["LogConfiguration"]["Options"]
    assert log["awslogs-group"] == function["LoggingConfig"]["LogGroup"]
    for role in ("WorkerRole", "ApiRole", "HandlerRole", "SweeperRole", "DelivererRole"):
        before, after = (one["Resources"][role]["Properties"] for one in (as_function, as_containers))
        assert before["Policies"] == after["Policies"]


def test_only_the_role_of_what_runs_in_containers_is_one_of_ecs() -> None:
    template = rendered(ALL, ["sweeper"])
    trusting = [
        name
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::IAM::Role" and "ecs-tasks" in json.dumps(one["Properties"]["AssumeRolePolicyDocument"])
    ]
    assert sorted(trusting) == ["ExecutionRole", "SweeperRole", "WorkerRole"]
    for name in trusting:
        statements = template["Resources"][name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        ecs = [one for one in statements if one["Principal"]["Service"] == "ecs-tasks.amazonaws.com"]
        assert [one["Condition"] for one in ecs] == [{"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}]


def test_the_size_of_a_lane_is_that_of_its_containers() -> None:
    template = rendered({"heavy": HEAVY | {"ready": 0}})
    task = template["Resources"]["HeavyTask"]["Properties"]
    assert (task["Cpu"], task["Memory"]) == ("4096", "16384")
    words = main_container(template, "Heavy")["Command"]
    assert words[:4] == ["--lane", "heavy", "--runners", "1"]
    assert int(words[words.index("--memory") + 1]) < 16384
    assert main_container(template, "Heavy")["StopTimeout"] > GRACE + 10
    assert template["Parameters"]["HeavyLaneTasks"]["Default"] == 5
    assert template["Parameters"]["HeavyLaneReadyTasks"]["Default"] == 0
    assert not {"HeavyLaneMemory", "HeavyLaneConcurrency"} & template["Parameters"].keys()
    target = template["Resources"]["HeavyTarget"]["Properties"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (
        {"Ref": "HeavyLaneReadyTasks"},
        {"Ref": "HeavyLaneTasks"},
    )


def test_a_lane_keeps_its_queue_and_the_alarms_of_it() -> None:
    before, after = rendered({"gpu-large": {}}), rendered({"gpu-large": {"kind": "container"}})
    for name in ("GpuLargeQueue", "GpuLargeDeadLetters", "GpuLargeQueueWaits", "GpuLargeDeadLettersArrived"):
        assert before["Resources"][name] == after["Resources"][name]
    assert before["Outputs"] == after["Outputs"]
    gone = before["Resources"].keys() - after["Resources"].keys()
    assert gone == {"GpuLargeWorker", *(f"GpuLargeWorker{what}" for what in ("Fails", "Throttled", "NearTimeout"))}
    assert before["Resources"]["GpuLargeLaneStopped"] != after["Resources"]["GpuLargeLaneStopped"]


def test_without_containers_the_template_is_as_it_was() -> None:
    assert rendered({"heavy": {}}) == rendered({"heavy": {}}, containers={})
    assert "Cluster" not in rendered({"heavy": {}})["Resources"]


def test_each_part_has_a_name_of_its_own_for_its_log_and_its_tasks() -> None:
    template = rendered(ALL, ["sweeper", "deliverer"])
    tasks = [one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::ECS::TaskDefinition"]
    assert len(tasks) == 5
    for key in (
        lambda task: json.dumps(task["Family"]),
        lambda task: task["ContainerDefinitions"][0]["LogConfiguration"]["Options"]["awslogs-stream-prefix"],
    ):
        assert len({key(task) for task in tasks}) == 5
    policies = [
        one["Properties"]["PolicyName"]["Fn::Sub"]
        for one in template["Resources"].values()
        if one["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy"
    ]
    assert len(set(policies)) == len(policies) == 6


@pytest.mark.parametrize("front_door", ["alb", "rest+alb"])
def test_the_load_balancer_is_in_front_of_the_apis_containers(front_door: str) -> None:
    doors = {"front-door": front_door}
    before, after = rendered(api=doors), rendered(services=["api"], api=doors)
    targets = after["Resources"]["ApiTargets"]["Properties"]
    assert (targets["TargetType"], targets["VpcId"], targets["Port"]) == ("ip", "vpc-0a1b2c3d", 8000)
    service = after["Resources"]["ApiService"]["Properties"]
    assert service["LoadBalancers"][0]["TargetGroupArn"] == {"Ref": "ApiTargets"}
    assert main_container(after, "Api")["PortMappings"] == [{"ContainerPort": 8000}]
    # containers stream, and serve many requests at once
    lacks = of_function(before, "ApiFunction").keys() - environment(after, "Api").keys()
    assert lacks == OF_A_FUNCTION
    assert after["Resources"]["AdminTargets"] == before["Resources"]["AdminTargets"]
    assert after["Resources"]["ApiFunction"] == before["Resources"]["ApiFunction"]
    assert "WorkerImage" not in after["Parameters"]


@pytest.mark.parametrize(
    ("changes", "front_door", "said"),
    [
        ({}, "rest", 'containers.services: "api" needs a load balancer: front-door = "alb"'),
        ({"vpc": None}, "alb", "containers.vpc is missing"),
    ],
    ids=["no load balancer", "no vpc"],
)
def test_containers_of_the_api_need_a_load_balancer(changes: Json, front_door: str, said: str) -> None:
    containers = {**NETWORK, "services": ["api"], **changes}
    with pytest.raises(ProjectError, match=re.escape(said)):
        rendered(api={"front-door": front_door}, containers=containers)


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        ({"cpu": 1}, 'cpu is for lanes of kind = "container"'),
        ({"ready": 1}, 'ready is for lanes of kind = "container"'),
        ({"memory": 10_241}, "a function has 10240 MB at most"),
        ({"concurrency": 1}, "Lambda runs 2 or more"),
        ({"kind": "container", "cpu": 3}, "cpu: Fargate has 0.25, 0.5, 1, 2, 4, 8, 16"),
        (
            {"kind": "container", "cpu": 4, "memory": 4096},
            "with 4 CPUs, Fargate has 8192 to 30720 MB, in steps of 1024",
        ),
        ({"kind": "container", "cpu": 16, "memory": 33_000}, "in steps of 8192"),
        ({"kind": "container", "cpu": 0.25, "memory": 1536}, "with 0.25 CPUs"),
        ({"kind": "container", "ready": 3}, "ready is more than concurrency"),
        ({"kind": "cluster"}, "Input should be 'lambda', 'lambda-managed' or 'container'"),
    ],
    ids=lambda one: "" if isinstance(one, dict) else str(one),
)
def test_a_size_that_aws_does_not_have_is_refused(lane: Json, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Lane.model_validate(lane)


@pytest.mark.parametrize("cpu", [0.25, 0.5, 1, 2, 4, 8, 16])
def test_a_lane_without_memory_has_one_that_fits(cpu: float) -> None:
    lane = Lane.model_validate({"kind": "container", "cpu": cpu})
    part = lane_part("heavy", lane)
    assert (part.cpu, part.memory) == lane.size


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subnets": []}, "tool.coatcheck.containers.subnets is missing"),
        ({"security-groups": []}, "tool.coatcheck.containers.security-groups is missing"),
        ({"subnets": ["vpc-1"]}, 'tool.coatcheck.containers.subnets: "vpc-1" is not the id of a subnet'),
    ],
    ids=lambda one: "" if isinstance(one, dict) else one,
)
def test_containers_need_a_network(changes: Json, said: str) -> None:
    with pytest.raises(ProjectError, match=re.escape(said)):
        rendered({"heavy": HEAVY}, containers={**NETWORK, **changes})


def test_a_deploy_sets_what_the_project_says_of_containers() -> None:
    assert project_parameters(config({"heavy": HEAVY, "small": {"memory": 512}})) == {
        "FrontDoor": "rest",
        "Streaming": "off",
        "HeavyLaneTasks": "5",
        "SmallLaneMemory": "512",
    }
    assert set(lanes_of(rendered({"heavy": HEAVY})["Parameters"])) == {"default", "heavy"}


def test_an_image_is_asked_for_and_one_that_stays_is_pointed_out() -> None:
    declared = rendered({"heavy": HEAVY})["Parameters"]
    with pytest.raises(DeployRefused, match="WorkerImage has no value: give it with --set WorkerImage="):
        make_plan(declared, None, {})
    with pytest.raises(DeployRefused, match="an image with its digest"):
        make_plan(declared, None, {"WorkerImage": "words:latest"})
    plan = make_plan(declared, None, {"WorkerImage": IMAGE})
    live = LiveStack("UPDATE_COMPLETE", plan.values)
    assert not [one for one in warnings(plan) if "WorkerImage" in one]
    assert [one for one in warnings(make_plan(declared, live, {})) if one.startswith("WorkerImage stays as it is")]
