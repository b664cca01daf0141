"""What metrics cost: CPU of a GET and of a job with and without them, and bytes of log: `python -m bench.metrics_cost`.

A GET goes through the handler of the Lambda function, with a row that is there without a request to AWS: what a request
costs besides is left out, so that the part of the metrics is an upper limit. Blocks with and without take turns. A job
is what a worker's processes take for one, without metrics; what its metrics take is measured alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, TypeVar

from bench.worker_stack import worker_stack
from bench.worker_throughput import NOOP, of_worker
from coatcheck.core.aws.call import Call, Presign, PresignedUrl
from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.log import configure
from coatcheck.core.metrics import jobs
from coatcheck.core.metrics.recorder import RECORDER
from coatcheck.core.settings import Settings
from coatcheck.telemetry.pump import EmfLines, MetricsPump
from coatcheck_service.app import TENANT_ROUTERS, build_app
from coatcheck_service.front_door import LAMBDA
from coatcheck_service.lambda_adapter import make_mangum
from coatcheck_service.routes.frequent import DIRECT_ROUTES
from tests.example_jobs import CATALOG
from tests.job_rows import NOW, make_job
from tests.unit.service.in_process import KEY, KEY_DIGEST, QUEUES

T = TypeVar("T")

BLOCK = 50
"""Requests, or jobs, between two looks at the clock."""

RUNNING = make_job(tenant="alpha", status=Status.RUNNING, attempt=1, started_at=NOW, claimed_at=NOW)
ENDED = replace(
    RUNNING,
    status=Status.SUCCEEDED,
    finished_at=NOW + 1000,
    result=Blob.of(b"{}", JSON),
    history=(JobEvent("job.succeeded", NOW + 1000),),
)


@dataclass
class Lines:
    """Takes lines, and counts their bytes."""

    count: int = 0

    def write(self, text: str) -> None:
        """Take them."""
        self.count += len(text.encode())


class OneRow:
    """AWS, which has this one row."""

    def __init__(self, job: Job) -> None:
        self._answer = {"Item": encode_job(job)}

    async def send(self, call: Call[T]) -> T:
        """Answer a GetItem."""
        return call.read(self._answer if call.params.get("Key", {}).get("pk") == self._answer["Item"]["pk"] else {})

    async def presign(self, presign: Presign) -> PresignedUrl:
        """Sign nothing."""
        raise NotImplementedError(presign)

    async def aclose(self) -> None:
        """Close nothing."""


def get_handler() -> Callable[[], object]:
    """What serves one GET of a job as the Lambda function does."""
    given: dict[str, Any] = {"table": "t", "bucket": "b", "queues": QUEUES, "dead_letters": QUEUES, "webhook_key": "-"}
    settings = Settings.model_validate({**given, "api_keys": json.dumps({KEY_DIGEST: "alpha"})})
    asyncio.set_event_loop(asyncio.new_event_loop())
    app = build_app(TENANT_ROUTERS, settings, CATALOG, OneRow(ENDED), LAMBDA, direct=DIRECT_ROUTES)
    serve = make_mangum(app, "")
    event, context = _event(), SimpleNamespace(aws_request_id="r")
    answer = serve(event, context)  # type: ignore[arg-type]
    assert answer["statusCode"] == 200, answer
    return lambda: serve(event, context)  # type: ignore[arg-type]


def _event() -> Mapping[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}", "Host": "api.example", "X-Forwarded-Proto": "https"}
    context = {"requestId": "r-1", "path": f"/live/v1/jobs/{ENDED.id}", "identity": {"sourceIp": "192.0.2.1"}}
    return {
        "resource": "/v1/jobs/{job_id}",
        "path": f"/v1/jobs/{ENDED.id}",
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": context,
        "body": None,
        "isBase64Encoded": False,
    }


def metrics_of_job() -> None:
    """Record what a worker records of a job that succeeds."""
    jobs.job_changed("job.started", RUNNING)
    jobs.job_changed("job.succeeded", ENDED)


@contextmanager
def recorder(*, on: bool) -> Iterator[None]:
    """The recorder, on or off."""
    RECORDER.switch_off()
    if on:
        RECORDER.switch_on()
    try:
        yield
    finally:
        RECORDER.switch_off()


def cpu(work: Callable[[], object], pump: MetricsPump, *, on: bool) -> float:
    """Microseconds of CPU for one `work`, with a flush after each, as at the end of an invocation."""
    with recorder(on=on):
        began = time.process_time()
        for _ in range(BLOCK):
            with pump.flushing():
                work()
        return (time.process_time() - began) / BLOCK * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics_cost", description=__doc__)
    parser.add_argument("--blocks", type=int, default=60, help=f"of {BLOCK}, with and without (default: 60)")
    parser.add_argument("--jobs", type=int, default=200, help="that a worker runs; 0 for none (default: 200)")
    options = parser.parse_args()
    write = sys.stdout.write
    log, lines = Lines(), Lines()
    # where the lines of requests go, which are there anyway
    sys.stderr = log
    configure("json")
    sys.stderr = sys.__stderr__
    pump = MetricsPump([EmfLines("bench", write=lines.write)])

    serve = get_handler()
    cpu(serve, pump, on=True)
    log.count = lines.count = 0
    pairs = [(cpu(serve, pump, on=False), cpu(serve, pump, on=True)) for _ in range(options.blocks)]
    without, more = _compared(pairs)
    served = options.blocks * BLOCK
    write(f"GET of a job: {without:.0f} us of CPU, metrics {more:.1f} us more: {100 * more / without:.1f} %\n")
    write(f"bytes of log a GET: {log.count / served / 2:.0f}, metrics {lines.count / served:.0f} more\n")

    lines.count = 0
    pairs = [(cpu(_nothing, pump, on=True), cpu(metrics_of_job, pump, on=True)) for _ in range(options.blocks)]
    _, of_metrics = _compared(pairs)
    write(f"metrics of a job in its worker: {of_metrics:.1f} us of CPU, {lines.count / served:.0f} bytes of log\n")
    if options.jobs:
        with worker_stack() as stack:
            rate = of_worker(stack, 1, NOOP, options.jobs)
        write(f"a no-op job in its worker: {rate.cpu * 1000:.0f} us of CPU: {of_metrics / rate.cpu / 10:.1f} %\n")


def _nothing() -> None:
    """Do nothing."""


def _compared(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The median without, and the median of what more it takes with."""
    return statistics.median(a for a, _ in pairs), statistics.median(b - a for a, b in pairs)


if __name__ == "__main__":
    main()
