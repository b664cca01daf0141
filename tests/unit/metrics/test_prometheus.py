"""What Prometheus is told, read by its own parser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from coatcheck.core.metrics.definitions import METRICS, OLDEST_WAITING, REQUEST_TIME, REQUESTS
from coatcheck.core.metrics.recorder import Sample
from coatcheck.telemetry.prometheus import PrometheusMetrics, prometheus_name

GET = ("GET /v1/jobs/{job_id}", "2xx")


def told(*samples: Sample) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    metrics = PrometheusMetrics(lambda: metrics.write(samples))
    registry = CollectorRegistry()
    registry.register(metrics)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(given.items()))


def test_counts_are_added_up_and_levels_are_the_newest() -> None:
    values = told((REQUESTS, 1, GET), (REQUESTS, 1, GET), (OLDEST_WAITING, 70, ("a",)), (OLDEST_WAITING, 5, ("a",)))
    assert values["coatcheck_requests_total", labels(endpoint=GET[0], status_class="2xx")] == 2
    assert values["coatcheck_oldest_waiting_seconds", labels(lane="a")] == 5


def test_a_distribution_is_a_histogram_whose_buckets_add_up() -> None:
    name, of_get = "coatcheck_request_time_seconds", {"endpoint": GET[0], "status_class": "2xx"}
    values = told(*((REQUEST_TIME, seconds, GET) for seconds in (0.005, 0.02, 7.0, 9999.0)))
    assert values[f"{name}_count", labels(**of_get)] == 4
    assert values[f"{name}_sum", labels(**of_get)] == pytest.approx(10006.025)
    assert [values[f"{name}_bucket", labels(**of_get, le=le)] for le in ("0.005", "0.025", "10.0", "+Inf")] == [
        *(1, 2, 3),
        4,
    ]


def test_names_are_good_names_each_once() -> None:
    names = [prometheus_name(metric) for metric in METRICS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"coatcheck(_[a-z]+)+", name)] == []
    assert "coatcheck_input_bytes" in names


def run(program: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], env=dict(environ), check=False, capture_output=True, text=True
    )


PROGRAM = """\
import socket, sys, urllib.request
from coatcheck.core.metrics.definitions import SWEEP_ROWS
from coatcheck.core.metrics.recorder import record
from coatcheck.core.settings import Settings
from coatcheck.telemetry.pump import start_pump
with socket.create_server(("", 0)) as taken:
    port = taken.getsockname()[1]
    queues = '{"webhooks": "q"}'
    given = {"TABLE": "t", "BUCKET": "b", "QUEUES": queues, "DEAD_LETTERS": queues, "WEBHOOK_KEY": "k", **EXTRA}
    given["METRICS_PORT"] = str(port)
    settings = Settings.from_env({f"COATCHECK_{name}": value for name, value in given.items()})
    if HOLD: start_pump(settings)
start_pump(settings, seconds=3600)
record(SWEEP_ROWS, 4)
print(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
"""


def test_a_process_tells_what_was_recorded_last_on_its_port_and_writes_lines_too() -> None:
    ended = run(f"EXTRA, HOLD = {{'METRICS': 'emf'}}, False\n{PROGRAM}", {})
    assert ended.returncode == 0, ended.stderr
    assert "coatcheck_sweep_rows_total 4.0" in ended.stdout
    # the line is written when somebody asked, or at the end
    assert '"SweepRows":4' in ended.stdout


def test_a_port_that_is_taken_is_named_in_one_line() -> None:
    ended = run(f"EXTRA, HOLD = {{}}, True\n{PROGRAM}", {})
    assert re.search(r"BadSettings: settings: COATCHECK_METRICS_PORT: port \d+: Address already in use", ended.stderr)


def test_without_the_package_the_remedy_is_named() -> None:
    program = f"import sys; sys.modules['prometheus_client'] = None\nEXTRA, HOLD = {{}}, False\n{PROGRAM}"
    assert "COATCHECK_METRICS_PORT needs: pip install 'coatcheck[prometheus]'" in run(program, {}).stderr
