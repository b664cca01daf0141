"""What CloudWatch makes of an alarm of the template: its value in a period, and whether it is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.metric_lines import Datum

Alarm = Mapping[str, Any]
Number = float | None
"""None is no value in that period."""

STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Average": lambda values: sum(values) / len(values),
    "p99": lambda values: sorted(values)[int(0.99 * (len(values) - 1))],
}

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


def metrics_of(alarm: Alarm) -> list[dict[str, Any]]:
    """The metrics that the alarm hears: namespace, name and dimensions."""
    if "Metrics" in alarm:
        return [one["MetricStat"]["Metric"] for one in alarm["Metrics"] if "MetricStat" in one]
    return [{key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}]


def evaluate(expression: str, metrics: Mapping[str, Number]) -> Any:
    """What metric math makes of `expression` at one moment, for the functions that the template uses.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    functions: dict[str, Callable[..., Any]] = {
        "IF": lambda holds, then, otherwise: then() if holds else otherwise(),
        "FILL": lambda metric, value: value if metric is None else metric,
        "MAX": max,
    }
    return eval(_lazily(expression.replace(" AND ", " and ")), functions | dict(metrics))


def _lazily(expression: str) -> str:
    """`IF(a, b, c)` as Python that computes only what it takes: a division by nothing is no value, not an error."""
    if not expression.startswith("IF("):
        return expression
    holds, then, otherwise = _arguments(expression[len("IF(") : -1])
    return f"IF({holds}, lambda: {then}, lambda: {otherwise})"


def _arguments(text: str) -> list[str]:
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [one.strip() for one in found]


@dataclass(frozen=True)
class Metrics:
    """The metrics of a deployment, until the time `now` (milliseconds).

    `of_aws` has the values of metrics that AWS makes itself, in each of the last periods, by name.
    """

    data: Sequence[Datum]
    now: int
    of_aws: Mapping[str, Number]

    def value(self, metric: Mapping[str, Any], statistic: str, seconds: int, ago: int) -> Number:
        """The statistic of a metric in one period, `ago` periods before the last."""
        if metric["Namespace"] != {"Ref": "AWS::StackName"}:
            return self.of_aws.get(metric["MetricName"])
        names = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
        until = self.now - ago * seconds * 1000
        values = [
            one.value
            for one in self.data
            if one.name == metric["MetricName"] and one.dimensions == names and until - seconds * 1000 < one.at <= until
        ]
        return STATISTICS[statistic](values) if values else None


def is_raised(alarm: Alarm, metrics: Metrics) -> bool:
    """Whether somebody is told: by ALARM or, where the alarm says so, by INSUFFICIENT_DATA."""
    periods: int = alarm["EvaluationPeriods"]
    values = [_value(alarm, metrics, ago) for ago in range(periods)]
    if "InsufficientDataActions" in alarm and all(value is None for value in values):
        return True
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(value is not None and breaches(value, alarm["Threshold"]) for value in values)
    wanted: int = alarm.get("DatapointsToAlarm", periods)
    return breaching >= wanted


def raised(alarms: Mapping[str, Alarm], metrics: Metrics) -> set[str]:
    """The names of the alarms of which somebody is told."""
    return {name for name, alarm in alarms.items() if is_raised(alarm, metrics)}


def _value(alarm: Alarm, metrics: Metrics, ago: int) -> Number:
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return metrics.value(alarm, statistic, alarm["Period"], ago)
    stats = {one["Id"]: one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one}
    values = {name: metrics.value(one["Metric"], one["Stat"], one["Period"], ago) for name, one in stats.items()}
    if all(value is None for value in values.values()):
        return None
    (expression,) = (one["Expression"] for one in alarm["Metrics"] if "Expression" in one)
    result: Number = evaluate(expression, values)
    return result


def spread(data: Iterable[Datum], seconds: int, times: int) -> list[Datum]:
    """The same data once more in each of the periods before, as if the fault had lasted so long."""
    given = list(data)
    return [
        Datum(one.namespace, one.name, one.dimensions, one.value, one.at - ago * seconds * 1000)
        for ago in range(times)
        for one in given
    ]
