"""The metrics of a process as Prometheus reads them, on a port of its own: http://HOST:PORT/metrics."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from coatcheck.core.metrics.definitions import METRICS, Kind, Metric, Unit
from coatcheck.core.metrics.recorder import Sample
from coatcheck.core.settings import BadSettings

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
except ImportError:
    raise BadSettings("settings: COATCHECK_METRICS_PORT needs: pip install 'coatcheck[prometheus]'") from None

BUCKETS: Mapping[Unit, tuple[float, ...]] = {
    Unit.SECONDS: (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
    Unit.BYTES: (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9),
    Unit.COUNT: (1.0, 2.0, 3.0, 5.0, 10.0),
    Unit.PERCENT: (50.0, 90.0, 100.0),
}
"""The upper limits of the buckets of a distribution."""

_SUFFIX = {Unit.SECONDS: "_seconds", Unit.BYTES: "_bytes", Unit.COUNT: "", Unit.PERCENT: "_percent"}

_INNER_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")

_Series: TypeAlias = tuple[str, ...]


def prometheus_name(metric: Metric) -> str:
    """The name of a metric, without the `_total` of a counter: `RequestTime` is `coatcheck_request_time_seconds`."""
    name = snake_case(metric.name)
    suffix = _SUFFIX[metric.unit]
    return f"coatcheck_{name if name.endswith(suffix) else name + suffix}"


def snake_case(name: str) -> str:
    """`StatusClass` as `status_class`."""
    return _INNER_CAPITAL.sub("_", name).lower()


@dataclass(slots=True)
class _Histogram:
    buckets: list[int]
    total: float = 0.0


@dataclass(eq=False)
class PrometheusMetrics(Collector):
    """Adds up what it is given, and tells all of it. `flush` brings it what was recorded last."""

    flush: Callable[[], None]
    numbers: dict[Metric, dict[_Series, float]] = field(default_factory=dict)
    histograms: dict[Metric, dict[_Series, _Histogram]] = field(default_factory=dict)

    def write(self, samples: Sequence[Sample]) -> None:
        """Take these values."""
        for metric, value, series in samples:
            match metric.kind:
                case Kind.COUNT | Kind.SHARE:
                    numbers = self.numbers.setdefault(metric, {})
                    numbers[series] = numbers.get(series, 0.0) + value
                case Kind.LEVEL:
                    self.numbers.setdefault(metric, {})[series] = value
                case Kind.DISTRIBUTION:
                    self._observe(metric, value, series)

    def _observe(self, metric: Metric, value: float, series: _Series) -> None:
        limits = BUCKETS[metric.unit]
        histograms = self.histograms.setdefault(metric, {})
        histogram = histograms.setdefault(series, _Histogram([0] * (len(limits) + 1)))
        histogram.buckets[bisect_left(limits, value)] += 1
        histogram.total += value

    def collect(self) -> Iterator[Family]:
        """All metrics, with what was recorded until now."""
        self.flush()
        for metric in METRICS:
            yield self._family(metric)

    def _family(self, metric: Metric) -> Family:
        name, labels = prometheus_name(metric), [snake_case(one) for one in metric.dimensions]
        if metric.kind is Kind.DISTRIBUTION:
            histogram = HistogramMetricFamily(name, metric.meaning, labels=labels)
            for series, one in list(self.histograms.get(metric, {}).items()):
                histogram.add_metric(series, _cumulative(metric, one), one.total)
            return histogram
        of_kind = GaugeMetricFamily if metric.kind is Kind.LEVEL else CounterMetricFamily
        family: GaugeMetricFamily | CounterMetricFamily = of_kind(name, metric.meaning, labels=labels)
        for series, value in list(self.numbers.get(metric, {}).items()):
            family.add_metric(series, value)
        return family


def _cumulative(metric: Metric, histogram: _Histogram) -> list[tuple[str, float]]:
    """The buckets as Prometheus counts them: each with what is in those before it."""
    seen, buckets = 0, []
    for limit, count in zip([*map(str, BUCKETS[metric.unit]), "+Inf"], histogram.buckets, strict=True):
        seen += count
        buckets.append((limit, float(seen)))
    return buckets


def serve_prometheus(port: int, flush: Callable[[], None]) -> PrometheusMetrics:
    """Serve the metrics on all addresses of this machine. Raises BadSettings if the port is taken."""
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(flush)
    try:
        start_http_server(port, registry=registry)
    except OSError as error:
        raise BadSettings(f"settings: COATCHECK_METRICS_PORT: port {port}: {error.strerror}") from None
    registry.register(metrics)
    return metrics
