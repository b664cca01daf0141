"""What CloudWatch makes of lines in the embedded metric format: a reader that knows no code of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from coatcheck.core.clock import system_clock
from coatcheck.core.metrics.recorder import RECORDER
from coatcheck.telemetry.pump import EmfLines, MetricsPump
from tests.repository import ROOT

NAMESPACE = "of-these-tests"


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "tests" / "data" / "emf.schema.json").read_text()))


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of a metric of CloudWatch. `at` is in milliseconds."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    value: float
    at: int


def data_of(lines: Iterable[str]) -> Iterator[Datum]:
    """The values that CloudWatch takes from valid lines; raises ValidationError for a line that is not valid."""
    for line in lines:
        document = json.loads(line)
        if "_aws" not in document:
            continue
        _schema().validate(document)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            yield from _of_directive(document, directive)


def _of_directive(document: Mapping[str, Any], directive: Mapping[str, Any]) -> Iterator[Datum]:
    for names in directive["Dimensions"]:
        dimensions = {name: document[name] for name in names}
        assert all(isinstance(value, str) for value in dimensions.values()), dimensions
        for metric in directive["Metrics"]:
            given = document[metric["Name"]]
            for value in given if isinstance(given, list) else [given]:
                yield Datum(directive["Namespace"], metric["Name"], dimensions, value, document["_aws"]["Timestamp"])


@dataclass
class MetricLines:
    """The lines that a process wrote, which `flush` brings up to date."""

    pump: MetricsPump
    lines: list[str] = field(default_factory=list)

    def data(self) -> list[Datum]:
        """All values until now."""
        self.pump.flush()
        return list(data_of(self.lines))

    def values(self, name: str, **dimensions: str) -> list[float]:
        """The values of a metric with exactly these dimensions."""
        return [one.value for one in self.data() if (one.name, one.dimensions) == (name, dimensions)]


@contextmanager
def metric_lines(*, by_tenant: bool = False, clock: Callable[[], int] = system_clock) -> Iterator[MetricLines]:
    """Collect the metrics of this process as lines, as a Lambda function writes them."""
    collected: list[str] = []
    pump = MetricsPump([EmfLines(NAMESPACE, write=lambda text: collected.extend(text.splitlines()), clock=clock)])
    RECORDER.switch_off()
    RECORDER.switch_on(by_tenant=by_tenant)
    try:
        yield MetricLines(pump, collected)
    finally:
        RECORDER.switch_off()
