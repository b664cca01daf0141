"""The API's function as a container image, where `web-adapter` names one: the image that runs in containers, too."""

from __future__ import annotations

from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from coatcheck_infra.container_programs import API_PORT
from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.template_containers import CONTAINERS

Json = dict[str, Any]

FUNCTION = "AWS::Serverless::Function"

OF_ZIPS = ("Runtime", "Architectures")
"""What all functions have in common, and one that is an image has not, or of its own."""

LONGEST_PUBLIC_URL = 160
"""Characters: the description of a version, of 256, has the digest of the image too."""


def render_function_image(template: Json, config: ProjectConfig) -> Json:
    """Return `template`, which has all else of the project, changed if the API's function is an image.

    Raises ProjectError.
    """
    if config.api.adapter_image is None:
        return template
    if config.traces.packages:
        raise ProjectError(
            "tool.coatcheck.traces: packages are loaded by functions from zips, and web-adapter names an image: "
            "name the layer, or remove [tool.coatcheck.traces]"
        )
    common = {name: template["Globals"]["Function"].pop(name) for name in OF_ZIPS}
    for name, resource in template["Resources"].items():
        if resource["Type"] == FUNCTION and name != "ApiFunction":
            resource["Properties"] = common | resource["Properties"]
    function = template["Resources"]["ApiFunction"]["Properties"]
    # Lambda makes snapshots of functions from zips alone
    for name in ("CodeUri", "Handler", "Layers", "SnapStart"):
        del function[name]
    function |= {
        "PackageType": "Image",
        "ImageUri": {"Ref": "ApiImage"},
        "Architectures": [config.containers.architecture],
        "VersionDescription": _with_digest(function["VersionDescription"]),
    }
    variables = function["Environment"]["Variables"]
    # it is in /opt/extensions, where Lambda starts it by itself
    del variables["AWS_LAMBDA_EXEC_WRAPPER"]
    variables["AWS_LWA_PORT"] = str(API_PORT)
    template["Parameters"]["ApiImage"] = yaml_parse(CONTAINERS.read_text())["Api"]["Parameters"]["ApiImage"]
    template["Parameters"]["PublicUrl"]["MaxLength"] = LONGEST_PUBLIC_URL
    return template


def _with_digest(description: Json) -> Json:
    """Return the description of a version with the image's digest: a new image is a new version."""
    text, values = description["Fn::Sub"]
    digest = {"Fn::Select": [1, {"Fn::Split": ["@sha256:", {"Ref": "ApiImage"}]}]}
    return {"Fn::Sub": [f"{text} ${{Digest}}", {**values, "Digest": digest}]}
