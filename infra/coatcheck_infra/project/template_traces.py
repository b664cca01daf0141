"""Spans of the functions, in the template of a project: `[tool.coatcheck.traces]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coatcheck_infra.project.config import ProjectConfig, ProjectError, TracesConfig
from coatcheck_infra.project.template_streaming import HANDLER

Json = dict[str, Any]

FUNCTION = "AWS::Serverless::Function"

LAYER_WRAPPER = "/opt/otel-instrument"
"""What OpenTelemetry's layers and AWS's have, and what starts Lambda's runtime with a provider.

https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_lambda.AdotInstrumentationConfig.html
"""

PACKAGES_WRAPPER = "/var/task/coatcheck/telemetry/opentelemetry_wrapper.sh"
MOST_LAYERS = 5
PREFIX = "OTEL_"

X_RAY: Json = {
    "Type": "AWS::IAM::Policy",
    "Properties": {
        "PolicyName": "traces",
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                # X-Ray has no resources that could be named
                {
                    "Effect": "Allow",
                    "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
                    "Resource": "*",
                }
            ],
        },
    },
}


def check_traces(config: ProjectConfig) -> None:
    """Raise ProjectError if the functions cannot make spans so."""
    traces, where = config.traces, "tool.coatcheck.traces"
    if traces.layer and traces.packages:
        raise ProjectError(f"{where}: layer and packages exclude each other: OpenTelemetry comes by one of them")
    for name in traces.environment:
        if not name.startswith(PREFIX):
            raise ProjectError(f"{where}.environment.{name}: variables of OpenTelemetry begin with {PREFIX}")
    if traces.layer and config.api.streaming:
        raise ProjectError(
            f"{where}: layer and streaming exclude each other: the API's function is started by the Lambda Web "
            "Adapter's layer. Set packages = true, and add opentelemetry-distro to [project] dependencies"
        )
    if (traces.environment or traces.x_ray) and not (traces.layer or traces.packages):
        raise ProjectError(f"{where}: nothing makes spans: name a layer, or set packages = true (docs/traces.md)")


def render_traces(template: Json, config: ProjectConfig) -> Json:
    """Return `template`, changed, with what makes spans in each function. Raises ProjectError."""
    check_traces(config)
    traces = config.traces
    if not (traces.layer or traces.packages):
        return template
    functions = {name: one for name, one in template["Resources"].items() if one["Type"] == FUNCTION}
    for name, function in functions.items():
        _add_to_function(name, function["Properties"], traces)
    if traces.x_ray:
        roles = sorted(set(_roles(functions)))
        properties = {**X_RAY["Properties"], "Roles": [{"Ref": role} for role in roles]}
        template["Resources"]["TracesMayBeSent"] = {**X_RAY, "Properties": properties}
    return template


def _add_to_function(name: str, properties: Json, traces: TracesConfig) -> None:
    variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
    # the Lambda Web Adapter has the wrapper, and its script asks for another one
    own = "COATCHECK_EXEC_WRAPPER" if properties["Handler"] == HANDLER else "AWS_LAMBDA_EXEC_WRAPPER"
    variables |= {**traces.environment, own: LAYER_WRAPPER if traces.layer else PACKAGES_WRAPPER}
    if traces.layer:
        properties["Layers"] = [*properties.get("Layers", []), traces.layer]
        if len(properties["Layers"]) > MOST_LAYERS:
            raise ProjectError(
                f"tool.coatcheck.traces.layer: {name} would have {len(properties['Layers'])} layers, and Lambda takes "
                f"{MOST_LAYERS}: name fewer in handlers.layers"
            )
    if traces.x_ray:
        properties["Tracing"] = "Active"


def _roles(functions: Json) -> Iterator[str]:
    for function in functions.values():
        yield function["Properties"]["Role"]["Fn::GetAtt"][0]
