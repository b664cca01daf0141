"""What each front door has in the template of a project."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.project.config import ApiConfig, FrontDoors, ProjectError
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.template import read_template
from tests.repository import ROOT

COMBINATIONS: tuple[str, ...] = get_args(FrontDoors)
REST = {"AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage", "AWS::ApiGateway::Deployment"}
URL = {"AWS::Lambda::Url"}
BALANCER = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::ListenerRule",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
}
TYPES = {
    "rest": REST,
    "function-url": URL,
    "alb": BALANCER,
    "rest+function-url": REST | URL,
    "rest+alb": REST | BALANCER,
}
ALARMS = {"rest": "ApiFails", "function-url": "FunctionUrlFails", "alb": "LoadBalancerFails"}
HOSTS = {"rest": ".execute-api.", "function-url": "FunctionUrl.FunctionUrl", "alb": "LoadBalancer.DNSName"}


@functools.cache
def translated(front_door: str) -> dict[str, Any]:
    """What CloudFormation gets of a project with these doors."""
    return translate_template(
        template=render_api(read_template(), ApiConfig.model_validate({"front-door": front_door}))
    )


def named(value: Any) -> Iterator[str]:
    """The names that a value refers to."""
    match value:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::If": [str(name), *inner]}:
            yield name
            yield from named(inner)
        case {"Fn::Sub": str(text)}:
            yield from (name.split(".")[0] for name in re.findall(r"\$\{([\w.:]+)\}", text))
        case {"Fn::Sub": [str(text), dict(own)]}:
            yield from (name for name in re.findall(r"\$\{([\w:]+)\}", text) if name not in own)
            yield from named(own)
        case dict():
            # of a resource, or within another condition
            yield from [value["Condition"]] if isinstance(value.get("Condition"), str) else []
            yield from (name for inner in value.values() for name in named(inner))
        case list():
            yield from (name for inner in value for name in named(inner))


@pytest.mark.parametrize("front_door", COMBINATIONS)
def test_a_door_has_what_it_needs_and_nothing_of_the_others(front_door: str) -> None:
    template = translated(front_door)
    doors = {one["Type"] for one in template["Resources"].values()} & (REST | URL | BALANCER)
    assert doors == TYPES[front_door]
    alarms = {door for door, alarm in ALARMS.items() if alarm in template["Resources"]}
    assert alarms == set(front_door.split("+"))
    known = {name for section in ("Parameters", "Resources", "Conditions") for name in template[section]}
    resources = [
        {name: part for name, part in one.items() if name != "DependsOn"} for one in template["Resources"].values()
    ]
    used = set(named([*resources, template["Outputs"], template["Conditions"], template.get("Rules", {})]))
    assert {name for name in used if not name.startswith("AWS::")} <= known
    # a parameter that nothing asks for is refused by nobody, and misleads
    assert template["Parameters"].keys() <= used


@pytest.mark.parametrize("front_door", COMBINATIONS)
def test_no_webhook_may_go_to_the_api_by_any_of_its_names(front_door: str) -> None:
    variables = translated(front_door)["Resources"]["Deliverer"]["Properties"]["Environment"]["Variables"]
    refused = json.dumps(variables["COATCHECK_WEBHOOK_REFUSED"]).replace('", "', ".")
    assert {door for door, host in HOSTS.items() if host in refused} == set(front_door.split("+"))
    assert ("AdminFunctionUrl.FunctionUrl" in refused) == ("function-url" in front_door)


def permissions(front_door: str, function: str) -> list[dict[str, Any]]:
    """What a door may do with a function."""
    resources = translated(front_door)["Resources"].values()
    found = [one["Properties"] for one in resources if one["Type"] == "AWS::Lambda::Permission"]
    return [one for one in found if one["FunctionName"]["Ref"] == function]


@pytest.mark.parametrize("function", ["ApiFunctionAliaslive", "AdminFunction"])
def test_a_function_url_may_be_used_by_all_only_where_it_takes_keys(function: str) -> None:
    by_url, invoke = permissions("function-url", function)
    assert (by_url["Action"], by_url["FunctionUrlAuthType"]) == ("lambda:InvokeFunctionUrl", "NONE")
    # nobody may invoke the function itself: there they could write any event
    assert (invoke["Action"], invoke["InvokedViaFunctionUrl"]) == ("lambda:InvokeFunction", True)
    opens = [
        one
        for one in translated("function-url")["Resources"].values()
        if "*" in str(one.get("Properties", {}).get("Principal"))
    ]
    assert {one["Condition"] for one in opens} == {"HasOpenFunctionUrl"}
    assert len(opens) == 4


@pytest.mark.parametrize("function", ["ApiFunctionAliaslive", "AdminFunction"])
def test_load_balancers_of_this_account_alone_may_invoke(function: str) -> None:
    (permission,) = permissions("alb", function)
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(":targetgroup/*")


def test_a_load_balancer_passes_all_headers_and_sends_operators_to_their_function() -> None:
    resources = translated("alb")["Resources"]
    for name, target in (
        ("ApiTargets", {"Ref": "ApiFunctionAliaslive"}),
        ("AdminTargets", {"Fn::GetAtt": ["AdminFunction", "Arn"]}),
    ):
        group = resources[name]["Properties"]
        assert group["Targets"] == [{"Id": target}]
        assert group["TargetGroupAttributes"] == [{"Key": "lambda.multi_value_headers.enabled", "Value": "true"}]
    assert resources["ApiTargets"]["Properties"]["HealthCheckPath"] == "/v1/health"
    rule = resources["AdminListenerRule"]["Properties"]
    assert rule["Conditions"][0]["PathPatternConfig"]["Values"] == ["/v1/admin/*"]
    assert rule["Actions"][0]["TargetGroupArn"] == {"Ref": "AdminTargets"}


@pytest.mark.parametrize("front_door", ["function-url", "alb"])
@pytest.mark.parametrize("asked", [{"authorizer": True}, {"iam": "submit"}], ids=str)
def test_what_only_a_rest_api_has_is_refused_without_one(front_door: str, asked: dict[str, Any]) -> None:
    (key,) = asked
    with pytest.raises(ProjectError, match=rf"remove {key}, or set front-door to rest\+{front_door}"):
        render_api(read_template(), ApiConfig.model_validate({"front-door": front_door, **asked}))
    beside = ApiConfig.model_validate({"front-door": f"rest+{front_door}", **asked})
    assert "Api" in render_api(read_template(), beside)["Resources"]


def test_pages_of_named_origins_read_what_api_gateway_answers_itself() -> None:
    def headers(*origins: str) -> set[str | None]:
        config = ApiConfig.model_validate({"cors-origins": origins, "authorizer": True})
        answers = render_api(read_template(), config)["Resources"]["Api"]["Properties"]["GatewayResponses"].values()
        return {one["ResponseParameters"]["Headers"].get("Access-Control-Allow-Origin") for one in answers}

    assert headers() == {None}
    assert headers("https://a.example") == {"'https://a.example'"}
    assert headers("https://a.example", "https://b.example") == {"'*'"}


@pytest.mark.parametrize("front_door", COMBINATIONS)
def test_each_parameter_and_alarm_of_a_door_is_described(front_door: str) -> None:
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("deploy", "project", "operate"))
    template = translated(front_door)
    alarms = [name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    assert [name for name in (*template["Parameters"], *alarms) if f"`{name}" not in pages] == []
