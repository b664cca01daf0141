"""The template's alarms: who tells them, what they hear, and that none is false on the first day."""

import functools
import inspect
import itertools
import json
import logging
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from coatcheck.core.aws.call import log_denial
from coatcheck.core.log import JsonFormatter
from coatcheck.core.metrics.definitions import METRICS
from coatcheck_infra.build.translate_template import translate_template
from coatcheck_infra.project.config import ApiConfig
from coatcheck_infra.project.template_api import render_api
from coatcheck_infra.template import read_template
from coatcheck_worker.webhooks import endpoint_health
from tests.alarm_states import evaluate, metrics_of
from tests.repository import ROOT


@functools.cache
def translation() -> dict[str, Any]:
    """What CloudFormation gets of the template, with an authorizer."""
    return translate_template(template=render_api(read_template(), ApiConfig(authorizer=True)))


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: one["Properties"] for name, one in translation()["Resources"].items() if one["Type"] == f"AWS::{kind}"
    }


def alarms() -> dict[str, dict[str, Any]]:
    return resources("CloudWatch::Alarm")


def test_each_alarm_tells_the_topic_when_it_begins_and_when_it_is_over() -> None:
    assert len(alarms()) >= 20
    for name, alarm in alarms().items():
        for action in ("AlarmActions", "OKActions"):
            assert alarm[action]["Fn::If"][:2] == ["TellsTopic", [{"Ref": "AlarmTopicArn"}]], name


def test_each_alarm_is_described_for_the_owner() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    assert [name for name in alarms() if f"`{name}`" not in page] == []


def of_function(metric: str) -> set[str]:
    return {
        alarm["Dimensions"][0]["Value"]["Ref"]
        for alarm in alarms().values()
        if (alarm.get("Namespace"), alarm.get("MetricName"), alarm["Threshold"]) == ("AWS/Lambda", metric, 1)
    }


def test_errors_and_throttles_of_every_function_are_heard() -> None:
    functions = set(resources("Lambda::Function"))
    # an error of the API's function is a 502 of the API; a sweep without room does not start
    assert of_function("Errors") == functions - {"ApiFunction", "AdminFunction"}
    # an operator who finds no room is told so
    assert of_function("Throttles") == functions - {"Sweeper", "AdminFunction"}
    assert {metric["MetricName"] for metric in metrics_of(alarms()["ApiFails"])} == {"5XXError", "Requests"}
    assert alarms()["SweeperStopped"]["MetricName"] == "SweepTime"


@pytest.mark.parametrize("source", resources("Lambda::EventSourceMapping"))
def test_a_lane_that_no_worker_attends_to_is_noticed_within_five_minutes(source: str) -> None:
    mapping = resources("Lambda::EventSourceMapping")[source]
    queue, function = mapping["EventSourceArn"]["Fn::GetAtt"][0], mapping["FunctionName"]["Ref"]
    (alarm,) = (
        alarm
        for alarm in alarms().values()
        if "Metrics" in alarm and {"Fn::GetAtt": [queue, "QueueName"]} in dimension_values(alarm)
    )
    assert {"Ref": function} in dimension_values(alarm)
    # CloudWatch has the metrics of a queue a minute late
    assert alarm["EvaluationPeriods"] * 60 + 60 <= 300

    (expression,) = (metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric)
    assert value_of(expression, waiting=3, taken=0, busy=None), "no worker at all"
    assert not value_of(expression, waiting=3, taken=0, busy=2), "all are at work on long jobs"
    assert not value_of(expression, waiting=3, taken=2, busy=None), "messages are being taken"
    assert not value_of(expression, waiting=0, taken=0, busy=None), "nothing to do"


def dimension_values(alarm: dict[str, Any]) -> list[Any]:
    return [dimension["Value"] for metric in metrics_of(alarm) for dimension in metric.get("Dimensions", ())]


OURS = {"Ref": "AWS::StackName"}


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_names_the_paragraph_that_says_what_to_do(name: str) -> None:
    described = alarms()[name]["AlarmDescription"]
    link = re.search(r" docs/operate\.md#([a-z0-9-]+)$", described)
    assert link, described
    assert len(described) <= 1024
    assert link[1] in anchors()
    page = (ROOT / "docs" / "operate.md").read_text()
    assert re.search(rf"^\| [^|]*`{name}`.*\(#{link[1]}\) \|$", page, re.MULTILINE), (
        "the table of the page links it too"
    )


