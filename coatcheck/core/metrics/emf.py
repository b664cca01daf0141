"""Lines in the embedded metric format, from which CloudWatch Logs makes metrics: no request, and no permission.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from coatcheck.core.metrics.definitions import Dimensions, Kind, Metric
from coatcheck.core.metrics.recorder import Sample

MAX_VALUES = 100
"""Values that a metric may have in one line."""

_DIGITS = 4
"""Decimal places of a value: a tenth of a millisecond."""

_Root: TypeAlias = tuple[Dimensions, tuple[str, ...]]
"""What the metrics of one line have in common: the dimensions, and their values."""

_Values: TypeAlias = dict[Metric, list[float]]


def lines(samples: Iterable[Sample], *, namespace: str, now: int) -> Iterator[str]:
    """The lines that tell these values to CloudWatch, all as of the time `now` (milliseconds)."""
    roots: dict[_Root, _Values] = {}
    for metric, value, dimensions in samples:
        of_root = roots.setdefault((metric.dimensions, dimensions), {})
        of_root.setdefault(metric, []).append(value)
    for (names, dimensions), values in roots.items():
        root = dict(zip(names, dimensions, strict=True))
        for part in _parts(values):
            yield _line(namespace, now, root, part)


def _parts(values: _Values) -> Iterator[Mapping[Metric, list[float]]]:
    """The values of a line, and of more lines as long as a metric has more values than one may hold."""
    combined = {metric: _combined(metric, given) for metric, given in values.items()}
    while combined:
        yield {metric: given[:MAX_VALUES] for metric, given in combined.items()}
        combined = {metric: given[MAX_VALUES:] for metric, given in combined.items() if len(given) > MAX_VALUES}


def _combined(metric: Metric, values: list[float]) -> list[float]:
    match metric.kind:
        case Kind.COUNT:
            return [sum(values)]
        case Kind.LEVEL:
            return values[-1:]
        case Kind.DISTRIBUTION | Kind.SHARE:
            return values


def _line(namespace: str, now: int, root: Mapping[str, str], values: Mapping[Metric, list[float]]) -> str:
    members: dict[str, Any] = dict(root)
    for metric, given in values.items():
        rounded = [round(value, _DIGITS) for value in given]
        members[metric.name] = rounded[0] if len(rounded) == 1 else rounded
    directives = _directives(namespace, tuple(values))
    # what does not change from line to line is encoded once
    head = f'{{"_aws":{{"Timestamp":{now},"CloudWatchMetrics":{directives}}},'
    return head + json.dumps(members, separators=(",", ":"))[1:]


@lru_cache(maxsize=256)
def _directives(namespace: str, metrics: tuple[Metric, ...]) -> str:
    """Which members of a line are metrics: one directive for those that have the same sets of dimensions."""
    by_sets: dict[tuple[Dimensions, ...], list[Metric]] = {}
    for metric in metrics:
        by_sets.setdefault(tuple(metric.sets), []).append(metric)
    directives = [
        {
            "Namespace": namespace,
            "Dimensions": sets,
            "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in same],
        }
        for sets, same in by_sets.items()
    ]
    return json.dumps(directives, separators=(",", ":"))
