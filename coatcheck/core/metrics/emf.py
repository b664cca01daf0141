"""Lines in the embedded metric format, from which CloudWatch Logs makes metrics: no request, and no permission.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias

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
    for root, values in roots.items():
        combined = {metric: _combined(metric, given) for metric, given in values.items()}
        for part in _parts(combined):
            head, tail = _frame(namespace, root, tuple(part))
            numbers = ",".join([f'"{metric.name}":{_text(given)}' for metric, given in part.items()])
            yield f"{head}{now}{tail}{numbers}}}"


def _combined(metric: Metric, values: list[float]) -> list[float]:
    match metric.kind:
        case Kind.COUNT:
            return [sum(values)]
        case Kind.LEVEL:
            return values[-1:]
        case Kind.DISTRIBUTION | Kind.SHARE:
            return values


def _parts(values: _Values) -> Iterator[_Values]:
    """The values of a line, and of more lines as long as a metric has more values than one may hold."""
    while any(len(given) > MAX_VALUES for given in values.values()):
        yield {metric: given[:MAX_VALUES] for metric, given in values.items()}
        values = {metric: given[MAX_VALUES:] for metric, given in values.items() if len(given) > MAX_VALUES}
    yield values


def _text(values: list[float]) -> str:
    """One number, or an array of them, as JSON."""
    rounded = [repr(round(value, _DIGITS)) for value in values]
    return rounded[0] if len(rounded) == 1 else f"[{','.join(rounded)}]"


@lru_cache(maxsize=1024)
def _frame(namespace: str, root: _Root, metrics: tuple[Metric, ...]) -> tuple[str, str]:
    """A line up to its time, and from there up to its values: what all lines of an endpoint or a job type share."""
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
    names = dict(zip(*root, strict=True))
    told = json.dumps({"CloudWatchMetrics": directives}, separators=(",", ":"))[1:]
    dimensions = json.dumps(names, separators=(",", ":"))[1:-1]
    return '{"_aws":{"Timestamp":', f",{told},{dimensions}{',' if dimensions else ''}"