@functools.cache
def anchors() -> set[str]:
    """The anchors of the headings of docs/operate.md, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", alarms())
def test_an_alarm_hears_metrics_that_are_told_in_that_way(name: str) -> None:
    """A wrong name or another set of dimensions is another metric, which never has a value."""
    for metric in metrics_of(alarms()[name]):
        if metric["Namespace"] == OURS:
            names = {one["Name"] for one in metric.get("Dimensions", ())}
            assert is_told(metric["MetricName"], names), metric


def is_told(name: str, dimensions: set[str]) -> bool:
    if name in {"EndpointsDisabled", "Refusals"}:
        # metric filters
        return not dimensions
    return any(metric.name == name and dimensions in map(set, metric.sets) for metric in METRICS)


def test_the_dashboard_is_json_and_shows_metrics_that_are_told() -> None:
    (dashboard,) = resources("CloudWatch::Dashboard").values()
    text = re.sub(r"\$\{[\w:]+\}", "mine", dashboard["DashboardBody"]["Fn::Sub"][0])
    widgets = json.loads(text)["widgets"]
    assert len({(one["x"], one["y"]) for one in widgets}) == len(widgets)
    shown = set[str]()
    for metric in itertools.chain.from_iterable(one["properties"]["metrics"] for one in widgets):
        match metric:
            case [{"expression": str(search)}]:
                found = re.match(r"SEARCH\('\{(\"?)([\w/-]+)\1,([\w,]+)\} MetricName=\"(\w+)\"", search)
                assert found, search
                assert not found[1] or is_told(found[4], set(found[3].split(","))), search
                shown.add(found[4])
            case ["mine", str(name), *_]:
                assert is_told(name, set()), name
                shown.add(name)
    dull = {
        "InputBytes",
        "AttemptsStarted",
        "Attempts",
        "WebhookTime",
        "SweepTime",
        "TenantRequests",
        "TenantJobsEnded",
    }
    assert {metric.name for metric in METRICS} - shown == dull


def value_of(expression: str, **metrics: float | None) -> Any:
    """What CloudWatch makes of `expression` at one moment."""
    return evaluate(expression, metrics)


def test_no_alarm_is_raised_by_a_stack_in_which_nothing_has_happened_yet() -> None:
    assert {name: alarm["TreatMissingData"] for name, alarm in alarms().items()} == {
        **dict.fromkeys(alarms(), "notBreaching"),
        "SweeperStopped": "missing",
    }
    # there, what is missing is the news
    told = alarms()["SweeperStopped"]["InsufficientDataActions"]
    assert told == alarms()["SweeperStopped"]["AlarmActions"]


def heard_by(alarm: str) -> list[dict[str, Any]]:
    """The filters whose metric the alarm hears."""
    heard = alarms()[alarm]["Namespace"], alarms()[alarm]["MetricName"]
    filters = resources("Logs::MetricFilter").values()
    return [
        one
        for one in filters
        if [(counted["MetricNamespace"], counted["MetricName"]) for counted in one["MetricTransformations"]] == [heard]
    ]


def log_groups(*functions: str) -> list[Any]:
    return [resources("Lambda::Function")[name]["LoggingConfig"]["LogGroup"] for name in functions]


@pytest.mark.parametrize(
    ("alarm", "functions", "source"),
    [
        ("EndpointDisabled", ("Deliverer",), endpoint_health.record_health),
        ("AwsRefuses", ("ApiFunction", "DefaultWorker", "Deliverer", "Sweeper", "AuthorizerFunction"), log_denial),
    ],
)
def test_the_alarms_that_hear_a_line_hear_what_is_logged(
    alarm: str, functions: tuple[str, ...], source: Callable[..., Any]
) -> None:
    filters = heard_by(alarm)
    assert [one["LogGroupName"] for one in filters] == log_groups(*functions)

    told = re.search(r'log\.error\("(.*?)"', inspect.getsource(source))
    assert told
    record = logging.LogRecord("any", logging.ERROR, "", 0, told[1], ("one", "two", "three"), None)
    written = JsonFormatter().format(record)
    for one in filters:
        assert all(term in written for term in shlex.split(one["FilterPattern"])), written


def test_each_endpoint_has_metrics_of_its_own() -> None:
    (stage,) = resources("ApiGateway::Stage").values()
    assert json.dumps(stage["MethodSettings"]).count('"MetricsEnabled": true') == 1
