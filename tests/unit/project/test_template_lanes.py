"""A project's lanes in the template: made after the pattern of `heavy`, and nothing else changes."""

from __future__ import annotations

import copy
import functools
import json
import random
import re
from typing import Any

import pytest

from coatcheck_infra.ops.target_deployment import settings_from_outputs
from coatcheck_infra.project.config import ApiConfig, ProjectConfig, ProjectError
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.project.template_handlers import HANDLER_POLICY, HANDLER_ROLE
from coatcheck_infra.project.template_lanes import lane_id, lane_of_id, render_lanes
from coatcheck_infra.template import read_template

Json = dict[str, Any]

ADDED = {"COATCHECK_JOBS", "COATCHECK_SECRETS", "MODEL"}
QUEUES = ("COATCHECK_QUEUES", "COATCHECK_DEAD_LETTERS")
LANES = ("heavy", "gpu", "gpu-large", "a1", "queue", "x")
VPC = {"subnets": ["subnet-0a"], "security-groups": ["sg-0b"]}
LAYER = "arn:aws:lambda:eu-central-1:123456789012:layer:fonts:3"
STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}


shared = functools.cache(read_template)


def base() -> Json:
    """A copy of the template, which takes long to parse."""
    return copy.deepcopy(shared())


def config(**tables: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"jobs": ["jobs.words"], **tables})


def variables(template: Json) -> Json:
    made: Json = template["Globals"]["Function"]["Environment"]["Variables"]
    return made


def queues(template: Json, variable: str = "COATCHECK_QUEUES") -> Json:
    found: Json = json.loads(variables(template)[variable]["Fn::Sub"])
    return found


def rest(template: Json, lanes: set[str]) -> Json:
    """What a project must not change of a template: all but its `lanes`, and what handlers get."""
    ids = "|".join(lane_id(lane) for lane in lanes) or "-"
    of_lane = re.compile(rf"({ids})(Queue|DeadLetters|Worker|Lane|Jobs|Handlers)")
    left = copy.deepcopy(template)
    for section in ("Parameters", "Resources", "Outputs"):
        left[section] = {name: one for name, one in left[section].items() if not of_lane.match(name)}
    for variable in QUEUES:
        kept = {lane: queue for lane, queue in queues(left, variable).items() if lane not in lanes}
        variables(left)[variable] = kept
    variables(left).pop("COATCHECK_JOBS", None)
    for name in (HANDLER_POLICY, HANDLER_ROLE):
        left["Resources"].pop(name, None)
    left["Resources"]["WorkerRole"]["Properties"].pop("ManagedPolicyArns", None)
    for key in ("Environment", "Layers", "VpcConfig"):
        left["Resources"]["DefaultWorker"]["Properties"].pop(key, None)
    for size in ("Memory", "Concurrency"):
        left["Parameters"][f"DefaultLane{size}"].pop("Default")
    kept_of_all: Json = without_arns(left, of_lane)
    return kept_of_all


def without_arns(value: Any, of_lane: re.Pattern[str]) -> Any:
    match value:
        case dict():
            return {key: without_arns(inner, of_lane) for key, inner in value.items()}
        case list():
            return [
                without_arns(inner, of_lane)
                for inner in value
                if not (isinstance(inner, dict) and of_lane.match(str(inner.get("Fn::GetAtt", [""])[0])))
            ]
    return value


def random_config(chance: random.Random) -> ProjectConfig:
    def maybe(value: Any) -> Any:
        return chance.choice([None, value])

    sizes = {"memory": chance.randint(256, 10_240), "concurrency": chance.randint(2, 1000)}
    lanes = {
        lane: {size: number for size, number in sizes.items() if chance.random() < 0.5}
        for lane in chance.sample(["default", *LANES], chance.randint(0, 4))
    }
    handlers = {
        "environment": {"MODEL": "small"},
        "secrets": {"KEY": "payments/key"},
        "layers": [LAYER],
        "vpc": VPC,
    }
    return config(lanes=lanes, handlers={key: one for key, one in handlers.items() if maybe(one)})


