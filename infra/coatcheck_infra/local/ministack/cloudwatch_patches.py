"""Patch of CloudWatch: makes MiniStack's new function from its old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def accept_metric_math(record: Record) -> Record:
    """`record` for an alarm of metric math too, which MiniStack refuses to make: it hears the first of the metrics."""

    def recorded(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        metrics = properties.get("Metrics")
        if not metrics:
            return record(name, properties)
        first = next(metric["MetricStat"] for metric in metrics if "MetricStat" in metric)
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        return record(name, plain | first["Metric"] | {"Statistic": first["Stat"], "Period": first["Period"]})

    return recorded
