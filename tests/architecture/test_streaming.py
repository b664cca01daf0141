"""What a project with `streaming = true` has in the template: each request goes to the adapter, and is streamed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coatcheck.core.settings import Settings
from coatcheck_infra import container_programs
from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.project.config import ApiConfig, ProjectConfig, ProjectError, find_project
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.proxied_types import ProxiedType
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.project.template_streaming import HANDLER, SECONDS, VARIABLES
from coatcheck_infra.template import read_template
from coatcheck_service.actions.event_streams import CUT_OFF_SECONDS
from tests.repository import ROOT

DOORS = ("rest", "function-url", "rest+function-url")
IMAGE = f"public.ecr.aws/awsguru/aws-lambda-adapter:1.1.0@sha256:{'0' * 64}"
LAYER = "arn:aws-cn:lambda:cn-north-1:123456789012:layer:adapter:3"


@functools.cache
def streamed(front_door: str) -> dict[str, Any]:
    """What CloudFormation gets."""
    return translate_template(template=render(front_door=front_door, streaming=True))


def render(**settings: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    return render_api(read_template(), ApiConfig.model_validate(named))


def integrations(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path and the integration of each method of the REST API."""
    paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
    for path, methods in paths.items():
        for method in methods.values():
            yield path, method["x-amazon-apigateway-integration"]


@pytest.mark.parametrize("front_door", DOORS)
def test_the_function_is_what_the_layer_starts(front_door: str) -> None:
    function = streamed(front_door)["Resources"]["ApiFunction"]["Properties"]
    assert (ROOT / "service" / function["Handler"]).stat().st_mode & 0o111
    assert function["Handler"] == HANDLER
    assert function["Layers"] == [
        {"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:753240598075:layer:LambdaAdapterLayerArm64:30"}
    ]
    assert function["Timeout"] == SECONDS
    variables = function["Environment"]["Variables"]
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"


def test_a_stream_ends_before_the_function_does() -> None:
    longest = Settings.model_fields["longest_stream"].default
    assert int(VARIABLES["COATCHECK_LONGEST_STREAM"]) == longest
    assert longest + CUT_OFF_SECONDS < SECONDS


def test_api_gateway_streams_what_the_apis_function_answers_and_nothing_else() -> None:
    for path, one in integrations(streamed("rest")):
        uri = one["uri"]["Fn::Sub"]
        if path.startswith("/v1/admin/"):
            assert "responseTransferMode" not in one
            assert ":lambda:path/2015-03-31/functions/" in uri
            assert uri.endswith("/invocations")
            assert one["timeoutInMillis"] == 29_000
        else:
            assert one["responseTransferMode"] == "STREAM"
            assert ":lambda:path/2021-11-15/functions/" in uri
            assert uri.endswith("${ApiFunctionAliaslive}/response-streaming-invocations")
            assert one["timeoutInMillis"] == SECONDS * 1000


def test_a_function_url_streams_and_takes_keys_alone() -> None:
    template = streamed("function-url")
    assert template["Resources"]["FunctionUrl"]["Properties"]["InvokeMode"] == "RESPONSE_STREAM"
    assert "InvokeMode" not in template["Resources"]["AdminFunctionUrl"]["Properties"]
    assert template["Resources"]["FunctionUrl"]["Properties"]["AuthType"] == "NONE"
    # AWS_IAM cannot be asked for
    assert "FunctionUrlAuth" not in template["Parameters"]
    assert "HasOpenFunctionUrl" not in json.dumps(template)


def test_the_service_authenticates_itself_behind_an_authorizer() -> None:
    template = render(streaming=True, authorizer=True)
    assert "AuthorizerFunction" in template["Resources"]
    variables = template["Resources"]["ApiFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["COATCHECK_AUTHORIZER"] == "off"


def test_what_api_gateway_makes_by_itself_is_not_streamed() -> None:
    words = ProxiedType("text.words", "default", 60, 3, {"type": "object"})
    config = ApiConfig.model_validate({"streaming": True, "authorizer": True, "service-proxy": [words.name]})
    paths = render_api(read_template(), config, [words])["Resources"]["Api"]["Properties"]["DefinitionBody"]["paths"]
    modes = {
        method: operation["x-amazon-apigateway-integration"].get("responseTransferMode")
        for method, operation in paths["/v1/proxy/text.words"].items()
    }
    assert modes == {"options": "STREAM", "post": None}


def test_a_layer_of_the_owners_takes_the_place_of_the_published_one() -> None:
    template = render(streaming=True, web_adapter=LAYER)
    assert template["Resources"]["ApiFunction"]["Properties"]["Layers"] == [LAYER]


def with_image(**tables: Any) -> dict[str, Any]:
    """The template of a project whose function is an image."""
    api = {"streaming": True, "authorizer": True, "web-adapter": IMAGE}
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], "api": api, **tables})
    return render_template(read_template(), config)


