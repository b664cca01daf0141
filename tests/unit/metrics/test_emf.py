"""Lines in the embedded metric format: valid by the specification, and with nothing lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.core.metrics import emf
from coatcheck.core.metrics.definitions import METRICS, TENANT, Kind, Metric, Unit
from coatcheck.core.metrics.recorder import Recorder, Sample
from coatcheck.telemetry.pump import EmfLines, MetricsPump
from tests.metric_lines import data_of

VALUES = st.floats(min_value=0, max_value=1e12, allow_nan=False)
SAMPLES = st.sampled_from(METRICS).flatmap(
    lambda metric: st.tuples(
        st.just(metric), VALUES, st.tuples(*[st.sampled_from(["a", "b"]) for _ in metric.dimensions])
    )
)


def of(name: str) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)


def lines(*samples: Sample) -> list[str]:
    return list(emf.lines(samples, namespace="here", now=1_800_000_000_000))


def test_names_are_unique_and_each_set_is_of_the_dimensions() -> None:
    assert [name for name, count in Counter(metric.name for metric in METRICS).items() if count > 1] == []
    for metric in METRICS:
        assert metric.sets, metric.name
        assert all(set(one) <= set(metric.dimensions) for one in metric.sets), metric.name


@given(st.lists(SAMPLES, max_size=300))
def test_all_that_is_recorded_arrives_in_valid_lines(samples: list[Sample]) -> None:
    told = list(data_of(lines(*samples)))

    for metric in METRICS:
        values = [value for one, value, _ in samples if one is metric]
        expected = len(metric.sets) * len(values)
        arrived = [one.value for one in told if one.name == metric.name]
        match metric.kind:
            case Kind.COUNT:
                assert sum(arrived) == pytest.approx(len(metric.sets) * sum(values), rel=1e-6, abs=0.1)
            case Kind.DISTRIBUTION | Kind.SHARE:
                assert len(arrived) == expected
            case Kind.LEVEL:
                assert len(arrived) <= expected


def test_a_level_is_the_newest() -> None:
    left = of("SweepLeft")
    (datum,) = data_of(lines((left, 7, ()), (left, 3, ())))
    assert (datum.value, datum.dimensions, datum.namespace, datum.at) == (3, {}, "here", 1_800_000_000_000)


def test_more_values_than_a_line_may_hold_are_more_lines() -> None:
    time = of("RequestTime")
    written = lines(*((time, float(number), ("GET /", "2xx")) for number in range(250)))
    assert len(written) == 3
    assert sorted(one.value for one in data_of(written) if not one.dimensions) == list(range(250))


def test_metrics_with_the_same_dimensions_share_a_line() -> None:
    request = ("GET /v1/jobs/{job_id}", "2xx")
    (line,) = lines((of("Requests"), 1, request), (of("RequestTime"), 0.0123456, request))
    assert len(line) < 450
    assert {(one.name, tuple(one.dimensions.values()), one.value) for one in data_of([line])} == {
        ("Requests", request, 1),
        ("Requests", ("2xx",), 1),
        ("RequestTime", request[:1], 0.0123),
        ("RequestTime", (), 0.0123),
    }


def test_nothing_is_kept_until_it_is_switched_on_and_no_tenant_until_asked() -> None:
    recorder = Recorder()
    ended = of("TenantJobsEnded")
    assert TENANT in ended.dimensions
    recorder.record(of("SweepLeft"), 1)
    recorder.switch_on()
    recorder.record(of("SweepRows"), 2)
    recorder.record(ended, 1, "acme", "failed")
    assert recorder.take() == [(of("SweepRows"), 2, ())]
    recorder.switch_on(by_tenant=True)
    recorder.record(ended, 1, "acme", "failed")
    assert recorder.take() == [(ended, 1, ("acme", "failed"))]


def test_an_output_that_fails_takes_nothing_from_the_others_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    recorder.switch_on()

    def fail(_: str) -> None:
        raise OSError("the disk is full")

    written: list[str] = []
    pump = MetricsPump([EmfLines("a", write=fail), EmfLines("b", write=written.append)], recorder)
    recorder.record(of("SweepRows"), 2)
    pump.flush()
    assert "metrics are lost" in caplog.text
    assert [one.namespace for one in data_of("".join(written).splitlines())] == ["b"]


def test_nothing_recorded_writes_nothing() -> None:
    written: list[str] = []
    MetricsPump([EmfLines("a", write=written.append)], Recorder()).flush()
    assert written == []


def test_units_are_those_of_cloudwatch() -> None:
    unit = of("RequestTime")
    assert unit.unit is Unit.SECONDS
    assert replace(unit, name="Other").unit == "Seconds"
