"""What a project with `cloudfront = true` has in the template."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.ops.deploy.front_doors import front_door_problem
from coatcheck_infra.project.config import ApiConfig, ProjectError
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.template import read_template
from coatcheck_service.http.origin_secret import HEADER

NOT_CACHED, ALL_BUT_HOST = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "b689b0a8-53d0-40ab-baf2-68738e2966ac"


def render(**settings: Any) -> dict[str, Any]:
    given = {name.replace("_", "-"): value for name, value in settings.items()}
    return render_api(read_template(), ApiConfig.model_validate(given))


@functools.cache
def template() -> dict[str, Any]:
    return translate_template(template=render(front_door="function-url", cloudfront=True))


def distribution() -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"]["CloudFront"]["Properties"]["DistributionConfig"]
    return found


def test_nothing_is_cached_and_all_that_clients_send_arrives() -> None:
    for behavior in (distribution()["DefaultCacheBehavior"], *distribution()["CacheBehaviors"]):
        assert behavior["CachePolicyId"] == NOT_CACHED
        # with the client's Host, the function URL would not know itself
        assert behavior["OriginRequestPolicyId"] == ALL_BUT_HOST
        assert set(behavior["AllowedMethods"]) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}
        assert behavior["ViewerProtocolPolicy"] == "https-only"


def test_both_functions_are_shown_the_secret_and_may_read_it() -> None:
    for origin in distribution()["Origins"]:
        (header,) = origin["OriginCustomHeaders"]
        assert header["HeaderName"] == HEADER
        assert header["HeaderValue"] == {"Fn::Sub": "{{resolve:secretsmanager:${OriginSecret}}}"}
    resources = template()["Resources"]
    for function in ("ApiFunction", "AdminFunction"):
        variables = resources[function]["Properties"]["Environment"]["Variables"]
        # its name: the value would be in the function's configuration
        assert variables["COATCHECK_ORIGIN_SECRET"] == {"Ref": "OriginSecret"}
    policy = resources["OriginSecretMayBeRead"]["Properties"]
    assert policy["Roles"] == [{"Ref": "ApiRole"}, {"Ref": "AdminRole"}]
    assert policy["PolicyDocument"]["Statement"][0]["Resource"] == {"Ref": "OriginSecret"}


def test_operators_come_by_the_same_name() -> None:
    (behavior,) = distribution()["CacheBehaviors"]
    assert (behavior["PathPattern"], behavior["TargetOriginId"]) == ("/v1/admin/*", "admin")
    assert template()["Outputs"]["AdminUrl"]["Value"] == {"Ref": "PublicUrl"}


def test_a_project_without_it_has_no_secret() -> None:
    without = render(front_door="function-url")
    assert not {"CloudFront", "OriginSecret"} & without["Resources"].keys()
    assert "{{resolve:" not in json.dumps(without)


@pytest.mark.parametrize("door", ["rest", "alb", "rest+function-url"])
def test_it_is_for_a_function_url_alone(door: str) -> None:
    with pytest.raises(ProjectError, match='cloudfront is for front-door = "function-url"'):
        render(front_door=door, cloudfront=True)


def test_answers_may_stream_through_it() -> None:
    made = render(front_door="function-url", cloudfront=True, streaming=True)
    assert made["Resources"]["FunctionUrl"]["Properties"]["InvokeMode"] == "RESPONSE_STREAM"
    assert "FunctionUrlAuth" not in made["Parameters"]


def test_a_deploy_asks_for_the_name_and_its_certificate() -> None:
    values = {"FrontDoor": "function-url", "PublicUrl": "", "CloudFrontCertificate": ""}
    assert front_door_problem(values) == (
        "CloudFront needs PublicUrl and CloudFrontCertificate too (docs/front-doors.md)"
    )
    given = {"PublicUrl": "https://jobs.example.com", "CloudFrontCertificate": "arn:aws:acm:us-east-1:1:certificate/a"}
    assert front_door_problem(values | given) is None
