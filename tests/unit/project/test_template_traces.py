"""What makes spans in the functions of a project, and that the rest of the template does not notice."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from coatcheck_infra.project.config import ProjectConfig, ProjectError
from coatcheck_infra.project.project_template import render_template
from coatcheck_infra.project.template_traces import FUNCTION, LAYER_WRAPPER, PACKAGES_WRAPPER
from coatcheck_infra.template import read_template

Json = dict[str, Any]

LAYER = "arn:aws:lambda:eu-central-1:615299751070:layer:AWSOpenTelemetryDistroPython:11"
FONTS = "arn:aws:lambda:eu-central-1:123456789012:layer:fonts:3"
OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example.com"}

shared = functools.cache(read_template)


def rendered(traces: Json, **tables: Any) -> Json:
    config = ProjectConfig.model_validate({"jobs": ["jobs.words"], "traces": traces, **tables})
    return render_template(copy.deepcopy(shared()), config)


def functions(template: Json) -> dict[str, Json]:
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == FUNCTION}


def variables(function: Json) -> Json:
    found: Json = function["Environment"]["Variables"]
    return found


def test_a_layer_is_in_each_function_beside_those_of_handlers() -> None:
    template = rendered({"layer": LAYER, "environment": OTLP}, handlers={"layers": [FONTS]})
    assert len(functions(template)) == 5
    for name, function in functions(template).items():
        assert function["Layers"] == ([FONTS, LAYER] if name == "DefaultWorker" else [LAYER])
        assert variables(function)["AWS_LAMBDA_EXEC_WRAPPER"] == LAYER_WRAPPER
        assert variables(function).items() >= OTLP.items()


def test_packages_need_no_layer() -> None:
    for function in functions(rendered({"packages": True})).values():
        assert variables(function)["AWS_LAMBDA_EXEC_WRAPPER"] == PACKAGES_WRAPPER
        assert "Layers" not in function


def test_with_streaming_the_script_of_the_adapter_starts_the_api_so() -> None:
    made = functions(rendered({"packages": True}, api={"streaming": True}))
    assert variables(made["ApiFunction"])["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert variables(made["ApiFunction"])["COATCHECK_EXEC_WRAPPER"] == PACKAGES_WRAPPER
    assert variables(made["AdminFunction"])["AWS_LAMBDA_EXEC_WRAPPER"] == PACKAGES_WRAPPER


def test_what_runs_in_containers_gets_none_of_it() -> None:
    containers = {"subnets": ["subnet-0a1b2c3d"], "security-groups": ["sg-0a1b2c3d"]}
    template = rendered({"packages": True}, lanes={"films": {"kind": "container"}}, containers=containers)
    (container,) = template["Resources"]["FilmsTask"]["Properties"]["ContainerDefinitions"]
    assert not [one for one in container["Environment"] if "WRAPPER" in one["Name"]]


def test_x_ray_may_be_sent_to_where_it_is_asked_for() -> None:
    template = rendered({"layer": LAYER, "x-ray": True})
    assert {function["Tracing"] for function in functions(template).values()} == {"Active"}
    policy = template["Resources"]["TracesMayBeSent"]["Properties"]
    roles = {role["Ref"] for role in policy["Roles"]}
    assert roles == {"ApiRole", "AdminRole", "WorkerRole", "DelivererRole", "SweeperRole"}
    assert "TracesMayBeSent" not in rendered({"layer": LAYER})["Resources"]


def test_without_the_setting_nothing_changes() -> None:
    assert rendered({}) == render_template(
        copy.deepcopy(shared()), ProjectConfig.model_validate({"jobs": ["jobs.words"]})
    )


@pytest.mark.parametrize(
    ("traces", "tables", "why"),
    [
        ({"layer": LAYER, "packages": True}, {}, "layer and packages exclude each other"),
        ({"packages": True, "environment": {"LEVEL": "1"}}, {}, "environment.LEVEL: variables of OpenTelemetry begin"),
        ({"layer": LAYER}, {"api": {"streaming": True}}, "layer and streaming exclude each other"),
        ({"x-ray": True}, {}, "nothing makes spans: name a layer"),
        ({"environment": OTLP}, {}, "nothing makes spans: name a layer"),
        ({"layer": LAYER}, {"handlers": {"layers": [FONTS] * 5}}, "DefaultWorker would have 6 layers"),
    ],
    ids=str,
)
def test_what_cannot_make_spans_is_refused(traces: Json, tables: Json, why: str) -> None:
    with pytest.raises(ProjectError, match=why):
        rendered(traces, **tables)