@pytest.mark.parametrize("seed", range(30))
def test_the_rest_of_the_template_stays_as_it_is(seed: int) -> None:
    chance = random.Random(seed)
    project, before = random_config(chance), base()
    rendered = render_template(before, project, chance.choice([[], [STATEMENT]]))
    assert rest(rendered, set(project.lanes) - {"default"}) == rest(render_api(base(), ApiConfig()), {"heavy"})
    assert before == base()


def test_with_the_lanes_of_the_template_nothing_changes_but_what_is_declared() -> None:
    assert render_lanes(base(), config(lanes={"heavy": {}}).lanes) == base()


def test_a_lane_that_is_not_named_leaves_no_trace() -> None:
    assert "eavy" not in json.dumps(render_template(base(), config()))
    assert queues(render_template(base(), config())).keys() == {"default", "webhooks"}


def test_another_lane_is_like_heavy_under_its_own_names() -> None:
    rendered = render_lanes(base(), config(lanes={"gpu-large": {"memory": 4000}}).lanes)
    assert rendered["Parameters"]["GpuLargeLaneMemory"]["Default"] == 4000
    assert queues(rendered)["gpu-large"] == "${GpuLargeQueue}"
    assert queues(rendered, "COATCHECK_DEAD_LETTERS")["gpu-large"] == "${GpuLargeDeadLetters}"
    rendered["Parameters"]["GpuLargeLaneMemory"]["Default"] = base()["Parameters"]["HeavyLaneMemory"]["Default"]
    # read backwards it is the template that we began with
    text = json.dumps(rendered).replace("GpuLarge", "Heavy").replace("gpu-large", "heavy")
    assert json.loads(text) == base()


def test_the_alarms_of_a_lane_hear_its_own_metrics() -> None:
    resources = render_lanes(base(), config(lanes={"gpu-large": {}}).lanes)["Resources"]
    for name in ("QueueWaits", "JobsFail", "WorkersLost", "HandlersCrash"):
        alarm = json.dumps(resources[f"GpuLarge{name}"])
        assert '{"Name": "Lane", "Value": "gpu-large"}' in alarm
        assert "lane gpu-large" in alarm


def test_the_workers_role_allows_each_lanes_queues() -> None:
    rendered = render_lanes(base(), config(lanes={"gpu": {}, "heavy": {}}).lanes)
    role = rendered["Resources"]["WorkerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    received = next(one["Resource"] for one in role if "sqs:ReceiveMessage" in one["Action"])
    assert [arn["Fn::GetAtt"][0] for arn in received] == ["DefaultQueue", "GpuQueue", "HeavyQueue"]


def test_what_a_lane_is_called_is_read_back_from_the_outputs_of_the_stack() -> None:
    rendered = render_lanes(base(), config(lanes={"gpu-large": {}, "a1": {}}).lanes)
    settings = settings_from_outputs("mine", dict.fromkeys(rendered["Outputs"], "some"))
    assert settings.queues.keys() == queues(rendered).keys() == {"default", "gpu-large", "a1", "webhooks"}
    assert all(lane_of_id(lane_id(lane)) == lane for lane in LANES)


def test_a_lane_that_would_be_something_else_of_the_template_is_refused() -> None:
    taken = base()
    taken["Resources"]["GpuQueue"] = {"Type": "AWS::SQS::Queue"}
    with pytest.raises(ProjectError, match=r"\"gpu\" needs the name GpuQueue .* one of Coatcheck's own"):
        render_lanes(taken, config(lanes={"gpu": {}}).lanes)
    with pytest.raises(ProjectError, match=r'needs the name GpuLane.* that of the lane "gpu"'):
        render_lanes(base(), {**config(lanes={"gpu": {}}).lanes, "Gpu": config().lanes["default"]})


def test_so_many_lanes_that_their_queues_do_not_fit_into_the_variables_of_a_function_are_refused() -> None:
    lanes: Json = {f"lane{letter}": {} for letter in "abcdefghijklmnop"}
    with pytest.raises(
        ProjectError, match=r"variables of ApiFunction may take \d+ bytes, and Lambda has room for 4096"
    ):
        render_template(base(), config(lanes=lanes))
