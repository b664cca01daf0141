"""What `make deploy` works out before anything is deployed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from coatcheck_infra.ops.deploy.account_limits import Account, concurrency_warnings
from coatcheck_infra.ops.deploy.deploy import Request, describe_plan, image_repository, sam
from coatcheck_infra.ops.deploy.destroy_project import Doomed, ask
from coatcheck_infra.ops.deploy.lanes import project_parameters
from coatcheck_infra.ops.deploy.plan import Change, DeployRefused, LiveStack, make_plan, parse_parameters, warnings
from coatcheck_infra.ops.deploy.target import StackTarget, project_of, target_of
from coatcheck_infra.project.config import ApiConfig, ProjectConfig
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.project.template_lanes import render_lanes
from coatcheck_infra.template import read_template

KEYS = json.dumps({"ab" * 32: "one", "cd" * 32: "two"})
QUOTED = '["https://a.example", "https://b.example"]'
TOPIC = "arn:aws:sns:eu-west-1:1:alarms"
DECLARED: dict[str, Any] = read_template()["Parameters"]
TARGET = StackTarget("coatcheck", "eu-west-1", boto3.Session())
REQUEST = Request(Path("template.json"), DECLARED)
DEFAULTS = {name: str(one["Default"]) for name, one in DECLARED.items()}


def live(**values: str) -> LiveStack:
    return LiveStack("UPDATE_COMPLETE", {**DEFAULTS, "AlarmTopicArn": TOPIC, **values})


def test_what_the_live_stack_has_stays_unless_it_is_asked_for() -> None:
    there = live(MaxRetentionDays="365", DefaultLaneConcurrency="20")
    assert make_plan(DECLARED, there, {}).changes == []

    plan = make_plan(DECLARED, there, {"DefaultLaneConcurrency": "40"})
    assert plan.changes == [Change("DefaultLaneConcurrency", "20", "40")]
    assert plan.values["MaxRetentionDays"] == "365"
    # the SAM CLI keeps what it is not told
    overrides = sam(TARGET, Path("t"), {"DefaultLaneConcurrency": "40"}, Path("c"))
    assert overrides[overrides.index("--parameter-overrides") + 1 :] == ['DefaultLaneConcurrency="40"']
    assert "--parameter-overrides" not in sam(TARGET, Path("t"), {}, Path("c"))


def test_a_parameter_that_the_live_stack_does_not_know_yet_gets_its_default() -> None:
    there = live()
    older = LiveStack(there.status, {name: value for name, value in there.parameters.items() if name != "SnapStart"})
    assert make_plan(DECLARED, older, {}).changes == [Change("SnapStart", None, "on")]


def test_values_with_spaces_and_quotes_reach_the_sam_cli_as_they_are() -> None:
    asked = parse_parameters([f"BrowserOrigins={QUOTED}  AlarmTopicArn={TOPIC}", "SnapStart=off", ""])
    assert asked == {"BrowserOrigins": QUOTED, "AlarmTopicArn": TOPIC, "SnapStart": "off"}
    quoted = QUOTED.replace('"', '\\"')
    assert f'BrowserOrigins="{quoted}"' in sam(TARGET, Path("t"), asked, Path("c"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"PublicURL": ""}, r"unknown parameter `PublicURL`; did you mean `PublicUrl`\?"),
        ({"ApiKeys": "{}"}, "ApiKeys is a parameter no longer; API keys are in the table: use `coatcheck keys create`"),
        ({"ExistingTable": "another"}, "ExistingTable can only be set on a new stack"),
        ({"PublicUrl": "http://a"}, "PublicUrl=http://a: https, no trailing slash"),
        ({"AlarmTopicArn": "alarms"}, "AlarmTopicArn=alarms: does not match"),
        ({"MaxRetentionDays": "31"}, "MaxRetentionDays=31: must be one of 1, 3"),
        ({"HeavyLaneConcurrency": "1"}, "HeavyLaneConcurrency=1: must be a number from 2 to 1000"),
        ({"HeavyLaneConcurrency": "many"}, "must be a number"),
        ({"DefaultRetentionDays": "90"}, "more than MaxRetentionDays"),
    ],
)
def test_what_must_not_be_is_refused(asked: dict[str, str], said: str) -> None:
    with pytest.raises(DeployRefused, match=said):
        make_plan(DECLARED, live(), asked)


def test_a_new_stack_may_be_given_what_an_earlier_one_left() -> None:
    assert make_plan(DECLARED, None, {"ExistingTable": "kept"}).values["ExistingTable"] == "kept"


def test_what_is_not_an_assignment_is_refused() -> None:
    with pytest.raises(DeployRefused, match="'SnapStart' must have the form Name=value"):
        parse_parameters(["SnapStart"])


@pytest.mark.parametrize(
    ("current", "asked", "warned"),
    [
        (live(), {}, []),
        (live(AlarmTopicArn=""), {}, ["AlarmTopicArn is empty"]),
        (None, {}, ["AlarmTopicArn is empty"]),
        (live(ApiKeys="{}"), {}, []),
        (
            live(ApiKeys=KEYS),
            {},
            ["ApiKeys is a parameter no longer: its 2 keys of the live stack will get"],
        ),
        (live(), {"MaxRetentionDays": "7"}, ["MaxRetentionDays goes from 30 to 7"]),
        (live(), {"MaxRetentionDays": "90"}, []),
    ],
)
def test_what_is_easily_overlooked_is_said(current: LiveStack | None, asked: dict[str, str], warned: list[str]) -> None:
    told = list(warnings(make_plan(DECLARED, current, asked)))
    assert len(told) == len(warned)
    assert all(start in line for start, line in zip(warned, told, strict=True)), told


NEW, BIG = Account(limit=10, unreserved=10), Account(limit=1000, unreserved=1000)


@pytest.mark.parametrize(
    ("account", "values", "said"),
    [
        (NEW, {}, None),
        (NEW, {"DefaultLaneConcurrency": "20"}, "Set DefaultLaneConcurrency=3, or ask"),
        (
            NEW,
            {"DefaultLaneConcurrency": "20", "HeavyLaneConcurrency": "5", "WebhookConcurrency": "5"},
            "Set DefaultLaneConcurrency=3 HeavyLaneConcurrency=2 WebhookConcurrency=2, or ask",
        ),
        (Account(limit=8, unreserved=8), {}, "too few for any setting"),
        (NEW, {"SweeperReservedConcurrency": "1"}, "1 cannot be reserved: this account runs 10 at once"),
        (
            BIG,
            {"DefaultLaneConcurrency": "20", "ApiReservedConcurrency": "20", "SweeperReservedConcurrency": "2"},
            None,
        ),
        (BIG, {"ApiReservedConcurrency": "901"}, "901 cannot be reserved"),
    ],
)
def test_the_lanes_have_to_fit_the_account(account: Account, values: dict[str, str], said: str | None) -> None:
    told = list(concurrency_warnings(account, DEFAULTS | values, {}))
    assert bool(told) is (said is not None)
    assert said is None or said in " ".join(told)


def test_what_is_set_as_advised_fits() -> None:
    for limit in range(9, 200):
        values: Mapping[str, str] = DEFAULTS | dict.fromkeys(("DefaultLaneConcurrency", "HeavyLaneConcurrency"), "100")
        told = " ".join(concurrency_warnings(Account(limit, limit), values, {}))
        advised = parse_parameters([told.partition("Set ")[2].partition(", or ask")[0]])
        assert not list(concurrency_warnings(Account(limit, limit), {**values, **advised}, {})), (limit, told)


def test_what_the_stack_reserves_already_is_free_for_it() -> None:
    reserved = DEFAULTS | {"ApiReservedConcurrency": "100"}
    assert not list(concurrency_warnings(Account(limit=250, unreserved=150), reserved, reserved))


def test_the_change_is_shown_with_what_is_wrong_with_it() -> None:
    plan = make_plan(DECLARED, live(AlarmTopicArn=""), {"DefaultLaneConcurrency": "20"})
    lines = describe_plan(TARGET, REQUEST, plan, NEW)
    assert lines[:3] == [
        "Stack coatcheck in eu-west-1: exists (UPDATE_COMPLETE).",
        "  DefaultLaneConcurrency: 3 → 20",
        f"  {len(DECLARED) - 1} parameters stay as they are.",
    ]
    assert [line.split()[:2] for line in lines[3:]] == [["Warning:", "AlarmTopicArn"], ["Warning:", "The"]]
    assert "not checked" in describe_plan(TARGET, REQUEST, plan, None)[-1]


def config(**tables: Any) -> ProjectConfig:
    return ProjectConfig.model_validate({"jobs": ["jobs.words"], **tables})


def test_what_the_project_says_is_asked_for_and_options_go_before_it() -> None:
    lanes = {"default": {"concurrency": 5}, "gpu-large": {"memory": 4096}}
    project = project_parameters(config(lanes=lanes, deploy={"parameters": {"DefaultRetentionDays": 14}}))
    assert project == {
        "DefaultLaneConcurrency": "5",
        "GpuLargeLaneMemory": "4096",
        "DefaultRetentionDays": "14",
        "FrontDoor": "rest",
        "Streaming": "off",
    }
    request = Request(Path("t"), DECLARED, project, {"DefaultLaneConcurrency": "9"})
    assert request.values == {**project, "DefaultLaneConcurrency": "9"}


BALANCED = {
    "PublicUrl": "https://jobs.example.com",
    "LoadBalancerSubnets": "subnet-0a1b2c3d,subnet-1a1b2c3d",
    "LoadBalancerSecurityGroups": "sg-0a1b2c3d",
    "LoadBalancerCertificate": "arn:aws:acm:eu-west-1:123456789012:certificate/1",
}


def declared_with(front_door: str) -> dict[str, Any]:
    api = ApiConfig.model_validate({"front-door": front_door})
    declared: dict[str, Any] = render_api(read_template(), api)["Parameters"]
    return declared


@pytest.mark.parametrize("missing", BALANCED)
def test_a_load_balancer_without_what_it_needs_is_refused(missing: str) -> None:
    given = {name: value for name, value in BALANCED.items() if name != missing}
    with pytest.raises(DeployRefused, match=f"FrontDoor=rest.alb needs {missing} too"):
        make_plan(declared_with("rest+alb"), None, given)
    assert make_plan(declared_with("rest+alb"), None, BALANCED).values["FrontDoor"] == "rest+alb"


def test_the_doors_are_the_projects_to_choose() -> None:
    with pytest.raises(DeployRefused, match=r"FrontDoor=alb: set front-door in \[tool.coatcheck.api\]"):
        make_plan(DECLARED, None, {"FrontDoor": "alb"})


def test_a_deploy_warns_of_a_door_that_goes_and_of_limits_that_another_does_not_have() -> None:
    only = make_plan(declared_with("function-url"), live(), {"FrontDoor": "function-url"})
    assert Change("FrontDoor", "rest", "function-url") in only.changes
    assert [one.split(":")[0] for one in warnings(only)] == [
        "The front door rest is removed",
        "RequestsPerSecond limits a REST API alone",
    ]
    beside = {"FrontDoor": "rest+alb", "MaxJsonMegabytes": "2", "ApiReservedConcurrency": "20", **BALANCED}
    said = list(warnings(make_plan(declared_with("rest+alb"), live(), beside)))
    assert said == ["MaxJsonMegabytes=2, and alb carries 1,048,576 bytes."]
    declared = declared_with("rest+alb") | {"ApiImage": {"Type": "String"}}
    # the load balancer leads to containers, which carry it
    assert not list(warnings(make_plan(declared, live(), {**beside, "ApiImage": "api@sha256:1"})))
    # a stack of an earlier version has no such parameter
    older = {name: value for name, value in live().parameters.items() if name != "FrontDoor"}
    assert not list(warnings(make_plan(DECLARED, LiveStack("UPDATE_COMPLETE", older), {})))


def test_the_sam_cli_is_given_the_repository_of_a_function_that_is_an_image() -> None:
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/words-api"
    repository = image_repository({"Streaming": "on", "ApiImage": f"{image}@sha256:1"})
    command = sam(TARGET, Path("t"), {}, Path("c"), repository)
    assert command[command.index("--image-repository") + 1] == image
    # an image that runs in containers alone is none of its business
    assert image_repository({"Streaming": "off", "ApiImage": f"{image}@sha256:1"}) is None
    assert "--image-repository" not in sam(TARGET, Path("t"), {}, Path("c"))


def test_a_deploy_says_before_what_switching_streaming_does_meanwhile() -> None:
    streamed: dict[str, Any] = render_api(read_template(), ApiConfig(streaming=True))["Parameters"]
    on = [*warnings(make_plan(streamed, live(), {"Streaming": "on"}))]
    assert on[0].startswith("Streaming goes from off to on: ")
    assert "502 or 503 for some seconds" in on[0]
    assert "one of the account's concurrent executions" in on[1]
    (off,) = warnings(make_plan(DECLARED, live(Streaming="on"), {"Streaming": "off"}))
    assert off.startswith("Streaming goes from on to off: ")
    # neither where it stays, nor where there is nobody yet whose requests could fail
    assert not list(warnings(make_plan(streamed, live(Streaming="on"), {"Streaming": "on"})))
    assert not [one for one in warnings(make_plan(streamed, None, {"Streaming": "on"})) if "Streaming" in one]


def test_a_parameter_that_the_project_gives_twice_is_refused() -> None:
    twice = config(lanes={"default": {"memory": 512}}, deploy={"parameters": {"DefaultLaneMemory": 512}})
    with pytest.raises(
        DeployRefused, match=r"DefaultLaneMemory is in \[tool\.coatcheck\.lanes\] and in the parameters"
    ):
        project_parameters(twice)


def described(there: LiveStack, project: ProjectConfig, options: Mapping[str, str]) -> list[str]:
    declared = render_lanes(read_template(), project.lanes)["Parameters"]
    request = Request(Path("t"), declared, project_parameters(project), options)
    return [*describe_plan(TARGET, request, make_plan(declared, there, request.values), BIG)]


def test_a_lane_changed_by_hand_gets_what_the_project_says_and_the_difference_is_shown() -> None:
    there = live(DefaultLaneConcurrency="20", HeavyLaneMemory="5000", LogRetentionDays="7")
    project = config(lanes={"default": {"concurrency": 5}, "heavy": {}})
    # memory of lane heavy is nowhere asked for: it stays as it is on the stack
    assert described(there, project, {})[1:] == [
        "  DefaultLaneConcurrency: 20 → 5 (pyproject.toml)",
        f"  {len(DECLARED) - 1} parameters stay as they are.",
    ]
    lines = described(there, project, {"DefaultLaneConcurrency": "9"})
    assert lines[1] == "  DefaultLaneConcurrency: 20 → 9"
    warning = "Warning: DefaultLaneConcurrency=9 is for this deploy alone: pyproject.toml says 5, as the next one will."
    assert lines[-1] == warning


def test_a_lane_that_the_project_has_no_longer_is_warned_of_with_what_becomes_of_its_jobs() -> None:
    *_, warning = described(live(), config(lanes={"gpu-large": {}}), {})
    assert warning.startswith("Warning: Lane heavy is in the stack and no longer in pyproject.toml")
    assert "do not run until a deploy has the lane again" in warning
    lines = described(live(), config(lanes={"gpu-large": {}, "heavy": {}}), {})
    assert "  GpuLargeLaneMemory: 3008" in lines
    assert not any("no longer" in line for line in lines)


def test_the_stack_is_the_projects_unless_an_option_names_another(tmp_path: Path) -> None:
    deploy = '[tool.coatcheck.deploy]\nstack = "words"\nregion = "eu-central-1"\n'
    (tmp_path / "pyproject.toml").write_text(f'[tool.coatcheck]\njobs = ["jobs.words"]\n{deploy}')
    given = project_of(tmp_path, None, None).config.deploy
    assert (given.stack, given.region) == ("words", "eu-central-1")
    given = project_of(tmp_path, "other", "eu-west-1").config.deploy
    assert (given.stack, given.region) == ("other", "eu-west-1")
    assert target_of("words", "eu-central-1").region == "eu-central-1"


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (None, r'the stack has no name: set stack = "…" in \[tool\.coatcheck\.deploy\]'),
        ("a b", "is no name of a stack"),
    ],
)
def test_a_stack_without_a_name_is_refused(stack: str | None, said: str) -> None:
    with pytest.raises(DeployRefused, match=said):
        target_of(stack, "eu-central-1")


def run_command(*argv: str, folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-c", "from coatcheck.cli.main import main; main()", *argv]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("command", ["deploy", "destroy"])
def test_what_is_wrong_is_one_line_of_the_command(command: str, tmp_path: Path) -> None:
    code, said = run_command(command, folder=tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"coatcheck {command}: no project here: ")
    (tmp_path / "pyproject.toml").write_text('[tool.coatcheck]\njobs = ["jobs.words"]\n')
    code, said = run_command(command, folder=tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"coatcheck {command}: the stack has no name: ")


DOOMED = Doomed("arn", "words", "CREATE_COMPLETE", ())


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("keep_data", [True, False])
def test_without_a_terminal_nothing_is_destroyed(monkeypatch: pytest.MonkeyPatch, *, keep_data: bool) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("words\n"))
    with pytest.raises(DeployRefused, match="there is no terminal to ask on: give --yes"):
        ask(DOOMED, keep_data=keep_data)


@pytest.mark.parametrize(
    ("typed", "keep_data", "agreed"),
    [("words", False, True), ("y", False, False), ("", False, False), ("y", True, True), ("n", True, False)],
)
def test_the_data_goes_only_when_the_stacks_name_is_typed(
    monkeypatch: pytest.MonkeyPatch, typed: str, *, keep_data: bool, agreed: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{typed}\n"))
    if agreed:
        ask(DOOMED, keep_data=keep_data)
    else:
        with pytest.raises(DeployRefused, match="canceled; nothing was changed"):
            ask(DOOMED, keep_data=keep_data)