def test_an_image_takes_the_place_of_zip_and_layer() -> None:
    image = f"words@sha256:{'1' * 64}"
    made = translate_template({"ApiImage": image}, with_image())["Resources"]
    function = made["ApiFunction"]["Properties"]
    assert function["PackageType"] == "Image"
    assert function["Code"] == {"ImageUri": image}
    assert not {"Handler", "Runtime", "Layers", "SnapStart"} & function.keys()
    variables = function["Environment"]["Variables"]
    assert "AWS_LAMBDA_EXEC_WRAPPER" not in variables
    # as the image's own arguments say
    assert ["--port", variables["AWS_LWA_PORT"]] == [*container_programs.API.arguments[-2:]]
    assert {key: value for key, value in variables.items() if key in SHARED} == SHARED
    others = [one["Properties"] for name, one in made.items() if name in {"AdminFunction", "AuthorizerFunction"}]
    assert [(one["Runtime"], one["Architectures"]) for one in others] == [("python3.13", ["arm64"])] * 2


SHARED = {name: value for name, value in VARIABLES.items() if name not in {"AWS_LAMBDA_EXEC_WRAPPER", "AWS_LWA_PORT"}}


def test_a_new_image_is_a_new_version_whose_description_lambda_takes() -> None:
    template = with_image()
    text, values = template["Resources"]["ApiFunction"]["Properties"]["VersionDescription"]["Fn::Sub"]
    assert text.endswith(" ${Digest}")
    assert "ApiImage" in json.dumps(values["Digest"])
    url = template["Parameters"]["PublicUrl"]["MaxLength"]
    assert len(f"{'u' * url} aha999999s25 4off 1000000 {'d' * 64}") <= 256


def test_an_image_is_of_the_machine_that_the_project_builds_it_for() -> None:
    function = with_image(containers={"architecture": "x86_64"})["Resources"]["ApiFunction"]["Properties"]
    assert function["Architectures"] == ["x86_64"]


def test_spans_by_packages_are_for_functions_from_zips() -> None:
    with pytest.raises(ProjectError, match="web-adapter names an image"):
        with_image(traces={"packages": True})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"streaming": True, "front_door": "alb"}, 'services = ["api"]'),
        ({"streaming": True, "front_door": "rest+alb"}, "a load balancer takes a function's answer in one piece"),
        ({"streaming": True, "iam": "submit"}, "iam = .submit. and streaming exclude each other"),
        ({"web_adapter": LAYER}, "web-adapter is for streaming = true"),
    ],
    ids=str,
)
def test_what_cannot_stream_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ProjectError, match=why.replace("[", r"\[").replace("]", r"\]")):
        render(**settings)


def test_a_layer_without_its_version_is_refused(tmp_path: Path) -> None:
    unversioned = LAYER.rpartition(":")[0]
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.coatcheck]\njobs = ["jobs"]\n[tool.coatcheck.api]\nweb-adapter = "{unversioned}"\n'
    )
    with pytest.raises(ProjectError, match=r"tool\.coatcheck\.api\.web-adapter: must be the ARN of a layer's version"):
        find_project(tmp_path)


def test_a_project_that_does_not_stream_has_nothing_of_it() -> None:
    function = render()["Resources"]["ApiFunction"]["Properties"]
    assert "Layers" not in function
    assert not VARIABLES.keys() & {name for name in function["Environment"]["Variables"] if name.startswith("AWS_")}
    assert {one.get("responseTransferMode") for _, one in integrations(translate_template(template=render()))} == {None}
