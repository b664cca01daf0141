"""Patch of CloudWatch: makes the replacement of a MiniStack function from the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = Callable[[str, Mapping[str, Any]], dict[str, Any]]


def accept_metric_math(record: Record) -> Record:
    """Wrap `record` to accept alarms on metric math, which MiniStack refuses. The alarm uses the first metric only."""

    def recorded(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        metrics = properties.get("Metrics")
        if not metrics:
            return record(name, properties)
        first = next(metric["MetricStat"] for metric in metrics if "MetricStat" in metric)
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        return record(name, plain | first["Metric"] | {"Statistic": first["Stat"], "Period": first["Period"]})

    return recorded
